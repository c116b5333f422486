import type { Random } from "sluice";
import { seededRandom } from "sluice/testing";

/** Chance that repeats. Each stream of a seed is its own: drawing more from one changes no other. */
export class Dice {
  readonly random: Random;

  constructor(seed: number, stream: number) {
    this.random = seededRandom(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(stream + 1, 0x85eb_ca6b));
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  pick<T>(options: readonly [T, ...T[]]): T {
    return options[this.below(options.length)] ?? options[0];
  }

  /** One of the names, each as likely as its weight says. */
  weigh<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    let left = 0;
    for (const name in weights) left += weights[name];
    left *= this.random();
    for (const name in weights) {
      left -= weights[name];
      if (left < 0) return name;
    }
    throw new RangeError(`nothing to draw from: ${JSON.stringify(weights)}`);
  }
}
