import {
  rejected,
  retryable,
  type Sink,
  undecided,
  type WriteContext,
  type WriteResult,
} from "sluice";
import { Arrivals } from "./arrivals.ts";
import { idOf } from "./attempts.ts";
import { isPoison } from "./facts.ts";
import { faultOf } from "./fates.ts";
import type { Kind } from "./kinds.ts";
import type { OwnedClock } from "./virtual-time.ts";
import type { AppliedBatch, Client, ModelStore, World } from "./world.ts";

/** A store behind a function of the user's own, which knows batches by their ids as the ledger does. */
export class FunctionStore implements ModelStore {
  readonly applied: AppliedBatch[] = [];
  readonly #kind: Kind;
  readonly #world: World;
  /** Up to which batch each writer has landed, and what was left out of that. Parts have rows of their own. */
  readonly #ledger = new Map<string, { seq: number; result: WriteResult }>();
  readonly #arrivals = new Arrivals();
  readonly #lenience = new Map<string, boolean>();
  /** Whether it refuses what is too large before it looks whether it has it already. */
  readonly #looksFirst: boolean;
  readonly #clock: OwnedClock;

  constructor(kind: Kind, world: World) {
    this.#kind = kind;
    this.#world = world;
    this.#clock = world.time.clock();
    this.#looksFirst = world.fates.coin();
  }

  sink(client: Client): Sink<never> {
    const sink: Sink<unknown> = { write: (batch, context) => this.#write(batch, context, client) };
    return sink;
  }

  disconnect(): void {
    // What was sent has arrived: a function call has no connection to lose.
  }

  audit(): readonly string[] {
    return [];
  }

  async #write(
    batch: unknown,
    context: WriteContext<unknown>,
    client: Client,
  ): Promise<WriteResult> {
    const { fates, hit } = this.#world;
    if (!client.alive) return new Promise(() => undefined);
    const stage = client.attempts.of(context.id.writer)?.stage;
    const fate = fates.draw();
    const struck = faultOf(fate);
    if (struck !== undefined) hit(struck, stage);
    const began = this.#arrivals.begin();
    if (fate === "hang") return new Promise(() => undefined);
    await this.#clock.sleep(fates.latencyMs(fate));
    if (fate === "zombie") {
      this.#zombie(batch, context);
      return new Promise(() => undefined);
    }
    if (this.#arrivals.isOvertaken(began)) hit("out of order", stage);
    if (fate === "fail before commit") throw this.#failure(false);
    const result = this.#apply(
      batch,
      context,
      stage === undefined ? undefined : (fault) => hit(fault, stage),
    );
    if (fate !== "lose the acknowledgement") return result;
    fates.lost();
    throw this.#failure(true);
  }

  /** It is applied after all, when nobody waits for it any more. */
  #zombie(batch: unknown, context: WriteContext<unknown>): void {
    const late = context.timeoutMs + this.#world.fates.latencyMs("zombie");
    void this.#clock.sleep(late).then(() => {
      try {
        this.#apply(batch, context);
      } catch {
        return; // refused, and nobody hears of it
      }
    });
  }

  #failure(applied: boolean): Error {
    const { fates } = this.#world;
    if (applied) return fates.coin() ? new Error("connection lost") : undecidedOrLost(fates.coin());
    const retryAfterMs = fates.pick([undefined, undefined, 0, 50, 5_000, Infinity]);
    return fates.coin()
      ? retryable("busy", { ambiguous: false, retryAfterMs })
      : new Error("refused");
  }

  /** All or nothing, but for entries at fault where those are left out. */
  #apply(
    batch: unknown,
    { id, shape }: WriteContext<unknown>,
    struck: (fault: "partial" | "permanent" | "too large") => void = () => undefined,
  ): WriteResult {
    const { fates } = this.#world;
    const { entries } = shape.size(batch);
    const row = id.part === undefined ? id.writer : idOf(id);
    const known = this.#ledger.get(row);
    const isKnown = known !== undefined && known.seq >= id.seq;
    const tooLarge = entries > fates.maxEntries;
    if (tooLarge && (this.#looksFirst || !isKnown)) {
      struck("too large");
      // Of an earlier attempt, when it was less strict, it says nothing.
      throw rejected(`at most ${fates.maxEntries} entries`);
    }
    if (isKnown) return { duplicate: true, ...(known.seq === id.seq ? known.result : {}) };
    const poison = Array.from({ length: entries }, (_, index) => index).filter((index) =>
      this.#ofEntry(batch, index, shape).some(({ key }) => isPoison(key)),
    );
    if (poison.length > 0 && !this.#leavesOut(idOf(id))) {
      struck("permanent");
      throw rejected("an entry is at fault", { ambiguous: fates.coin() });
    }
    if (poison.length > 0) struck("partial");
    const result = { rejected: poison.map((index) => ({ index, cause: new Error("at fault") })) };
    this.#ledger.set(row, { seq: id.seq, result });
    const facts = Array.from({ length: entries }, (_, index) =>
      poison.includes(index) ? [] : this.#ofEntry(batch, index, shape),
    ).flat();
    this.applied.push({ writer: id.writer, name: idOf(id), facts });
    this.#world.note(() => `store: applied ${facts.map(({ key }) => key).join(" ")}`);
    return result;
  }

  #ofEntry(batch: unknown, index: number, shape: WriteContext<unknown>["shape"]) {
    const [, rest] = shape.split(batch, index);
    return this.#kind.ofBatch(shape.split(rest, 1)[0]);
  }

  /** Every attempt of a batch meets the same answer, those that come late as well. */
  #leavesOut(name: string): boolean {
    const known = this.#lenience.get(name);
    if (known !== undefined) return known;
    const leavesOut = this.#world.fates.leavesOut();
    this.#lenience.set(name, leavesOut);
    return leavesOut;
  }
}

const undecidedOrLost = (isUndecided: boolean): Error =>
  isUndecided ? undecided("gave up") : retryable("no answer");
