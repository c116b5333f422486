import type { VirtualTime } from "./virtual-time.ts";

/** Somebody who was promised an answer. */
interface Waiter {
  readonly what: string;
  /** By when, in the time that has run. */
  readonly by: number;
}

/** Everybody who was promised an answer: each must have one, in time. */
export class Waiters {
  readonly #open = new Set<Waiter>();
  readonly #time: VirtualTime;
  readonly #fail: (what: string) => void;

  constructor(time: VirtualTime, fail: (what: string) => void) {
    this.#time = time;
    this.#fail = fail;
  }

  get open(): readonly string[] {
    return [...this.#open].map(({ what }) => what);
  }

  /** Follows a promise that must settle within `withinMs`. */
  follow<T>(
    what: string,
    promise: Promise<T>,
    then: { readonly fulfilled: (value: T) => void; readonly rejected: (error: unknown) => void },
    withinMs: number = Infinity,
  ): void {
    const waiter = { what, by: this.#time.ran + withinMs };
    this.#open.add(waiter);
    const settle = (told: () => void): void => {
      this.#open.delete(waiter);
      const late = this.#time.ran - waiter.by;
      if (late > 1e-6) this.#fail(`${what} settled ${late} ms too late`);
      told();
    };
    promise.then(
      (value) => settle(() => then.fulfilled(value)),
      (error: unknown) => settle(() => then.rejected(error)),
    );
  }
}
