/**
 * How a batch goes into tables: SQL and values, and what there is to tell afterwards.
 */
import type { WriteResult } from "../sink.ts";
import type { Row } from "./driver.ts";

/** How a batch goes into one table: data-modifying SQL whose text does not depend on rows. */
export interface TableWrite<Batch> {
  /**
   * Named queries, `name AS (…)`, of which the last is called `name` and has a row per row written.
   * Parameters start at `$first`; nothing is written where `gate` is false.
   */
  sql(batch: Batch, first: number, gate: string, name: string): string;
  /** One array literal per parameter. */
  values(batch: Batch): readonly string[];
  /** What to tell of the rows beyond that they landed. */
  readonly details?: WriteDetails<Batch> | undefined;
}

/** What a write tells of its rows. */
interface WriteDetails<Batch> {
  /** Further expressions to select, by column, where the queries are called `name` and so on. */
  columns(name: string, batch: Batch): Readonly<Record<string, string>>;
  read(row: Row, batch: Batch): Details;
}

/** Figures and lists by name: those of several statements add up and follow each other. */
export interface Details {
  readonly [name: string]: number | readonly unknown[] | Details;
}

/** A table write and the batch that it writes. */
export interface BoundWrite {
  sql(first: number, gate: string, name: string): string;
  values(): readonly string[];
  columns(name: string): Readonly<Record<string, string>>;
  details(row: Row): Details;
}

/** The columns of the row that are called `prefix`, which is the count, or `prefix_…`, by the rest. */
export function columnsOf(row: Row, prefix: string): Row {
  const own = Object.entries(row).flatMap(([column, value]): [string, unknown][] => {
    if (column === prefix) return [["count", value]];
    return column.startsWith(`${prefix}_`) ? [[column.slice(prefix.length + 1), value]] : [];
  });
  return Object.fromEntries(own);
}

/** Figures add up, lists follow each other. */
export function addDetails(a: Details, b: Details): Details {
  const sum = new Map(Object.entries(a));
  for (const [name, value] of Object.entries(b)) {
    const before = sum.get(name);
    if (typeof value === "number") sum.set(name, Number(before ?? 0) + value);
    else if (isList(value)) sum.set(name, isList(before) ? [...before, ...value] : value);
    else sum.set(name, addDetails((before ?? {}) as Details, value));
  }
  return Object.fromEntries(sum);
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

/** Details as part of a result, where there are any. */
export const told = (details: Details): Pick<WriteResult, "details"> =>
  Object.keys(details).length === 0 ? {} : { details };
