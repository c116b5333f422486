/**
 * Time and chance, injected. This file alone may touch the ambient clock, timers and randomness.
 */
import { randomUUID } from "node:crypto";

/** A scheduled callback; pass it back to `Clock.cancel`. */
export type Timer = unknown;

/** The time that the engine lives by. `systemClock` is real time; `sluice/testing` has a manual one. */
export interface Clock {
  /** Monotonic milliseconds since an arbitrary origin; for ages and deadlines. */
  now(): number;
  /** Milliseconds since the Unix epoch; for event times, and for ages that go on while the machine sleeps. */
  epochMs(): number;
  /** Runs `callback` once, `delayMs` from now or later. */
  schedule(callback: () => void, delayMs: number): Timer;
  /** Cancels a scheduled callback; a callback that ran or was cancelled is ignored. */
  cancel(timer: Timer): void;
}

/** A number in [0, 1), as `Math.random` gives. */
export type Random = () => number;

/** The longest delay that a timer of Node keeps: 2^31 - 1 ms. Longer ones would fire at once. */
export const MAX_TIMER_MS = 2_147_483_647;

/** Real time. Its timers keep the process alive: what was accepted must be delivered before exit. */
export const systemClock: Clock = {
  now: () => performance.now(),
  epochMs: () => Date.now(),
  schedule: (callback, delayMs) =>
    setTimeout(callback, Math.min(Math.max(Math.ceil(delayMs), 0), MAX_TIMER_MS)),
  cancel: (timer) => {
    clearTimeout(timer as NodeJS.Timeout);
  },
};

/**
 * The end of the current tick: after every promise job that is queued, and those that they queue. A
 * tick callback runs before the promise jobs if it is asked for outside of one, hence the first wait.
 */
export async function endOfTick(): Promise<void> {
  await Promise.resolve();
  await new Promise<void>((resolve) => {
    process.nextTick(resolve);
  });
}

/** Real chance. */
export const systemRandom: Random = () => Math.random();

/**
 * A name that no other process has. Never drawn from an injected `Random`: two writers that share a
 * seed would share a ledger row, and one would skip the other's batches.
 */
export const uniqueId = (): string => randomUUID();
