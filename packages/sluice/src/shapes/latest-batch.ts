/**
 * What `latest` seals.
 */
import { quote } from "../errors.ts";
import {
  countOf,
  type EntryKind,
  type KeyedPart,
  listOf,
  type SortedBatch,
} from "./keyed-algebra.ts";
import { byteLength } from "./text.ts";
import { showVersion, type VersionType } from "./versions.ts";

/** A value that every store and JSON can keep. */
export type Scalar = string | number | boolean | null;

/** One entry of a `latest` batch. The parts stand in the order of the shape's field lists. */
export interface LatestEntry extends KeyedPart {
  /** Microseconds since the Unix epoch, or the number, as `fields.versionType` says. */
  readonly version: bigint;
  readonly values: readonly Scalar[];
}

/** The fields of a `latest` shape. */
export interface LatestFields {
  readonly key: readonly string[];
  readonly value: readonly string[];
  readonly version: string;
  readonly versionType: VersionType;
}

/** A frozen batch of `latest`: entries sorted by key, in UTF-8 byte order, each key once. */
export interface LatestBatch extends SortedBatch<LatestFields, LatestEntry> {}

/** What a version counts for in bytes, and every value that is no text. */
export const VERSION_BYTES = 8;

/** What values count for in bytes. */
export function valueBytes(values: readonly Scalar[]): number {
  let bytes = 0;
  for (const value of values) bytes += typeof value === "string" ? byteLength(value) : 8;
  return bytes;
}

/** Entries with these fields. */
export function latestEntries(fields: LatestFields): EntryKind<LatestEntry> {
  const { key, value, version, versionType } = fields;
  return {
    // Of equal versions the second stays, as it does in an accumulator.
    merge: (a, b) =>
      Object.freeze({ ...(a.version > b.version ? a : b), items: a.items + b.items }),
    bytesOf: ({ values }) => VERSION_BYTES + valueBytes(values),
    record: (entry) =>
      Object.fromEntries([
        ...key.map((name, index): [string, unknown] => [name, entry.key[index]]),
        ...value.map((name, index): [string, unknown] => [name, entry.values[index]]),
        [version, showVersion(versionType, entry.version)],
      ]),
    toRow: (entry) => [entry.key, entry.version.toString(), entry.values, entry.items],
    fromRow: (row) =>
      Object.freeze({
        key: Object.freeze(listOf(row, 0, key.length, isText) as string[]),
        version: versionOf(row[1]),
        values: Object.freeze(listOf(row, 2, value.length, isScalar) as Scalar[]),
        items: countOf(row, 3),
      }),
  };
}

const isText = (part: unknown): boolean => typeof part === "string";
const isScalar = (part: unknown): boolean =>
  part === null || ["string", "number", "boolean"].includes(typeof part);

function versionOf(part: unknown): bigint {
  const version = typeof part === "string" && /^-?\d{1,19}$/.test(part) ? BigInt(part) : undefined;
  if (version !== undefined && BigInt.asIntN(64, version) === version) return version;
  throw new TypeError(`bad version ${quote(part)}`);
}
