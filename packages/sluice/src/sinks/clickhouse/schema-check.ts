/**
 * Holds the columns of rows against those of a table, and lists every difference.
 */
import type { RowColumn } from "../../shapes/row-binary/row-batch.ts";
import { messageOf, quote, SluiceError } from "../../errors.ts";
import { serverCode } from "./error-codes.ts";
import type { TableName } from "./identifiers.ts";
import type { StatementOptions, Transport } from "./transport.ts";
import { fits, holdsJson, onOneLine } from "./type-names.ts";

/** A column as DESCRIBE tells it. */
export interface TableColumn {
  readonly name: string;
  /** On one line, as the server itself writes it in a header. */
  readonly type: string;
  /** "" or DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL. */
  readonly defaultKind: string;
}

/** UNKNOWN_TABLE, UNKNOWN_DATABASE, TABLE_IS_DROPPED. */
const ABSENT: readonly (number | undefined)[] = [60, 81, 218];

/** Describes a table; `undefined` if there is none. Throws what the transport throws. */
export async function describeTable(
  transport: Transport,
  table: TableName,
  options: StatementOptions,
): Promise<readonly TableColumn[] | undefined> {
  try {
    const rows = await transport.query(`DESCRIBE TABLE ${table.quoted}`, options);
    return rows.map((row) => ({
      name: String(row["name"]),
      type: onOneLine(String(row["type"])),
      defaultKind: String(row["default_type"] ?? ""),
    }));
  } catch (error) {
    if (!ABSENT.includes(serverCode(error))) throw error;
    return undefined;
  }
}

/** What is compared besides the columns. */
export interface SchemaOptions {
  /** Columns of the table that rows leave out may lack a default. Default false. */
  readonly allowExtraColumns: boolean;
  /** Whether the server can read JSON from text. */
  readonly readsJsonText: boolean;
}

/** The columns of the rows, with their types as the table states them. */
export interface CheckedSchema {
  readonly columns: readonly RowColumn[];
  /** Whether a column of the table is read from JSON text. */
  readonly json: boolean;
}

/** Throws `SLUICE_ERR_CLICKHOUSE_SCHEMA`, which lists every difference, one to a line. */
export function checkSchema(
  table: TableName,
  columns: readonly RowColumn[],
  described: readonly TableColumn[],
  options: SchemaOptions,
): CheckedSchema {
  const known = new Map(described.map((column) => [column.name, column]));
  const differences: string[] = [];
  for (const column of columns) {
    const difference = differenceOf(column, known.get(column.name), options);
    if (difference !== undefined) differences.push(`column ${quote(column.name)}: ${difference}`);
  }
  const ours = new Set(columns.map(({ name }) => name));
  for (const { name, type, defaultKind } of options.allowExtraColumns ? [] : described) {
    if (ours.has(name) || defaultKind !== "" || isNullable(type)) continue;
    differences.push(
      `column ${quote(name)}: the table has it as ${type} without a default, and the rows do not write it`,
    );
  }
  if (differences.length > 0) throw schemaError(table, differences);
  const stated = columns.map(({ name, type }) => ({ name, type: known.get(name)?.type ?? type }));
  return { columns: stated, json: stated.some(({ type }) => holdsJson(type)) };
}

function differenceOf(
  { type }: RowColumn,
  column: TableColumn | undefined,
  { readsJsonText }: SchemaOptions,
): string | undefined {
  if (column === undefined) return `the rows write ${type}, and the table has no such column`;
  if (column.defaultKind === "MATERIALIZED" || column.defaultKind === "ALIAS") {
    return `the rows write ${type}, and the table's ${column.type} is ${column.defaultKind} and cannot be written`;
  }
  if (fits(type, column.type)) {
    if (readsJsonText || !holdsJson(column.type)) return undefined;
    return `the server cannot read ${column.type} from JSON text; make the column a String`;
  }
  const which = `the rows write ${type}, and the table has ${column.type}`;
  if (fits(`Nullable(${type})`, column.type)) return `${which}: nullable here only in the table`;
  if (isNullable(type) && fits(inner(type), column.type)) {
    return `${which}: nullable only in the rows`;
  }
  return which;
}

const NULLABLE = /^(LowCardinality\()?Nullable\((.*)\)$/s;
const isNullable = (type: string): boolean => NULLABLE.test(type);
const inner = (type: string): string =>
  type.replace(NULLABLE, (_, low: string | undefined, of: string) => (low ?? "") + of);

/** The error for a table that is not there. */
export const missingTable = (table: TableName): SluiceError =>
  schemaError(table, ["the table does not exist; createTable: true would create it"]);

/** The error for a table that the server will not create. */
export function notCreated(table: TableName, cause: unknown): SluiceError {
  return schemaError(table, [`the table cannot be created: ${messageOf(cause).trim()}`], cause);
}

function schemaError(
  table: TableName,
  differences: readonly string[],
  cause?: unknown,
): SluiceError {
  return new SluiceError(
    "SLUICE_ERR_CLICKHOUSE_SCHEMA",
    [
      `table ${quote(table.text)} is not one that these rows can be written to:`,
      ...differences,
    ].join("\n  "),
    { cause },
  );
}
