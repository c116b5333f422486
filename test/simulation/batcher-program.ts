import {
  type Batcher,
  type BatcherOptions,
  type CloseReport,
  createBatcher,
  type DeadLetter,
  isSluiceError,
  type SluiceEvent,
  type Stats,
} from "sluice";
import { Attempts, idOf } from "./attempts.ts";
import { Callers } from "./callers.ts";
import type { ProgramStage } from "./coverage.ts";
import type { Dice } from "./dice.ts";
import { type Fact, Facts, isPoison } from "./facts.ts";
import type { Kind } from "./kinds.ts";
import { LimitsWatch } from "./limits-watch.ts";
import type { Program } from "./program.ts";
import type { ProgramLimits } from "./program-limits.ts";
import { showEvent } from "./show-event.ts";
import { SimulatedError } from "./simulated-error.ts";
import { Tally } from "./tally.ts";
import type { OwnedClock } from "./virtual-time.ts";
import { Waiters } from "./waiters.ts";
import type { Client, ModelStore, World } from "./world.ts";

/** What a program of one batcher is made of. */
export interface BatcherProgramParts {
  readonly name: string;
  readonly world: World;
  readonly kind: Kind;
  readonly store: ModelStore;
  readonly limits: ProgramLimits;
  readonly drawKey: (n: number) => string;
  /** What its callers do. */
  readonly dice: Dice;
  /** The batcher's own chance. */
  readonly jitter: Dice;
  readonly nextItem: () => number;
}

/** A program that writes through a batcher, its callers, and all that they were promised. */
export class BatcherProgram implements Program, Client {
  readonly name: string;
  readonly attempts: Attempts<unknown>;
  readonly tally = new Tally();
  readonly clock: OwnedClock;
  alive = true;
  /** The time of what is not the batcher's own. */
  readonly #others: OwnedClock;
  readonly #parts: BatcherProgramParts;
  readonly #batcher: Batcher<object, unknown>;
  readonly #watch: LimitsWatch;
  readonly #waiters: Waiters;
  readonly #callers: Callers;
  readonly #unknown: { readonly name: string; readonly facts: readonly Fact[] }[] = [];
  #letters = 0;
  /** Dead letters that are being received. */
  #reading = 0;
  #circuit: "well" | "circuit open" = "well";
  /** Whether anything has happened since the last check. */
  #touched = true;
  #fired = 0;
  #closing: { before: Stats; underWay: ReturnType<LimitsWatch["underWay"]> } | undefined;

  constructor(parts: BatcherProgramParts) {
    const { name, world, kind, store, limits, jitter } = parts;
    const fail = (what: string): void => {
      if (this.alive) world.fail(`${name}: ${what}`);
    };
    this.name = name;
    this.#parts = parts;
    this.clock = world.time.clock();
    this.#others = world.time.clock();
    this.#waiters = new Waiters(world.time, fail);
    const stats = () => this.#batcher.stats();
    this.#watch = new LimitsWatch(limits.watched, { ran: () => world.time.ran, stats, fail });
    this.attempts = new Attempts({
      shape: kind.shape,
      standing: () => (this.#closing === undefined ? this.#circuit : "draining"),
      fail,
      ran: () => world.time.ran,
      writeTimeoutMs: limits.watched.writeTimeoutMs,
      onAnswer: () => this.#watch.answered(),
      keysOf: (batch) =>
        kind.shape.keyed && kind.name !== "compose"
          ? kind.ofBatch(batch).map(({ key }) => key)
          : [],
    });
    const options: BatcherOptions<object, unknown> = {
      ...limits.options,
      name,
      shape: kind.shape,
      sink: this.attempts.tap(store.sink(this)),
      clock: this.clock,
      random: jitter.random,
      observe: (event) => {
        if (this.alive) this.#observe(event);
      },
      deadLetter: (letter) => this.#receive(letter),
    };
    this.#batcher = createBatcher(options);
    this.#callers = new Callers({
      ...parts,
      batcher: this.#batcher,
      tally: this.tally,
      waiters: this.#waiters,
      isClosing: () => this.isClosing,
      isSealed: (items, entries) => this.#watch.hasSealed(items, entries),
      onTold: () => {
        this.#touched = true;
      },
      fail,
    });
  }

  get stage(): ProgramStage {
    const { waiting, held, circuit, batches } = this.#batcher.stats();
    if (this.#closing !== undefined) return "draining";
    if (this.isHalving) return "halving";
    if (waiting > 0) return "blocked";
    if (circuit === "open") return "circuit open";
    if (this.attempts.open > 0) return "in flight";
    if (this.#watch.sealed > batches) return "pausing";
    return held > 0 ? "gathering" : "idle";
  }

  get isHalving(): boolean {
    return this.attempts.halving;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  offer(): void {
    this.#touched = true;
    this.#callers.offer();
  }

  flush(): void {
    this.#callers.flush();
  }

  abortOne(): boolean {
    this.#touched = true;
    return this.#callers.abortOne();
  }

  /** Memory is short: the limits shrink to what is left, and a burst comes on top. */
  pressure(): void {
    const { limits, dice } = this.#parts;
    const { watched, least } = limits;
    const changes = {
      maxBufferedEntries: Math.max(least.entries, Math.ceil(watched.maxBufferedEntries / 2)),
      maxEntries: Math.min(least.entries, dice.pick([1, 2, watched.maxEntries])),
      maxDelayMs: dice.pick([watched.maxDelayMs, watched.maxDelayMs, 0, 5]),
    };
    this.#batcher.configure(changes);
    this.#watch.configure(changes);
    this.#touched = true;
    for (let burst = dice.below(8); burst > 0; burst -= 1) this.offer();
  }

  close(timeoutMs: number): void {
    const before = this.#batcher.stats();
    this.#closing = { before, underWay: this.#watch.underWay(before.batches) };
    this.#watch.closing = true;
    this.#waiters.follow(
      "a close",
      this.#batcher.close({ timeoutMs }),
      {
        fulfilled: (report) => this.#closed(report),
        rejected: (error) => this.#fail(`close() rejected: ${String(error)}`),
      },
      timeoutMs,
    );
  }

  crash(): void {
    this.alive = false;
    this.#callers.die();
    this.clock.stop();
    this.#others.stop();
    this.#parts.store.disconnect(this);
  }

  check(): void {
    if (!this.alive || (!this.#touched && this.clock.fired === this.#fired)) return;
    this.#touched = false;
    this.#fired = this.clock.fired;
    this.#watch.check(this.#batcher.stats());
    this.attempts.check();
    this.#callers.check();
  }

  get drained(): boolean {
    const { heldEntries, waiting } = this.#batcher.stats();
    return (
      heldEntries === 0 && waiting === 0 && this.#reading === 0 && this.#waiters.open.length === 0
    );
  }

  unrest(): readonly string[] {
    const { held, waiting } = this.#batcher.stats();
    const wrong = this.#waiters.open.map((what) => `${what} never settled`);
    if (held > 0) wrong.push(`${held} items are held for good`);
    if (waiting > 0) wrong.push(`${waiting} producers wait for good`);
    if (this.clock.timers > 0) wrong.push(`${this.clock.timers} timers run though it is idle`);
    return wrong;
  }

  audit(): readonly string[] {
    const { store, kind } = this.#parts;
    const own = store.applied.filter(({ writer }) => writer.startsWith(`${this.name}:`));
    const names = new Set(own.map(({ name }) => name));
    const applied = new Facts();
    for (const { facts } of own) applied.add(facts);
    // What is unknown is told as it was sent: a whole batch, or a part. It has landed, but for what was
    // left out of it, or it has not.
    let unheard = 0;
    for (const { name, facts } of this.#unknown) {
      const landed = names.has(name) ? facts.filter(({ key }) => !isPoison(key)) : [];
      unheard += landed.length;
      this.tally.lost.add(facts.filter((fact) => !landed.includes(fact)));
    }
    this.tally.droppedItems = this.#watch.droppedOldest;
    const wrong = [...this.tally.audit(applied, this.alive ? "closed" : "killed")];
    if (!this.alive) return wrong;
    const { committed, deadLettered, attempts } = this.#batcher.stats();
    if (attempts !== this.attempts.total)
      wrong.push(`${attempts} attempts are counted, and ${this.attempts.total} were made`);
    if (["list", "rows"].includes(kind.name) && committed !== applied.times - unheard)
      wrong.push(`${committed} items are committed, and ${applied.times - unheard} were applied`);
    if (this.#letters !== deadLettered)
      wrong.push(`${this.#letters} items of ${deadLettered} were received as dead letters`);
    return wrong;
  }

  #observe(event: SluiceEvent): void {
    const { world } = this.#parts;
    world.note(() => `${this.name}: ${showEvent(event)}`);
    this.#touched = true;
    if (event.type === "circuit") this.#circuit = event.state === "open" ? "circuit open" : "well";
    if (event.type === "dropped" && event.reason === "drop-newest")
      this.#callers.turnedAway(event.items);
    if (event.type === "unknown") {
      const [id, facts] = [idOf(event.id), this.#parts.kind.ofBatch(event.batch)];
      this.#unknown.push({ name: id, facts });
      this.tally.unknown.add(facts);
      if (!this.attempts.isAmbiguous(id))
        this.#fail(`${id} is unknown, and surely was not applied`);
    }
    if (event.type === "dead-lettered" && event.outcome === "rejected") {
      if (!this.attempts.isRefused(idOf(event.id)))
        this.#fail(`${idOf(event.id)} is called rejected, and nobody refused it`);
    }
    if (event.type === "warning" && !this.#expectsWarning(event.error))
      this.#fail(`a warning: ${String(event.error)}`);
    this.#watch.see(event);
  }

  /** Those who receive dead letters may take too long, and housekeeping meets the same faults as data. */
  #expectsWarning(error: unknown): boolean {
    const { cause } = (error ?? {}) as { readonly cause?: unknown };
    if (error instanceof SimulatedError || cause instanceof SimulatedError) return true;
    if (this.#parts.limits.slowLetters && messageOf(error).startsWith("deadLetter took longer"))
      return true;
    const code = isSluiceError(error) ? error.code : "";
    return code === "SLUICE_ERR_BATCHER_CLOSED" || code === "SLUICE_ERR_WRITE_TIMEOUT";
  }

  #receive({ items, entry, outcome }: DeadLetter): unknown {
    this.#letters += items;
    const facts = this.#ofEntry(entry);
    this.tally.lost.add(facts);
    this.tally[outcome].add(facts);
    if (outcome === "rejected" && !facts.every(({ key }) => isPoison(key)))
      this.#fail(`${JSON.stringify(facts[0]?.key)} is a dead letter, and no store minds it`);
    const { dice } = this.#parts;
    if (!this.#parts.limits.slowLetters) return undefined;
    const ms = dice.below(40);
    this.#reading += 1;
    return new Promise<void>((resolve) => {
      this.#others.schedule(() => {
        this.#reading -= 1;
        resolve();
      }, ms);
    });
  }

  #ofEntry(entry: unknown): readonly Fact[] {
    const { kind } = this.#parts;
    return kind.ofEntry === undefined ? kind.ofItem(entry as object) : kind.ofEntry(entry as never);
  }

  #closed(report: CloseReport): void {
    const { items, committed, rejected, unknown, abandoned, undelivered, stats } = report;
    if (items !== committed + rejected + unknown + abandoned)
      this.#fail(
        `close() reports ${JSON.stringify({ items, committed, rejected, unknown, abandoned })}`,
      );
    if (stats.held !== 0) this.#fail(`close() left ${stats.held} items held`);
    const { before, underWay } = this.#closing ?? {};
    if (before !== undefined && underWay !== undefined) {
      const expected = {
        committed: stats.committed - before.committed + underWay.committed,
        rejected: stats.deadLettered - before.deadLettered + underWay.deadLettered,
        unknown: stats.unknown - before.unknown + underWay.unknown,
        abandoned: stats.dropped - before.dropped,
      };
      const told = JSON.stringify({ committed, rejected, unknown, abandoned });
      if (told !== JSON.stringify(expected))
        this.#fail(`close() reports ${told} and not ${JSON.stringify(expected)}`);
    }
    for (const outcome of ["unknown", "abandoned"] as const) {
      const back = undelivered.filter((each) => each.outcome === outcome);
      const sum = back.reduce((total, each) => total + each.items, 0);
      if (sum !== report[outcome])
        this.#fail(`close() hands back ${sum} ${outcome} of ${report[outcome]}`);
      if (outcome === "abandoned")
        for (const { batch } of back) {
          this.tally.lost.add(this.#parts.kind.ofBatch(batch));
          this.tally.abandoned.add(this.#parts.kind.ofBatch(batch));
        }
    }
  }

  #fail(what: string): void {
    if (this.alive) this.#parts.world.fail(`${this.name}: ${what}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : "");
