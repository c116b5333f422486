/**
 * What items, batches and stores say, in one form, so that one tally can be held against all of them.
 * Worked out from what the caller added, never from what the engine made of it.
 */

/** What an item, an entry or a row says about a key. */
export interface Fact {
  /** The part of a composed batch, or the kind. */
  readonly of: string;
  readonly key: string;
  /** Adds up: how often, and how much. Zero where versions count. */
  readonly times: number;
  readonly sum: number;
  /** The greatest counts, with its value. Undefined where facts add up. */
  readonly version?: number | undefined;
  readonly value?: string | undefined;
}

/** What is known of one key. */
export interface Known {
  times: number;
  sum: number;
  /** Every version, with the values that came with it. */
  readonly versions: Map<number, Set<string>>;
}

/** Facts by part and key. */
export class Facts {
  readonly #known = new Map<string, Known>();

  get names(): Iterable<string> {
    return this.#known.keys();
  }

  of(name: string): Readonly<Known> {
    return this.#known.get(name) ?? { times: 0, sum: 0, versions: new Map() };
  }

  /** Times of all keys together. */
  get times(): number {
    let times = 0;
    for (const known of this.#known.values()) times += known.times;
    return times;
  }

  add(facts: Iterable<Fact>): void {
    for (const { of, key, times, sum, version, value = "" } of facts) {
      const name = `${of} ${key}`;
      let known = this.#known.get(name);
      if (known === undefined) {
        known = { times: 0, sum: 0, versions: new Map() };
        this.#known.set(name, known);
      }
      known.times += times;
      known.sum += sum;
      if (version === undefined) continue;
      const values = known.versions.get(version);
      if (values === undefined) known.versions.set(version, new Set([value]));
      else values.add(value);
    }
  }
}

/** Keys that no store takes. */
export const isPoison = (key: string): boolean => key.startsWith("poison");
