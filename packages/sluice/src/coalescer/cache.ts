import type { Clock } from "../clock.ts";

/** What a coalescer keeps answers in. An LRU cache of any library has these methods. */
export interface AnswerCache<Answer> {
  readonly size: number;
  get(key: string): { readonly answer: Answer } | undefined;
  set(key: string, held: { readonly answer: Answer }): unknown;
  delete(key: string): unknown;
  clear(): void;
}

/**
 * Makes the cache of one coalescer, and of no other: keys do not say whose they are. `evicted` is to be
 * called for each answer that leaves unasked.
 */
export type MakeCache<Answer> = (parts: {
  readonly evicted: () => void;
  readonly clock: Clock;
}) => AnswerCache<Answer>;

/** What a cache has done. */
export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly inserts: number;
  /** Answers that left because there was no room for them, or their time was over. */
  readonly evictions: number;
  /** Answers held. */
  readonly size: number;
  /** hits / (hits + misses), from 0 to 1; 0 before the first. */
  readonly hitRatio: number;
}
