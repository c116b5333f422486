/**
 * The columns that a keyed batch is written to, and the values of `sums` and `distinct` as arrays.
 */
import { quote, SluiceError } from "../../errors.ts";
import type { KeyedBatch, KeyedFields } from "../../shapes/keyed-batch.ts";
import { numberArray, textArray, timeArray } from "./array-literal.ts";
import { castType, identifier, typeName } from "./identifiers.ts";

/** Names and types of columns, by field. */
export interface ColumnOptions {
  /** The column of a field, where it has another name than the field. */
  readonly columns?: Readonly<Record<string, string>> | undefined;
  /** The type of a key column that is not text; with `writeLatest`, of any column. */
  readonly types?: Readonly<Record<string, string>> | undefined;
}

/** A field as SQL sees it: its column, its name within `unnest`, and the type of its array. */
export interface Column {
  readonly name: string;
  readonly alias: string;
  readonly type: string;
}

/** The columns of each kind of field. */
export interface KeyedColumns {
  readonly key: readonly Column[];
  readonly sum: readonly Column[];
  readonly last: readonly Column[];
}

/** Maps the fields of a batch to columns. Throws for other batches, and options that name no field. */
export function keyedColumns(
  sink: string,
  batch: KeyedBatch,
  options: ColumnOptions,
): KeyedColumns {
  const fields = batch?.fields as Partial<KeyedFields> | undefined;
  const { key, sum, last } = fields ?? {};
  if (key === undefined || sum === undefined || last === undefined) {
    const message = `${sink} writes batches of sums or distinct; received ${quote(batch)}`;
    throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
  }
  refuseStray(sink, options, [...key, ...sum, ...last], key);
  return {
    key: key.map(columnOf(sink, options, "k", "text")),
    sum: sum.map(columnOf(sink, options, "s", "bigint")),
    last: last.map(columnOf(sink, options, "l", "timestamptz")),
  };
}

/** Refuses names and types for fields that are not there, or whose type is given. */
export function refuseStray(
  sink: string,
  { columns = {}, types = {} }: ColumnOptions,
  fields: readonly string[],
  typed: readonly string[],
): void {
  for (const [option, valid, names] of [
    ["columns", fields, columns],
    ["types", typed, types],
  ] as const) {
    const stray = Object.keys(names).find((name) => !valid.includes(name));
    if (stray === undefined) continue;
    const message = `${sink}: ${option} names ${quote(stray)}; the fields are ${valid.join(", ")}`;
    throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
  }
}

/** Maps fields to columns of a type, unless the options say otherwise. */
export function columnOf(
  sink: string,
  { columns = {}, types = {} }: ColumnOptions,
  prefix: string,
  type: string,
): (field: string, index: number) => Column {
  return (field, index) => ({
    name: identifier(`${sink}: the column of ${quote(field)}`, own(columns, field) ?? field),
    alias: `${prefix}${index}`,
    type: castType(typeName(`${sink}: the type of ${quote(field)}`, own(types, field) ?? type)),
  });
}

/** `unnest($1::text[], $2::bigint[]) AS u(k0, s0)`; with `place`, rows are numbered from 1 by it. */
export function unnestSql(columns: readonly Column[], first: number, place?: string): string {
  const arrays = columns.map(({ type }, index) => `$${first + index}::${type}[]`);
  const names = columns.map(({ alias }) => alias);
  const numbered = place === undefined ? "" : " WITH ORDINALITY";
  if (place !== undefined) names.push(place);
  return `unnest(${arrays.join(", ")})${numbered} AS u(${names.join(", ")})`;
}

/** Types whose values are the texts that are given. */
const TEXTS: ReadonlySet<string> = new Set(["text", "varchar"]);

/** Whether a batch, which is in the order of its keys' bytes, is in `lockOrder`. */
export const isInLockOrder = (key: readonly Column[]): boolean =>
  key.every(({ type }) => TEXTS.has(type));

/** Types of which equal values are written as one text. */
const ONE_SPELLING: ReadonlySet<string> = new Set([...TEXTS, "uuid"]);

/**
 * The order in which every writer locks the rows of `of`: that of bytes, as everywhere, or that of the type
 * where equal values may be written as two texts, as with citext.
 */
export const lockOrder = (key: readonly Column[], of: string): string =>
  key
    .map(({ alias, type }) => `${of}.${alias}${ONE_SPELLING.has(type) ? '::text COLLATE "C"' : ""}`)
    .join(", ");

/** The values of a batch, an array literal per column: keys, sums, times. */
export function keyedValues({ fields, entries }: KeyedBatch): readonly string[] {
  return [
    ...fields.key.map((_, index) => textArray(entries.map(({ key }) => key[index] ?? null))),
    ...fields.sum.map((_, index) => numberArray(entries.map(({ sums }) => sums[index] ?? 0))),
    ...fields.last.map((_, index) => timeArray(entries.map(({ last }) => last[index] ?? null))),
  ];
}

/** A field may be called `constructor`: only what the user wrote counts. */
const own = (record: Readonly<Record<string, string>>, name: string): string | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;
