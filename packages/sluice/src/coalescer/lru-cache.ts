/**
 * The cache of a coalescer, built on the package lru-cache, which the application installs.
 */
import { LRUCache } from "lru-cache";
import { count, duration, refuseUnknown } from "../core/validate.ts";
import type { MakeCache } from "./cache.ts";

/** Makes a cache for answers of any kind. */
export type MakeAnyCache = <Answer>(
  parts: Parameters<MakeCache<Answer>>[0],
) => ReturnType<MakeCache<Answer>>;

/** The options of `lruCache`. */
export interface LruCacheOptions {
  /** Answers held at most; the one that was asked for least recently makes room. Default 10,000. */
  readonly maxEntries?: number | undefined;
  /** How long an answer is good for, in milliseconds. Default 300,000. */
  readonly ttlMs?: number | undefined;
}

/**
 * An LRU cache whose answers expire.
 *
 * @example
 * createCoalescer({ key, resolve, cache: lruCache({ maxEntries: 10_000, ttlMs: 60_000 }) })
 */
export function lruCache(options: LruCacheOptions = {}): MakeAnyCache {
  refuseUnknown(options, ["maxEntries", "ttlMs"], "lruCache: ");
  const max = count("lruCache: maxEntries", options.maxEntries, 10_000, 2 ** 24);
  const ttl = Math.ceil(duration("lruCache: ttlMs", options.ttlMs, 300_000, 1)); // it takes whole ones only
  return <Answer>({ evicted, clock }: Parameters<MakeCache<Answer>>[0]) =>
    new LRUCache<string, { readonly answer: Answer }>({
      max,
      ttl,
      ttlResolution: 0, // no timer of its own: time is the clock's
      perf: { now: () => clock.now() + 1 }, // it takes 0 for no time at all
      dispose: (_held, _key, reason) => {
        if (reason === "evict" || reason === "expire") evicted();
      },
    });
}
