/**
 * Keyed batches: what `sums` and `distinct` seal, and its algebra.
 */
import { quote, SluiceError } from "../errors.ts";
import type { Size } from "./shape.ts";
import { byteLength, compareText } from "./text.ts";

/** One entry of a keyed batch. The parts stand in the order of the shape's field lists. */
export interface KeyedEntry {
  readonly key: readonly string[];
  readonly sums: readonly number[];
  /** Epoch milliseconds, or null where no item had a time. */
  readonly last: readonly (number | null)[];
  /** How many items were folded into it. */
  readonly items: number;
}

/** The field names of a keyed shape. */
export interface KeyedFields {
  readonly key: readonly string[];
  readonly sum: readonly string[];
  readonly last: readonly string[];
}

/** A frozen keyed batch: entries sorted by key, in UTF-8 byte order, each key once. */
export interface KeyedBatch {
  readonly fields: KeyedFields;
  readonly entries: readonly KeyedEntry[];
}

/** What a sum or a time counts for in bytes. */
export const NUMBER_BYTES = 8;

/** The later of two times; null is earlier than any. */
export const later = (a: number | null, b: number | null): number | null =>
  a === null || (b !== null && b > a) ? b : a;

export function compareEntries(a: KeyedEntry, b: KeyedEntry): number {
  for (let index = 0; index < a.key.length; index += 1) {
    const order = compareText(a.key[index] as string, b.key[index] as string);
    if (order !== 0) return order;
  }
  return 0;
}

export function mergeEntries(
  first: readonly KeyedEntry[],
  second: readonly KeyedEntry[],
): KeyedEntry[] {
  const merged: KeyedEntry[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined && b === undefined) return merged;
    const order = a === undefined ? 1 : b === undefined ? -1 : compareEntries(a, b);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    if (order !== 0) merged.push((order < 0 ? a : b) as KeyedEntry);
    else merged.push(mergeEntry(a as KeyedEntry, b as KeyedEntry));
  }
}

function mergeEntry(a: KeyedEntry, b: KeyedEntry): KeyedEntry {
  const sums = a.sums.map((sum, index) => sum + (b.sums[index] as number));
  if (!sums.every(Number.isSafeInteger)) {
    throw new SluiceError(
      "SLUICE_ERR_SUM_INVALID",
      `merged sums of key ${quote(a.key)} leave ±(2^53 - 1)`,
    );
  }
  const last = a.last.map((time, index) => later(time, b.last[index] ?? null));
  return freezeEntry({ key: a.key, sums, last, items: a.items + b.items });
}

export function split(
  { fields, entries }: KeyedBatch,
  at: number,
): readonly [KeyedBatch, KeyedBatch] {
  return [freeze(fields, entries.slice(0, at)), freeze(fields, entries.slice(at))];
}

export function freeze(fields: KeyedFields, entries: readonly KeyedEntry[]): KeyedBatch {
  return Object.freeze({ fields, entries: Object.freeze(entries) });
}

/** What is sealed stays as it is, whatever a sink does with it. */
export function freezeEntry(entry: KeyedEntry): KeyedEntry {
  Object.freeze(entry.key);
  Object.freeze(entry.sums);
  Object.freeze(entry.last);
  return Object.freeze(entry);
}

export function entryAt({ entries }: KeyedBatch, index: number): KeyedEntry {
  const entry = entries[index];
  if (entry === undefined)
    throw new RangeError(`no entry ${index} in a batch of ${entries.length}`);
  return entry;
}

export function record({ fields }: KeyedBatch, entry: KeyedEntry): Record<string, unknown> {
  const pairs: [string, unknown][] = [
    ...fields.key.map((name, index): [string, unknown] => [name, entry.key[index]]),
    ...fields.sum.map((name, index): [string, unknown] => [name, entry.sums[index]]),
    ...fields.last.map((name, index): [string, unknown] => {
      const time = entry.last[index] ?? null;
      return [name, time === null ? null : new Date(time)];
    }),
  ];
  return Object.fromEntries(pairs);
}

export function sizeOf({ fields, entries }: KeyedBatch): Size {
  const numbers = NUMBER_BYTES * (fields.sum.length + fields.last.length);
  let [items, bytes] = [0, 0];
  for (const entry of entries) {
    items += entry.items;
    bytes += numbers;
    for (const part of entry.key) bytes += byteLength(part);
  }
  return { items, entries: entries.length, bytes };
}

export function encode({ entries }: KeyedBatch): Uint8Array {
  const rows = entries.map(({ key, sums, last, items }) => [key, sums, last, items]);
  return new TextEncoder().encode(JSON.stringify(rows));
}

export function decode(kind: string, fields: KeyedFields, bytes: Uint8Array): KeyedBatch {
  try {
    const rows: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (!Array.isArray(rows)) throw new TypeError("not a list of entries");
    const entries = rows.map((row: unknown) => decodeEntry(fields, row));
    for (const [index, entry] of entries.entries()) {
      const before = entries[index - 1];
      if (before === undefined || compareEntries(before, entry) < 0) continue;
      throw new TypeError(`key ${quote(entry.key)} is out of order`);
    }
    return freeze(fields, entries);
  } catch (cause) {
    throw new SluiceError("SLUICE_ERR_BATCH_INVALID", `${kind}: these bytes are no batch`, {
      cause,
    });
  }
}

function decodeEntry(fields: KeyedFields, row: unknown): KeyedEntry {
  const [key, sums, last, items] = Array.isArray(row) ? (row as unknown[]) : [];
  const entry = {
    key: listOf(key, fields.key.length, (part) => typeof part === "string"),
    sums: listOf(sums, fields.sum.length, Number.isSafeInteger),
    last: listOf(last, fields.last.length, (time) => time === null || Number.isFinite(time)),
    items: items as number,
  };
  if (!Number.isSafeInteger(items) || entry.items < 1)
    throw new TypeError(`bad item count ${quote(items)}`);
  return freezeEntry(entry as KeyedEntry);
}

function listOf(value: unknown, length: number, fits: (part: unknown) => boolean): unknown[] {
  if (Array.isArray(value) && value.length === length && value.every(fits)) return value;
  throw new TypeError(`bad part ${quote(value)}`);
}
