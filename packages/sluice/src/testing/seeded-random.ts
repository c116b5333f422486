import type { Random } from "../clock.ts";
import { invalidOption } from "../core/validate.ts";

/** Chance that repeats: the same seed, the same numbers, on every machine (mulberry32). */
export function seededRandom(seed: number): Random {
  if (typeof seed !== "number") throw invalidOption("seededRandom: the seed", "a number", seed);
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
