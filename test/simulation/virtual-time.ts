import type { Clock } from "sluice";
import type { Dice } from "./dice.ts";

interface VirtualTimer {
  readonly at: number;
  /** Breaks ties by chance: what falls due together happens in any order. */
  readonly tie: number;
  readonly callback: () => void;
  readonly owner: OwnedClock;
}

/** No world needs as many; one that does is tried again and again, without end. */
export const MAX_STEPS = 200_000;

/**
 * The time of a simulated world: many programs on one clock, which moves when it is told to, and runs
 * what falls due one by one, letting promises settle after each.
 */
export class VirtualTime {
  now = 0;
  /** What the wall clocks show beyond `now`: it may be set back. */
  wallOffset = Date.UTC(2026, 0, 1);
  readonly #dice: Dice;
  readonly #timers = new Set<VirtualTimer>();
  /** How much of `now` has been jumped over. */
  #jumped = 0;
  /** How many callbacks have run. */
  steps = 0;
  /** Called after each step, when all promises have settled. */
  onStep: () => void = () => undefined;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  /** The time in which something could run. */
  get ran(): number {
    return this.now - this.#jumped;
  }

  /** A clock for one program, which dies with it. */
  clock(): OwnedClock {
    return new OwnedClock(this);
  }

  schedule(owner: OwnedClock, callback: () => void, delayMs: number): VirtualTimer {
    const at = this.now + Math.max(0, delayMs);
    const timer = { at, tie: this.#dice.random(), callback, owner };
    this.#timers.add(timer);
    return timer;
  }

  delete(timer: VirtualTimer): boolean {
    return this.#timers.delete(timer);
  }

  /** Ends all timers of a program. */
  drop(owner: OwnedClock): void {
    for (const timer of this.#timers) if (timer.owner === owner) this.#timers.delete(timer);
  }

  /** Moves on by `ms`, or as far as `until` says to go. */
  async advance(ms: number, until: () => boolean = () => false): Promise<void> {
    const end = this.now + ms;
    await this.settle();
    while (!until() && this.steps < MAX_STEPS && (await this.#runNext(end)));
    if (!until()) this.now = Math.max(this.now, end);
  }

  /** Time goes by while nothing runs: all that falls due meanwhile is late. */
  async jump(ms: number): Promise<void> {
    this.now += ms;
    this.#jumped += ms;
    await this.advance(0);
  }

  /** Lets promises settle: a turn of the event loop outlasts every promise job that is queued. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.onStep();
  }

  async #runNext(end: number): Promise<boolean> {
    let next: VirtualTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (
        next === undefined ||
        timer.at < next.at ||
        (timer.at === next.at && timer.tie < next.tie)
      )
        next = timer;
    }
    if (next === undefined) return false;
    this.#timers.delete(next);
    this.steps += 1;
    this.now = Math.max(this.now, next.at);
    next.owner.timers -= 1;
    next.owner.fired += 1;
    next.callback();
    await this.settle();
    return true;
  }
}

/** What one program sees of the time. */
export class OwnedClock implements Clock {
  /** How many of its callbacks are scheduled. */
  timers = 0;
  /** How many have run. */
  fired = 0;
  #stopped = false;
  readonly #time: VirtualTime;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  readonly now = (): number => this.#time.now;
  readonly epochMs = (): number => this.#time.now + this.#time.wallOffset;

  readonly schedule = (callback: () => void, delayMs: number): unknown => {
    if (this.#stopped) return undefined;
    this.timers += 1;
    return this.#time.schedule(this, callback, delayMs);
  };

  readonly cancel = (timer: unknown): void => {
    if (timer !== undefined && this.#time.delete(timer as VirtualTimer)) this.timers -= 1;
  };

  /** Waits; 0 is at once. */
  async sleep(ms: number): Promise<void> {
    if (ms > 0) await new Promise<void>((resolve) => void this.schedule(resolve, ms));
  }

  /** The program has died: nothing of it ever runs again. */
  stop(): void {
    this.#stopped = true;
    this.timers = 0;
    this.#time.drop(this);
  }
}
