import { keyedShape } from "./keyed.ts";
import type { KeyedBatch } from "./keyed-batch.ts";
import type { Shape } from "./shape.ts";

/** A point in time: a `Date`, or milliseconds since the Unix epoch. */
export type Time = Date | number;

/** An item of `sums`: its key, what to add, and when. Absent sums add nothing. */
export type SumsItem<Key extends string, Sum extends string, Last extends string> = {
  readonly [field in Key]: string;
} & { readonly [field in Sum]?: number | undefined } & {
  readonly [field in Last]?: Time | undefined;
};

/** The fields of a `sums` shape. */
export interface SumsOptions<Key extends string, Sum extends string, Last extends string> {
  /** Text fields that make the key, at least one. */
  readonly key: readonly Key[];
  /** Whole-number fields that add up. They may be negative; a sum stays within ±(2^53 - 1). */
  readonly sum: readonly Sum[];
  /** Time fields of which the latest stays. */
  readonly last?: readonly Last[] | undefined;
  /** The most UTF-8 bytes that the key parts of an item may have together. Default 1,024. */
  readonly maxKeyBytes?: number | undefined;
}

/**
 * Adds up numbers per key. Batches hold each key once, sorted in UTF-8 byte order.
 *
 * @example
 * sums({ key: ["client", "table"], sum: ["reads", "writes"], last: ["lastAt"] })
 */
export function sums<
  const Key extends string,
  const Sum extends string,
  const Last extends string = never,
>(
  options: SumsOptions<Key, Sum, Last>,
): Shape<SumsItem<Key, Sum, Last>, KeyedBatch, Record<string, unknown>> {
  return keyedShape("sums", options);
}
