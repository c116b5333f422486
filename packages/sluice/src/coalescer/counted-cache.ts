import type { Clock } from "../clock.ts";
import { invalidOption } from "../core/validate.ts";
import type { CallKey } from "./key.ts";
import type { AnswerCache, CacheStats, MakeCache } from "./cache.ts";

/** A cache by question that counts what it does. One that throws costs a warning, and is a miss. */
export class CountedCache<Answer> {
  readonly #cache: AnswerCache<Answer>;
  readonly #warn: (error: unknown) => void;
  #hits = 0;
  #misses = 0;
  #inserts = 0;
  #evictions = 0;

  constructor(make: MakeCache<Answer>, clock: Clock, warn: (error: unknown) => void) {
    const evicted = (): void => {
      this.#evictions += 1;
    };
    this.#cache = make({ evicted, clock });
    this.#warn = warn;
    for (const method of ["get", "set", "delete", "clear"] as const) {
      if (typeof this.#cache?.[method] === "function") continue;
      throw invalidOption("cache", `a function that makes an object with ${method}()`, this.#cache);
    }
  }

  get(group: CallKey | undefined, key: CallKey): { readonly answer: Answer } | undefined {
    const held = this.#try(() => this.#cache.get(cacheKey(group, key)));
    // Some caches say null for what they do not have.
    if (typeof held === "object" && held !== null && "answer" in held) {
      this.#hits += 1;
      return held;
    }
    this.#misses += 1;
    return undefined;
  }

  set(group: CallKey | undefined, key: CallKey, answer: Answer): void {
    this.#try(() => {
      this.#cache.set(cacheKey(group, key), { answer });
      this.#inserts += 1;
    });
  }

  delete(group: CallKey | undefined, key: CallKey): void {
    this.#try(() => this.#cache.delete(cacheKey(group, key)));
  }

  clear(): void {
    this.#try(() => this.#cache.clear());
  }

  stats(): CacheStats {
    const [hits, misses, inserts, evictions] = [
      this.#hits,
      this.#misses,
      this.#inserts,
      this.#evictions,
    ];
    const hitRatio = hits === 0 ? 0 : hits / (hits + misses);
    return { hits, misses, inserts, evictions, size: this.#cache.size, hitRatio };
  }

  #try<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      this.#warn(error);
      return undefined;
    }
  }
}

/** No two questions have the same: the types, and the length of the first part, say where parts end. */
function cacheKey(group: CallKey | undefined, key: CallKey): string {
  const text = String(group);
  return `${typeof group}${text.length}:${text}${typeof key}:${key}`;
}
