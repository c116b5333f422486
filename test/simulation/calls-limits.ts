import type { Dice } from "./dice.ts";

/** The limits that a coalescer of a seed runs under. */
export type CallsLimits = ReturnType<typeof drawCallsLimits>;

/** Draws limits: tiny ones, which are met all the time, or those that a user gets. */
export function drawCallsLimits(dice: Dice) {
  const real = dice.chance(0.1);
  const callTimeoutMs = real ? 10_000 : dice.pick([5, 20, 100]);
  const deliveryTimeoutMs = real ? 30_000 : Math.max(callTimeoutMs, dice.pick([20, 60, 500]));
  const maxDelayMs = real ? 0 : dice.pick([0, 0, 7]);
  const maxEntries = real ? 1_000 : dice.pick([1, 2, 3, 8]);
  const maxBufferedEntries = real ? 50_000 : maxEntries * dice.pick([1, 2, 4, 1_000]);
  const overflow = dice.pick(["wait", "wait", "reject"] as const);
  const options = {
    maxEntries,
    maxBufferedEntries,
    maxInFlight: real ? 16 : dice.pick([1, 2, 5]),
    maxDelayMs,
    dispatchWhenIdle: dice.chance(0.5),
    overflow,
    missing: dice.pick(["error", "undefined"] as const),
    callTimeoutMs,
    deliveryTimeoutMs,
    retry: { baseDelayMs: dice.pick([1, 8]), maxAttempts: dice.pick([Infinity, 1, 2, 5]) },
  };
  const waitsForRoom = overflow === "wait" && maxBufferedEntries < 1_000;
  return {
    options,
    cached: dice.chance(0.4),
    /** How long an answer takes at most, where nobody waits for room. */
    answersWithinMs: waitsForRoom ? Infinity : maxDelayMs + deliveryTimeoutMs,
    drainMs: 40 * (deliveryTimeoutMs + maxDelayMs) + 30_000,
  };
}
