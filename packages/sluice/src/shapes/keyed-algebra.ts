/**
 * The algebra that all keyed batches share: entries sorted by key, each key once.
 */
import { quote, SluiceError } from "../errors.ts";
import type { Shape, Size } from "./shape.ts";
import { byteLength, compareText } from "./text.ts";

/** What every keyed entry has. */
export interface KeyedPart {
  readonly key: readonly string[];
  /** How many items were folded into it. */
  readonly items: number;
}

/** A frozen keyed batch: entries sorted by key, in UTF-8 byte order, each key once. */
export interface SortedBatch<Fields, Entry extends KeyedPart> {
  readonly fields: Fields;
  readonly entries: readonly Entry[];
}

/** What the entries of one kind of batch are. */
export interface EntryKind<Entry extends KeyedPart> {
  /** Of two entries under one key, the first older: their fold. */
  merge(a: Entry, b: Entry): Entry;
  /** Bytes beyond those of the key. */
  bytesOf(entry: Entry): number;
  /** The entry as fields by name. */
  record(entry: Entry): Record<string, unknown>;
  /** The entry as JSON, and back. What is no entry throws. */
  toRow(entry: Entry): readonly unknown[];
  fromRow(row: readonly unknown[]): Entry;
}

type Algebra<Batch> = Pick<
  Shape<never, Batch, Record<string, unknown>>,
  "size" | "entryAt" | "itemsAt" | "split" | "merge" | "encode" | "decode"
>;

/** The functions of a keyed shape that concern its batches. */
export function keyedAlgebra<Fields, Entry extends KeyedPart>(
  kind: string,
  fields: Fields,
  of: EntryKind<Entry>,
): Algebra<SortedBatch<Fields, Entry>> {
  type Batch = SortedBatch<Fields, Entry>;
  const entryAt = ({ entries }: Batch, index: number): Entry => {
    const entry = entries[index];
    if (entry !== undefined) return entry;
    throw new RangeError(`no entry ${index} in a batch of ${entries.length}`);
  };
  return {
    size: ({ entries }) => sizeOf(entries, of),
    entryAt: (batch, index) => of.record(entryAt(batch, index)),
    itemsAt: (batch, index) => entryAt(batch, index).items,
    split: ({ entries }, at) => [
      freeze(fields, entries.slice(0, at)),
      freeze(fields, entries.slice(at)),
    ],
    merge: (first, second) => freeze(fields, mergeEntries(first.entries, second.entries, of)),
    encode: ({ entries }) =>
      new TextEncoder().encode(JSON.stringify(entries.map((entry) => of.toRow(entry)))),
    decode: (bytes) => {
      try {
        return freeze(fields, decodeEntries(bytes, of));
      } catch (cause) {
        const message = `${kind}: these bytes are no batch`;
        throw new SluiceError("SLUICE_ERR_BATCH_INVALID", message, { cause });
      }
    },
  };
}

/** Sorts entries, each with its ordinal, into a frozen batch. */
export function sortBatch<Fields, Entry extends KeyedPart>(
  fields: Fields,
  entries: readonly { readonly entry: Entry; readonly ordinal: number }[],
): { readonly batch: SortedBatch<Fields, Entry>; readonly ordinals: readonly number[] } {
  const sorted = [...entries].sort((a, b) => compareKeys(a.entry, b.entry));
  const batch = freeze(
    fields,
    sorted.map(({ entry }) => entry),
  );
  return { batch, ordinals: sorted.map(({ ordinal }) => ordinal) };
}

/** Part `index` of a row, which must be a list of `length` that `fits`. */
export function listOf(
  row: readonly unknown[],
  index: number,
  length: number,
  fits: (part: unknown) => boolean,
): unknown[] {
  const value = row[index];
  if (Array.isArray(value) && value.length === length && value.every(fits)) return value;
  throw new TypeError(`bad part ${quote(value)}`);
}

/** Part `index` of a row, which must be a count of items. */
export function countOf(row: readonly unknown[], index: number): number {
  const value = row[index];
  if (Number.isSafeInteger(value) && Number(value) >= 1) return Number(value);
  throw new TypeError(`bad item count ${quote(value)}`);
}

function compareKeys(a: KeyedPart, b: KeyedPart): number {
  for (let index = 0; index < a.key.length; index += 1) {
    const order = compareText(a.key[index] as string, b.key[index] as string);
    if (order !== 0) return order;
  }
  return 0;
}

function freeze<Fields, Entry extends KeyedPart>(
  fields: Fields,
  entries: readonly Entry[],
): SortedBatch<Fields, Entry> {
  return Object.freeze({ fields, entries: Object.freeze(entries) });
}

function sizeOf<Entry extends KeyedPart>(entries: readonly Entry[], of: EntryKind<Entry>): Size {
  let [items, bytes] = [0, 0];
  for (const entry of entries) {
    items += entry.items;
    bytes += of.bytesOf(entry);
    for (const part of entry.key) bytes += byteLength(part);
  }
  return { items, entries: entries.length, bytes };
}

function mergeEntries<Entry extends KeyedPart>(
  first: readonly Entry[],
  second: readonly Entry[],
  of: EntryKind<Entry>,
): Entry[] {
  const merged: Entry[] = [];
  let [i, j] = [0, 0];
  for (;;) {
    const [a, b] = [first[i], second[j]];
    if (a === undefined && b === undefined) return merged;
    const order = a === undefined ? 1 : b === undefined ? -1 : compareKeys(a, b);
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
    if (order !== 0) merged.push((order < 0 ? a : b) as Entry);
    else merged.push(of.merge(a as Entry, b as Entry));
  }
}

function decodeEntries<Entry extends KeyedPart>(bytes: Uint8Array, of: EntryKind<Entry>): Entry[] {
  const rows: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (!Array.isArray(rows)) throw new TypeError("not a list of entries");
  const entries = rows.map((row: unknown) => of.fromRow(Array.isArray(row) ? row : []));
  for (const [index, entry] of entries.entries()) {
    const before = entries[index - 1];
    if (before === undefined || compareKeys(before, entry) < 0) continue;
    throw new TypeError(`key ${quote(entry.key)} is out of order`);
  }
  return entries;
}
