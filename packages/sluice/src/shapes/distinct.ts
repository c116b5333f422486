import { keyedShape } from "./keyed.ts";
import type { KeyedBatch } from "./keyed-batch.ts";
import type { Shape } from "./shape.ts";
import type { SumsItem } from "./sums.ts";

/** The fields of a `distinct` shape. */
export interface DistinctOptions<Key extends string, Last extends string> {
  /** Text fields that make the key, at least one. */
  readonly key: readonly Key[];
  /** Time fields of which the latest stays. */
  readonly last?: readonly Last[] | undefined;
  /** The most UTF-8 bytes that the key parts of an item may have together. Default 1,024. */
  readonly maxKeyBytes?: number | undefined;
}

/**
 * The set of keys that occurred, and when each occurred last. A batch is one of `sums` without sums.
 *
 * @example
 * distinct({ key: ["client"], last: ["at"] })
 */
export function distinct<const Key extends string, const Last extends string = never>(
  options: DistinctOptions<Key, Last>,
): Shape<SumsItem<Key, never, Last>, KeyedBatch, Record<string, unknown>> {
  return keyedShape("distinct", options);
}
