/**
 * What `sums` and `distinct` seal.
 */
import { quote, SluiceError } from "../errors.ts";
import {
  countOf,
  type EntryKind,
  type KeyedPart,
  listOf,
  type SortedBatch,
} from "./keyed-algebra.ts";

/** One entry of a keyed batch. The parts stand in the order of the shape's field lists. */
export interface KeyedEntry extends KeyedPart {
  readonly sums: readonly number[];
  /** Epoch milliseconds, or null where no item had a time. */
  readonly last: readonly (number | null)[];
}

/** The field names of a keyed shape. */
export interface KeyedFields {
  readonly key: readonly string[];
  readonly sum: readonly string[];
  readonly last: readonly string[];
}

/** A frozen keyed batch: entries sorted by key, in UTF-8 byte order, each key once. */
export interface KeyedBatch extends SortedBatch<KeyedFields, KeyedEntry> {}

/** What a sum or a time counts for in bytes. */
export const NUMBER_BYTES = 8;

/** The later of two times; null is earlier than any. */
export const later = (a: number | null, b: number | null): number | null =>
  a === null || (b !== null && b > a) ? b : a;

/** What is sealed stays as it is, whatever a sink does with it. */
export function freezeEntry(entry: KeyedEntry): KeyedEntry {
  Object.freeze(entry.key);
  Object.freeze(entry.sums);
  Object.freeze(entry.last);
  return Object.freeze(entry);
}

/** Entries with these fields. */
export function keyedEntries(fields: KeyedFields): EntryKind<KeyedEntry> {
  const { key, sum, last } = fields;
  const numbers = NUMBER_BYTES * (sum.length + last.length);
  return {
    merge: (a, b) => {
      const sums = a.sums.map((value, index) => value + (b.sums[index] as number));
      if (!sums.every(Number.isSafeInteger)) {
        const message = `merged sums of key ${quote(a.key)} leave ±(2^53 - 1)`;
        throw new SluiceError("SLUICE_ERR_SUM_INVALID", message);
      }
      const times = a.last.map((time, index) => later(time, b.last[index] ?? null));
      return freezeEntry({ key: a.key, sums, last: times, items: a.items + b.items });
    },
    bytesOf: () => numbers,
    record: (entry) => {
      const pairs: [string, unknown][] = [
        ...key.map((name, index): [string, unknown] => [name, entry.key[index]]),
        ...sum.map((name, index): [string, unknown] => [name, entry.sums[index]]),
        ...last.map((name, index): [string, unknown] => {
          const time = entry.last[index] ?? null;
          return [name, time === null ? null : new Date(time)];
        }),
      ];
      return Object.fromEntries(pairs);
    },
    toRow: (entry) => [entry.key, entry.sums, entry.last, entry.items],
    fromRow: (row) =>
      freezeEntry({
        key: listOf(row, 0, key.length, (part) => typeof part === "string") as string[],
        sums: listOf(row, 1, sum.length, Number.isSafeInteger) as number[],
        last: listOf(row, 2, last.length, isTimeOrNone) as (number | null)[],
        items: countOf(row, 3),
      }),
  };
}

const isTimeOrNone = (time: unknown): boolean => time === null || Number.isFinite(time);
