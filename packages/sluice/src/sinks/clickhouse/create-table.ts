import { quote, SluiceError } from "../../errors.ts";
import type { RowColumn } from "../../shapes/row-binary/row-batch.ts";
import { identifier, type TableName } from "./identifiers.ts";

/** How a missing table is created. */
export interface CreateTableOptions {
  /** The columns of the sorting key, in order. Default: none, which keeps rows as they come. */
  readonly orderBy?: readonly string[] | undefined;
  /** SQL, taken as it is: `toYYYYMM(at)`. Never take it from input. */
  readonly partitionBy?: string | undefined;
  /** SQL, taken as it is: `ReplacingMergeTree(version)`. Default "MergeTree". */
  readonly engine?: string | undefined;
}

/** How many inserts a table that is created remembers. */
const WINDOW_BLOCKS = 10_000;

const OPTIONS: readonly string[] = ["orderBy", "partitionBy", "engine"];

/** Checks the option; `undefined` if no table is to be created. */
export function checkCreateTable(option: string, given: unknown): CreateTableOptions | undefined {
  if (given === undefined || given === false) return undefined;
  if (given === true) return {};
  if (typeof given !== "object" || given === null) {
    throw invalid(`${option} must be a boolean or an object; received ${quote(given)}`);
  }
  const unknown = Object.keys(given).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) throw invalid(`${option} has no option ${quote(unknown)}`);
  const { orderBy, partitionBy, engine } = given as Readonly<Record<string, unknown>>;
  if (orderBy !== undefined && !Array.isArray(orderBy)) {
    throw invalid(`${option}.orderBy must be a list of columns; received ${quote(orderBy)}`);
  }
  for (const name of orderBy ?? []) identifier(`${option}.orderBy`, name);
  for (const [name, text] of Object.entries({ partitionBy, engine })) {
    if (text === undefined || (typeof text === "string" && text.trim() !== "")) continue;
    throw invalid(`${option}.${name} must be SQL; received ${quote(text)}`);
  }
  return given;
}

/**
 * The statement that creates a table for these columns. `hasWindow`: the server knows
 * `non_replicated_deduplication_window`, without which a plain MergeTree deduplicates nothing.
 */
export function createTableSql(
  table: TableName,
  columns: readonly RowColumn[],
  { orderBy = [], partitionBy, engine = "MergeTree" }: CreateTableOptions,
  hasWindow: boolean,
): string {
  const list = columns.map(({ name, type }) => `${identifier("column", name)} ${type}`);
  const sorted = orderBy.map((name) => identifier("orderBy", name)).join(", ");
  const isPlain = /^(?!Replicated|Shared)\w*MergeTree\b/.test(engine);
  return [
    `CREATE TABLE IF NOT EXISTS ${table.quoted} (${list.join(", ")})`,
    `ENGINE = ${engine}`,
    partitionBy === undefined ? [] : `PARTITION BY ${partitionBy}`,
    /MergeTree\b/.test(engine) ? `ORDER BY ${sorted === "" ? "tuple()" : `(${sorted})`}` : [],
    isPlain && hasWindow ? `SETTINGS non_replicated_deduplication_window = ${WINDOW_BLOCKS}` : [],
  ]
    .flat()
    .join(" ");
}

const invalid = (message: string): SluiceError =>
  new SluiceError("SLUICE_ERR_CLICKHOUSE_OPTION", message);
