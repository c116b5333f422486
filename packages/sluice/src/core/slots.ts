import type { Clock } from "../clock.ts";
import type { Abort } from "./abort.ts";
import type { Gate, Leave } from "./circuit.ts";
import { sleep } from "./waits.ts";

/** The attempts that one group has in flight. */
export interface Share {
  inFlight: number;
  /** There are no other groups to leave room for. */
  readonly sole: boolean;
}

interface Waiting {
  readonly share: Share;
  readonly grant: () => void;
}

/**
 * How many attempts may be in flight at a time, over all groups. First come, first served, but for
 * one rule: a group that has attempts in flight gets no further one unless three times as many slots
 * stay free. However slow a group is, and however much it asks, it holds a quarter of the slots at
 * most, rounded up, several such groups leave some to the others, and any group gets its first while there is one
 * (the dynamic threshold of Choudhury and Hahne, 1998, for buffers that queues share).
 */
export class Slots {
  #free: number;
  readonly #waiting = new Set<Waiting>();
  readonly #clock: Clock;

  constructor(size: number, clock: Clock) {
    this.#free = size;
    this.#clock = clock;
  }

  /** Takes a slot if there is one for this group: those who wait are kept by the rule, none is overtaken. */
  tryTake(share: Share): boolean {
    const { inFlight, sole } = share;
    if (this.#free === 0) return false;
    if (inFlight > 0 && !sole && inFlight * 3 >= this.#free) return false;
    share.inFlight += 1;
    this.#free -= 1;
    return true;
  }

  /** Waits for a slot. False when `deadline` (on the clock) passes, or at `abort`. */
  async take(share: Share, deadline: number, abort: Abort): Promise<boolean> {
    if (abort.aborted || this.#clock.now() >= deadline) return false;
    if (this.tryTake(share)) return true;
    return new Promise((resolve) => {
      const end = (granted: boolean): void => {
        this.#waiting.delete(waiting);
        this.#clock.cancel(timer);
        abort.delete(giveUp);
        resolve(granted);
      };
      const giveUp = (): void => end(false);
      const waiting: Waiting = { share, grant: () => end(true) };
      const timer =
        deadline === Infinity
          ? undefined
          : this.#clock.schedule(giveUp, deadline - this.#clock.now());
      this.#waiting.add(waiting);
      abort.add(giveUp);
    });
  }

  release(share: Share): void {
    share.inFlight -= 1;
    this.#free += 1;
    for (const waiting of this.#waiting) {
      if (this.#free === 0) return;
      if (this.tryTake(waiting.share)) waiting.grant();
    }
  }
}

/** The gate of one lane that shares slots: it holds one while it attempts, and none while it pauses. */
export class Turn implements Gate {
  readonly #slots: Slots;
  readonly #share: Share;
  readonly #clock: Clock;
  #held = false;

  constructor(slots: Slots, share: Share, clock: Clock) {
    this.#slots = slots;
    this.#share = share;
    this.#clock = clock;
  }

  /** Takes a slot ahead of the attempt, if there is one. */
  tryTake(): boolean {
    this.#held ||= this.#slots.tryTake(this.#share);
    return this.#held;
  }

  /** Waits for a slot ahead of the attempt, so that what gathers meanwhile comes along. */
  async take(deadline: number, abort: Abort): Promise<void> {
    if (!this.#held) this.#held = await this.#slots.take(this.#share, deadline, abort);
  }

  async admit(deadline: number, abort: Abort): Promise<Leave | undefined> {
    if (!this.#held) await this.take(deadline, abort);
    if (this.#held && !abort.aborted && this.#clock.now() < deadline) return "free";
    this.giveBack();
    return undefined;
  }

  async wait(delayMs: number, abort: Abort): Promise<void> {
    await sleep(this.#clock, delayMs, abort);
  }

  succeeded(): void {
    this.giveBack();
  }

  failed(): void {
    this.giveBack();
  }

  withdrawn(): void {
    this.giveBack();
  }

  giveBack(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#slots.release(this.#share);
  }
}
