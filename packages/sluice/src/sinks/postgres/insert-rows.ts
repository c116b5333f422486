import { Buffer } from "node:buffer";
import { refuseUnknown } from "../../core/validate.ts";
import { quote, rejected, SluiceError } from "../../errors.ts";
import { textFault } from "../../shapes/text.ts";
import { textArray } from "./array-literal.ts";
import type { PostgresDriver } from "./driver.ts";
import { castType, identifier, tableName, typeName } from "./identifiers.ts";
import {
  type PostgresSink,
  type PostgresSinkOptions,
  SINK_OPTIONS,
  tableSink,
} from "./postgres-sink.ts";
import type { TableWrite } from "./table-write.ts";

/** The options of `insertRows`. */
export interface InsertRowsOptions extends PostgresSinkOptions {
  /** The table, with or without its schema. */
  readonly table: string;
  /** The columns to write and their types: `{ id: "bigint", name: "text", tags: "text[]" }`. */
  readonly columns: Readonly<Record<string, string>>;
  /**
   * What happens to a row whose key is taken. `error` (default): it is rejected and dead-lettered.
   * `nothing`: the row in the table stays. `update`: the columns beyond `key` are overwritten; of
   * several rows with one key in a batch the last one counts.
   */
  readonly onConflict?: "error" | "nothing" | "update" | undefined;
  /** The columns of the unique constraint. Needed for `update`; sorts rows, which avoids deadlocks. */
  readonly key?: readonly string[] | undefined;
}

/**
 * Inserts the records of a `list` batch into a table. A value may be text, a finite number, a bigint,
 * a boolean, a `Date`, a `Uint8Array`, null, an array for array columns, and anything for json and
 * jsonb. A record with another value, or with an unknown column, is rejected alone.
 *
 * @example
 * insertRows(pool, { table: "events", columns: { id: "uuid", at: "timestamptz" }, onConflict: "nothing" })
 */
export function insertRows(
  driver: PostgresDriver,
  options: InsertRowsOptions,
): PostgresSink<readonly object[]> {
  refuseUnknown(
    options,
    [...SINK_OPTIONS, "table", "columns", "onConflict", "key"],
    "insertRows: ",
  );
  const table = tableName("insertRows: table", options.table);
  const columns = Object.entries(options.columns ?? {}).map(([field, type], index) => ({
    field,
    name: identifier("insertRows: column", field),
    type: typeName(`insertRows: the type of ${quote(field)}`, type),
    alias: `c${index}`,
  }));
  const { onConflict = "error", key = [] } = options;
  if (!Array.isArray(key)) {
    throw optionError(`key must be a list of columns; received ${quote(key)}`);
  }
  const keys = key.map((field) => columns.find((column) => column.field === field));
  if (columns.length === 0) throw optionError(`columns must name at least one column`);
  if (!["error", "nothing", "update"].includes(onConflict)) {
    throw optionError(
      `onConflict must be "error", "nothing" or "update"; received ${quote(onConflict)}`,
    );
  }
  if (keys.includes(undefined)) {
    throw optionError(`key must name columns of this sink; received ${quote(key)}`);
  }
  if (onConflict === "update" && (keys.length === 0 || keys.length === columns.length)) {
    throw optionError(
      `onConflict "update" needs a key and a column beyond it; received ${quote(key)}`,
    );
  }

  const names = columns.map(({ name }) => name).join(", ");
  const conflict = keys.map((column) => column?.name).join(", ");
  const others = columns.filter((column) => !keys.includes(column));
  const target = conflict === "" ? "" : ` (${conflict})`;
  const actions = {
    error: "",
    nothing: `ON CONFLICT${target} DO NOTHING`,
    update: `ON CONFLICT${target} DO UPDATE SET ${others
      .map(({ name }) => `${name} = excluded.${name}`)
      .join(", ")}`,
  };
  // Rows go in by key: writers that meet on a unique index then meet in one order.
  const parts = keys.map((column) => `r.${column?.alias}`);
  const anyNull = parts.map((part) => `${part} IS NULL`).join(" OR ");
  // To a unique constraint NULL differs from NULL: no such row is another version of another one.
  if (onConflict === "update") parts.push(`CASE WHEN ${anyNull} THEN place END`);
  const order = parts.join(", ");
  const [distinct, newest] =
    onConflict === "update" ? [`DISTINCT ON (${order}) `, " DESC"] : ["", ""];

  const write: TableWrite<readonly object[]> = {
    sql: (batch, first, gate, name) => {
      if (!Array.isArray(batch)) {
        throw optionError(`takes batches of a list of records; received ${quote(batch)}`);
      }
      const arrays = columns.map((_, index) => `$${first + index}::text[]`).join(", ");
      const aliases = columns.map(({ alias }) => alias).join(", ");
      const casts = columns
        .map(({ alias, type }) => `u.${alias}::${castType(type)} AS ${alias}`)
        .join(", ");
      return `${name} AS (INSERT INTO ${table} (${names})
  SELECT ${aliases} FROM (
    SELECT ${distinct}${aliases}, place FROM (
      SELECT ${casts}, place
      FROM unnest(${arrays}) WITH ORDINALITY AS u(${aliases}, place) WHERE ${gate}
    ) AS r ORDER BY ${order === "" ? "place" : `${order}, place${newest}`}
  ) AS sorted
  ${actions[onConflict]}
  RETURNING 1)`;
    },
    values: (records) => {
      for (const record of records) refuseStrayColumns(record, options.columns);
      return columns.map(({ field, type }) =>
        textArray(records.map((record) => asText(field, type, own(record, field)))),
      );
    },
  };
  return tableSink(driver, options, write);
}

function refuseStrayColumns(record: unknown, columns: object): void {
  if (typeof record !== "object" || record === null) {
    throw valueError(`insertRows takes records; received ${quote(record)}`);
  }
  const stray = Object.keys(record).find((field) => !Object.hasOwn(columns, field));
  if (stray !== undefined) throw valueError(`insertRows: there is no column ${quote(stray)}`);
}

/** A value as PostgreSQL reads it from text. */
function asText(field: string, type: string, value: unknown): string | null {
  if (value === undefined || value === null) return null;
  const text = scalarText(type, value);
  if (text === undefined) {
    throw valueError(`column ${quote(field)} (${type}) cannot hold ${quote(value)}`);
  }
  const fault = textFault(text);
  if (fault !== undefined)
    throw valueError(`column ${quote(field)} holds ${fault}: ${quote(value)}`);
  return text;
}

function scalarText(type: string, value: unknown): string | undefined {
  if (type === "json" || type === "jsonb") return JSON.stringify(value);
  if (type.endsWith("[]")) return Array.isArray(value) ? arrayText(type, value) : undefined;
  if (typeof value === "string") return value;
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : undefined;
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? undefined : value.toISOString();
  }
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  return undefined;
}

function arrayText(type: string, values: readonly unknown[]): string | undefined {
  const texts = values.map((value) =>
    value === null || value === undefined ? null : scalarText(type.slice(0, -2), value),
  );
  return texts.includes(undefined) ? undefined : textArray(texts as (string | null)[]);
}

const own = (record: object, field: string): unknown =>
  Object.hasOwn(record, field) ? (record as Readonly<Record<string, unknown>>)[field] : undefined;

/** Raised within a write: the entry is rejected, and found by halving like any other. */
function valueError(message: string): SluiceError {
  const cause = new SluiceError("SLUICE_ERR_POSTGRES_VALUE", message);
  return rejected(message, { cause, ambiguous: false });
}

function optionError(message: string): SluiceError {
  return new SluiceError("SLUICE_ERR_POSTGRES_OPTION", `insertRows: ${message}`);
}
