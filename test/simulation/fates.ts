import type { StoreFault } from "./coverage.ts";
import type { Dice } from "./dice.ts";

/** What befalls one attempt at the store. */
export type Fate =
  | "well"
  | "slow"
  | "fail before commit"
  | "lose the acknowledgement"
  | "hang"
  | "zombie";

/** How a store of this seed fares. */
export interface Weather {
  /** Each fate's weight among attempts. */
  readonly fates: Readonly<Record<Fate, number>>;
  /** The most virtual milliseconds that an answer takes when all is well. */
  readonly latencyMs: number;
  /** How long a slow answer, and a commit that nobody waits for any more, may take. */
  readonly lateMs: number;
  /** Whether entries at fault are left out, or refused with their batch: the share that is left out. */
  readonly partial: number;
  /** The most entries that an attempt may have: always, or from the first acknowledgement that is lost. */
  readonly maxEntries: number;
  readonly strictFrom: "the start" | "a loss";
}

/** Draws the weather of a seed: which faults there are at all, and how often each. */
export function drawWeather(dice: Dice): Weather {
  const share = (): number => (dice.chance(0.5) ? dice.pick([0.05, 0.2, 0.5, 1]) : 0);
  return {
    fates: {
      well: dice.pick([0.2, 1, 3]),
      slow: share(),
      "fail before commit": share(),
      "lose the acknowledgement": share(),
      hang: share() / 2,
      zombie: share(),
    },
    latencyMs: dice.pick([0, 0, 3, 10]),
    lateMs: dice.pick([30, 300, 3_000]),
    partial: dice.pick([0, 0.5, 1]),
    maxEntries: dice.chance(0.35) ? dice.pick([1, 1, 2, 4]) : Infinity,
    strictFrom: dice.pick(["the start", "a loss", "a loss"]),
  };
}

/** Draws what happens to attempts. */
export class Fates {
  readonly #dice: Dice;
  readonly #weather: Weather;
  #hasLost = false;
  /** Once the faults have stopped, everything goes well but for what can never land. */
  calm = false;
  /** The store is away: nothing gets through. */
  down = false;

  constructor(dice: Dice, weather: Weather) {
    this.#dice = dice;
    this.#weather = weather;
  }

  /** The most entries that an attempt may have by now. */
  get maxEntries(): number {
    const { maxEntries, strictFrom } = this.#weather;
    return strictFrom === "the start" || this.#hasLost ? maxEntries : Infinity;
  }

  draw(): Fate {
    if (this.calm) return "well";
    if (this.down) return this.#dice.pick(["fail before commit", "fail before commit", "hang"]);
    return this.#dice.weigh(this.#weather.fates);
  }

  /** Whether the entries at fault are left out, and the others applied. */
  leavesOut(): boolean {
    return this.#dice.chance(this.#weather.partial);
  }

  /** How long an answer takes. */
  latencyMs(fate: Fate): number {
    const { latencyMs, lateMs } = this.#weather;
    if (fate === "slow" || fate === "zombie") return 1 + this.#dice.below(lateMs);
    return this.calm ? 1 : this.#dice.below(latencyMs + 1);
  }

  /** What was applied has not been acknowledged. Of all moments to become strict, this is the worst. */
  lost(): void {
    this.#hasLost = true;
  }

  /** Any part of one. */
  share(): number {
    return this.#dice.random();
  }

  /** Whether a statement is held up between two rows. */
  pauses(): boolean {
    return this.#dice.chance(0.15);
  }

  /** Either way with the same chance. */
  coin(): boolean {
    return this.#dice.chance(0.5);
  }

  pick<T>(options: readonly [T, ...T[]]): T {
    return this.#dice.pick(options);
  }
}

/** The fault that a fate is, if it is one. */
export const faultOf = (fate: Fate): StoreFault | undefined => (fate === "well" ? undefined : fate);
