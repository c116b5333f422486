import type { Limits } from "sluice";
import type { Dice } from "./dice.ts";
import type { Kind } from "./kinds.ts";
import type { WatchedLimits } from "./limits-watch.ts";

/** The limits that a program of a seed runs under. */
export interface ProgramLimits {
  readonly options: Limits & { readonly lanes: number };
  readonly watched: WatchedLimits;
  /** What limits may shrink to: an item must always be able to fit. */
  readonly least: { readonly entries: number };
  /** Whether dead letters take their time. */
  readonly slowLetters: boolean;
  /** In what time everything must have drained once all faults are over. */
  readonly drainMs: (batches: number) => number;
}

const MIB = 1_048_576;
/** The longest that a simulated store asks to be left alone. */
const LONGEST_RETRY_AFTER_MS = 5_000;

/** Draws limits: tiny ones, which are met all the time, or those that a user gets. */
export function drawLimits(dice: Dice, kind: Kind): ProgramLimits {
  const real = dice.chance(0.1);
  const maxEntries = real ? 1_000 : dice.pick([1, 2, 3, 5, 8, 20]);
  // An item of a composed shape may have two entries.
  const least = kind.name === "compose" ? 2 : 1;
  const room = real ? 50_000 : Math.max(least, maxEntries * dice.pick([1, 1, 2, 4]));
  const bytes = real ? 64 * MIB : dice.pick([200, 600, MIB, MIB]);
  const writeTimeoutMs = real ? 30_000 : dice.pick([10, 50, 400]);
  const deliveryTimeoutMs = real
    ? kind.shape.keyed
      ? Infinity
      : 120_000
    : Math.max(writeTimeoutMs, dice.pick([30, 200, 2_000, Infinity, Infinity]));
  const maxDelayMs = real ? 250 : dice.pick([0, 1, 10, 100]);
  const retry = real
    ? { baseDelayMs: 100, maxDelayMs: 30_000, circuitAfter: 5 }
    : {
        baseDelayMs: dice.pick([2, 20, 50]),
        // Half an hour of short pauses would be no more of a test than one of long ones.
        maxDelayMs: kind.name === "rows" ? 5_000 : dice.pick([50, 500, 5_000]),
        circuitAfter: dice.pick([1, 2, 3, 5]),
        maxAttempts: dice.pick([Infinity, Infinity, Infinity, 1, 3]),
      };
  const lanes = dice.pick([1, 1, 1, 2, 3]);
  const limits = { maxEntries, maxDelayMs, deliveryTimeoutMs, writeTimeoutMs, lanes };
  const slowLetters = dice.chance(0.3);
  const rest = retry.maxDelayMs + LONGEST_RETRY_AFTER_MS + writeTimeoutMs + maxDelayMs;
  return {
    options: {
      ...limits,
      maxBytes: Math.min(bytes, 4 * MIB),
      maxBufferedEntries: room,
      maxBufferedBytes: bytes,
      overflow: dice.pick(["wait", "wait", "reject", "drop-newest", "drop-oldest"]),
      retry,
    },
    watched: {
      ...limits,
      maxBytes: Math.min(bytes, 4 * MIB),
      maxBufferedEntries: room,
      maxBufferedBytes: bytes,
      retry: { maxAttempts: Infinity, ...retry },
      entriesPerItem: least,
      growthBytes: kind.name === "latest" ? 100 : 0,
    },
    least: { entries: Math.max(least, maxEntries) },
    slowLetters,
    drainMs: (batches) => 3 * rest + batches * (writeTimeoutMs + 100),
  };
}
