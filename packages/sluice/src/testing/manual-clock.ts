import type { Clock } from "../clock.ts";
import { refuseUnknown } from "../core/validate.ts";

/** A clock that moves only when told to. */
export interface ManualClock extends Clock {
  /** How many callbacks are scheduled. */
  readonly timers: number;
  /**
   * Moves time on by `ms`, running what falls due in order, each at its own time, and letting
   * promises settle after each.
   */
  advance(ms: number): Promise<void>;
  /** Moves time on to the next scheduled callback and runs it. False when there is none. */
  next(): Promise<boolean>;
  /** Lets promises settle; time stands still. */
  settle(): Promise<void>;
}

/** Makes a manual clock. `epochMs` is the wall-clock time at `now() = 0`. */
export function manualClock(options: { readonly epochMs?: number | undefined } = {}): ManualClock {
  refuseUnknown(options, ["epochMs"], "manualClock: ");
  const epochMs = options.epochMs ?? Date.UTC(2026, 0, 1);
  const scheduled = new Map<number, { readonly at: number; readonly callback: () => void }>();
  let now = 0;
  let lastTimer = 0;

  // A turn of the event loop outlasts every promise job that is queued, and those that they queue.
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  const runNext = async (until: number): Promise<boolean> => {
    const [next] = [...scheduled].sort(([a, x], [b, y]) => x.at - y.at || a - b);
    if (next === undefined || next[1].at > until) return false;
    scheduled.delete(next[0]);
    now = Math.max(now, next[1].at);
    next[1].callback();
    await settle();
    return true;
  };

  return {
    now: () => now,
    epochMs: () => epochMs + now,
    schedule: (callback, delayMs) => {
      lastTimer += 1;
      scheduled.set(lastTimer, { at: now + Math.max(0, delayMs), callback });
      return lastTimer;
    },
    cancel: (timer) => {
      if (typeof timer === "number") scheduled.delete(timer);
    },
    get timers() {
      return scheduled.size;
    },
    settle,
    next: async () => {
      await settle();
      return runNext(Infinity);
    },
    advance: async (ms) => {
      const until = now + ms;
      await settle();
      while (await runNext(until));
      now = Math.max(now, until);
    },
  };
}
