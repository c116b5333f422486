import { type Batcher, type FlushStats, isSluiceError, type Receipt } from "sluice";
import type { Dice } from "./dice.ts";
import type { Fact } from "./facts.ts";
import type { Kind } from "./kinds.ts";
import { Leavers } from "./leavers.ts";
import type { Tally } from "./tally.ts";
import type { Waiters } from "./waiters.ts";

/** What callers of a batcher need. */
export interface CallersParts {
  readonly batcher: Batcher<object, unknown>;
  readonly kind: Kind;
  readonly drawKey: (n: number) => string;
  readonly nextItem: () => number;
  /** What they do. */
  readonly dice: Dice;
  readonly tally: Tally;
  readonly waiters: Waiters;
  readonly isClosing: () => boolean;
  /** Whether a batch of so many items and entries was sealed. */
  readonly isSealed: (items: number, entries: number) => boolean;
  /** Somebody was told something. */
  readonly onTold: () => void;
  readonly fail: (what: string) => void;
}

/** Those who call a batcher, in every way there is; what they are told goes into the tally. */
export class Callers {
  readonly #parts: CallersParts;
  readonly #batcher: Batcher<object, unknown>;
  readonly #tally: Tally;
  readonly #leavers = new Leavers();
  /** Those who do not know yet whether their item was taken. */
  readonly #undecided = new Set<{ readonly facts: readonly Fact[]; readonly waits: boolean }>();
  /** The call at the door: what overflow turns away there is its item. */
  #atDoor = { dropped: 0 };

  constructor(parts: CallersParts) {
    this.#parts = parts;
    this.#batcher = parts.batcher;
    this.#tally = parts.tally;
  }

  /** Adds one item or several, or one that must be refused. */
  offer(): void {
    const { dice } = this.#parts;
    if (dice.chance(0.05)) {
      this.#offerBad();
      return;
    }
    const way = dice.weigh({ tryAdd: 6, add: 3, deliver: 3, addMany: 1 });
    if (way === "tryAdd") this.#tryAdd();
    else if (way === "addMany") this.#addMany();
    else this.#addOne(way);
  }

  /** Waits for all that was accepted before. */
  flush(): void {
    const { dice } = this.#parts;
    const timeoutMs = dice.pick([undefined, undefined, 0, 50]);
    const controller = this.#controller();
    const { held, accepted } = this.#batcher.stats();
    const settled = (): number => {
      const now = this.#batcher.stats();
      return now.accepted - now.held - (accepted - held);
    };
    const covers = (items: number): void => {
      if (items < held || settled() < held)
        this.#parts.fail(
          `a flush of ${items} items covered ${settled()} of the ${held} that were held`,
        );
    };
    const flush = this.#batcher.flush({ timeoutMs, signal: controller?.signal });
    this.#follow(
      "a flush",
      flush,
      controller,
      {
        fulfilled: ({ items, committed }) => {
          covers(items);
          if (committed !== items)
            this.#parts.fail(`a flush resolved with ${committed} of ${items} items`);
        },
        rejected: (error) => {
          this.#expect(error, controller, ["FLUSH_INCOMPLETE", "FLUSH_TIMEOUT"]);
          if (!isSluiceError(error) || error.code !== "SLUICE_ERR_FLUSH_INCOMPLETE") return;
          const { items, committed, deadLettered, dropped, unknown } = error.report as FlushStats;
          covers(items);
          if (items !== committed + deadLettered + dropped + unknown || committed === items)
            this.#parts.fail(`a flush fell short by ${JSON.stringify(error.report)}`);
        },
      },
      timeoutMs,
    );
  }

  /** One that waits gives up. False where none does. */
  abortOne(): boolean {
    return this.#leavers.leaveOne();
  }

  /** Overflow has turned away what is at the door. */
  turnedAway(items: number): void {
    this.#atDoor.dropped += items;
  }

  /** The program has died: whether their items had been taken, some will never know. */
  die(): void {
    for (const { facts, waits } of this.#undecided) if (waits) this.#tally.maybe.add(facts);
  }

  /** After each step: who has left has been told. */
  check(): void {
    if (this.#leavers.held() > 0) this.#parts.fail("a caller that has left waits on");
  }

  #tryAdd(): void {
    const item = this.#draw();
    try {
      const [accepted, dropped] = this.#accepts(() => this.#batcher.tryAdd(item));
      if (accepted && dropped === 0) this.#tally.accepted.add(this.#parts.kind.ofItem(item));
      if (this.#parts.isClosing()) this.#parts.fail("a closed batcher has taken an item");
    } catch (error) {
      this.#expect(error, undefined, this.#parts.isClosing() ? ["BATCHER_CLOSED"] : []);
    }
  }

  #addOne(way: "add" | "deliver"): void {
    const item = this.#draw();
    const { kind } = this.#parts;
    const facts = kind.ofItem(item);
    const controller = this.#controller();
    // Of what is delivered there may be no other word of whether it was taken, nor of equal versions which
    // came last.
    const looks = way === "deliver" || kind.name === "latest";
    const accepted = (): number => (looks ? this.#batcher.stats().accepted : 0);
    const before = accepted();
    const [promise, dropped] = this.#accepts(() =>
      this.#batcher[way](item, { signal: controller?.signal }),
    );
    // Taken at once, or else when there is room; of that only the answer tells.
    const caller = { facts, waits: dropped === 0 && accepted() === before };
    if (dropped === 0 && !caller.waits) this.#tally.accepted.add(facts);
    // Who has waited was let in at a moment that only the batcher knows.
    if (caller.waits) this.#tally.ordered = false;
    const take = (): void => {
      if (caller.waits) this.#tally.accepted.add(facts);
      caller.waits = false;
    };
    this.#undecided.add(caller);
    this.#follow<Receipt | void>(
      `${way} of ${JSON.stringify(facts[0]?.key)}`,
      promise,
      controller,
      {
        fulfilled: (receipt) => {
          take();
          if (way === "deliver") this.#tally.told.landed.add(facts);
          if (receipt !== undefined) this.#checkReceipt(receipt);
          if (way === "deliver" && dropped > 0) this.#parts.fail("what was dropped was delivered");
        },
        rejected: (error) => {
          this.#expect(error, controller, ["BATCHER_", "DELIVERY_"]);
          if (isSluiceError(error) && error.code.startsWith("SLUICE_ERR_DELIVERY_")) {
            take();
            // Of a composed item the parts may fare differently.
            if (dropped === 0 && kind.name !== "compose")
              this.#tally.told[toldAs(error.code)].add(facts);
          }
          // It may have been taken before its caller left.
          if (caller.waits && way === "deliver" && controller?.signal.aborted === true)
            this.#tally.maybe.add(facts);
        },
        finally: () => this.#undecided.delete(caller),
      },
    );
  }

  #checkReceipt({ items, entries, attempts }: Receipt): void {
    if (attempts < 1 || !this.#parts.isSealed(items, entries))
      this.#parts.fail(`a receipt of ${items} items in ${entries} entries: no batch was like that`);
  }

  #addMany(): void {
    const { kind, dice } = this.#parts;
    const items = Array.from({ length: 1 + dice.below(6) }, () => this.#draw());
    let asked = 0;
    const caller: { facts: readonly Fact[]; waits: boolean } = { facts: [], waits: true };
    this.#tally.ordered = false;
    this.#undecided.add(caller);
    const noting = function* (callers: Callers): Generator<object> {
      for (const item of items) {
        const facts = kind.ofItem(item);
        asked += 1;
        caller.facts = facts;
        const door = { dropped: 0 };
        callers.#atDoor = door;
        yield item;
        caller.facts = [];
        if (door.dropped === 0) callers.#tally.accepted.add(facts);
      }
    };
    this.#follow("addMany", this.#batcher.addMany(noting(this)), undefined, {
      fulfilled: () => {
        if (asked !== items.length)
          this.#parts.fail(`addMany resolved after ${asked} of ${items.length}`);
      },
      rejected: (error) => {
        this.#expect(error, undefined, ["ADD_INCOMPLETE"]);
        const { report } = error as { readonly report?: { readonly accepted: number } };
        const before = Math.max(0, asked - 1);
        if (report?.accepted !== before)
          this.#parts.fail(
            `addMany says that ${report?.accepted} items were accepted, and asked for ${asked}`,
          );
      },
      finally: () => this.#undecided.delete(caller),
    });
  }

  #offerBad(): void {
    const { kind, dice, drawKey } = this.#parts;
    const bad = kind.bad(drawKey(0));
    const { held, heldBytes, accepted } = this.#batcher.stats();
    let refused = false;
    try {
      if (dice.chance(0.5)) this.#batcher.tryAdd(bad);
      else {
        void this.#batcher.add(bad).then(
          () => this.#parts.fail("a bad item was taken"),
          () => undefined,
        );
        refused = true;
      }
    } catch {
      refused = true;
    }
    const after = this.#batcher.stats();
    if (!refused) this.#parts.fail("a bad item was not refused");
    if (after.held !== held || after.heldBytes !== heldBytes || after.accepted !== accepted)
      this.#parts.fail("a bad item has left something behind");
  }

  #draw(): object {
    const { kind, drawKey, nextItem, dice } = this.#parts;
    const n = nextItem();
    return kind.draw(n, drawKey(n), dice);
  }

  /** What `call` answers, and how many items were dropped at the door meanwhile. */
  #accepts<T>(call: () => T): readonly [answer: T, dropped: number] {
    const door = { dropped: 0 };
    this.#atDoor = door;
    const answer = call();
    return [answer, door.dropped];
  }

  /** What some callers may give up by. */
  #controller(): AbortController | undefined {
    return this.#parts.dice.chance(0.4) ? new AbortController() : undefined;
  }

  #follow<T>(
    what: string,
    promise: Promise<T>,
    controller: AbortController | undefined,
    told: {
      readonly fulfilled: (value: T) => void;
      readonly rejected: (error: unknown) => void;
      readonly finally?: () => void;
    },
    withinMs?: number,
  ): void {
    if (controller !== undefined) this.#leavers.add(controller);
    const end = (): void => {
      this.#parts.onTold();
      told.finally?.();
      if (controller !== undefined) this.#leavers.delete(controller);
    };
    this.#parts.waiters.follow(
      what,
      promise,
      {
        fulfilled: (value) => {
          told.fulfilled(value);
          end();
        },
        rejected: (error) => {
          told.rejected(error);
          end();
        },
      },
      withinMs,
    );
  }

  /** An error must be the caller's own abort, or one that this call may end with. */
  #expect(error: unknown, controller: AbortController | undefined, codes: readonly string[]): void {
    if (controller?.signal.aborted === true && error === controller.signal.reason) return;
    const code = isSluiceError(error) ? error.code : String(error);
    if (!codes.some((known) => code.startsWith(`SLUICE_ERR_${known}`)))
      this.#parts.fail(`unexpected: ${code}`);
  }
}

/** As what a caller of `deliver` was told of an item. */
function toldAs(code: string): "rejected" | "expired" | "unknown" | "dropped" {
  if (code === "SLUICE_ERR_DELIVERY_REJECTED") return "rejected";
  if (code === "SLUICE_ERR_DELIVERY_EXPIRED") return "expired";
  return code === "SLUICE_ERR_DELIVERY_UNKNOWN" ? "unknown" : "dropped";
}
