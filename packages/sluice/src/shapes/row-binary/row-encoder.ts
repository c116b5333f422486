/**
 * Rows of one schema to RowBinary and back, the way there as straight-line code. Names enter the code
 * as JSON strings only, so no name can be anything but a name. Where generating code is forbidden
 * (`--disallow-code-generation-from-strings`) a loop does the same.
 */
import { quote, SluiceError } from "../../errors.ts";
import { fieldOf, isInherited } from "../field.ts";
import { type AnyColumnType, type CodeWriter, Refusal } from "./column-type.ts";
import type { RowReader } from "./row-reader.ts";
import { RowWriter } from "./row-writer.ts";

/** A column of a schema, and how a row's value for it is written and read. */
export interface RowField {
  readonly name: string;
  readonly of: AnyColumnType;
}

/** Appends a row where the writer stands. Throws a usage error that names the column. */
export type EncodeRow = (row: object) => void;

/** An encoder of rows for this writer. `where` begins every message. */
export function rowEncoder(
  fields: readonly RowField[],
  writer: RowWriter,
  where: string,
): EncodeRow {
  try {
    return generatedEncoder(fields, writer, where);
  } catch (error) {
    if (error instanceof EvalError) return loopingEncoder(fields, writer, where);
    throw error;
  }
}

/** Reads the row where the reader stands. */
export function decodeRow(fields: readonly RowField[], from: RowReader): Record<string, unknown> {
  return Object.fromEntries(fields.map(({ name, of }) => [name, of.read(from)]));
}

/** Both encoders are exported for their tests alone. */
export function generatedEncoder(
  fields: readonly RowField[],
  writer: RowWriter,
  where: string,
): EncodeRow {
  const called: AnyColumnType["write"][] = [];
  let variables = 0;
  const code: CodeWriter = {
    call: (type, value) => {
      called.push(type.write);
      return `w.at = p; t[${called.length - 1}](${value}, w); p = w.at; b = w.bytes; d = w.view;`;
    },
    put: (type, value) => type.inline?.(value, code) ?? code.call(type, value),
    variable: () => `v${variables++}`,
    reserve: (more) =>
      `if (p + ${more} + ${spare} > b.length) { w.at = p; w.reserve(${more}); p = w.at; b = w.bytes; d = w.view; }`,
  };
  const spare = spareOf(fields);
  const columns = fields.map(({ name, of }, index) => {
    const [value, text] = [code.variable(), JSON.stringify(name)];
    const read = isInherited(name) ? `fieldOf(row, ${text})` : `row[${text}]`;
    // As many names as columns, but not all of them columns: a missing one shows it.
    const check = `if (complete && ${value} === undefined) { complete = false; checkRow(row); }`;
    return `  c = ${index}; const ${value} = ${read};
  ${of.nullable ? check : ""} ${code.put(of, value)}`;
  });
  const source = `return function encode(row) {
  let c = -1, x, p = w.at, b = w.bytes, d = w.view;
  try {
  let n = 0;
  for (const name in row) n++;
  let complete = n === ${fields.length};
  if (!complete) checkRow(row);
  ${code.reserve("0")}
${columns.join("\n")}
  } catch (error) { refuse(error, c, row); }
  w.at = p;
};`;
  const make = new Function("w", "t", "fieldOf", "checkRow", "refuse", source) as (
    ...helpers: readonly unknown[]
  ) => EncodeRow;
  writer.spare = spare;
  const checkRow = rowCheck(fields, where);
  return make(writer, called, fieldOf, checkRow, refusal(fields, where, checkRow));
}

export function loopingEncoder(
  fields: readonly RowField[],
  writer: RowWriter,
  where: string,
): EncodeRow {
  const checkRow = rowCheck(fields, where);
  const refuse = refusal(fields, where, checkRow);
  const writes = fields.map(({ of }) => of.write as (value: unknown, to: RowWriter) => void);
  return (row) => {
    let index = -1;
    try {
      checkRow(row);
      for (index = 0; index < fields.length; index += 1) {
        writes[index]?.(fieldOf(row, fields[index]?.name ?? ""), writer);
      }
    } catch (error) {
      refuse(error, index, row);
    }
  };
}

const spareOf = (fields: readonly RowField[]): number =>
  fields.reduce((bytes, { of }) => bytes + (of.inline === undefined ? 0 : (of.fixedBytes ?? 0)), 0);

/** Refuses what is no row of these columns by its names alone; missing ones show by their values. */
function rowCheck(fields: readonly RowField[], where: string): (row: unknown) => void {
  const known = new Set(fields.map(({ name }) => name));
  return (row) => {
    if (typeof row !== "object" || row === null || Array.isArray(row)) {
      throw new SluiceError(
        "SLUICE_ERR_ITEM_INVALID",
        `${where}: a row is an object with a value per column; received ${quote(row)}`,
      );
    }
    for (const name in row) {
      if (known.has(name)) continue;
      throw new SluiceError(
        "SLUICE_ERR_ITEM_UNKNOWN_FIELD",
        `${where}: there is no column ${quote(name)}; there are ${[...known].map(quote).join(", ")}`,
      );
    }
  };
}

/** What `write` throws of a value. */
function tried(of: AnyColumnType, value: unknown): unknown {
  try {
    (of.write as (value: unknown, to: RowWriter) => void)(value, new RowWriter(0));
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Names the column that refused its value. */
function refusal(
  fields: readonly RowField[],
  where: string,
  checkRow: (row: unknown) => void,
): (error: unknown, index: number, row: object) => never {
  return (thrown, index, row) => {
    const { name = "", of } = fields[index] ?? {};
    // Straight-line code takes what looks like a Date for one: `write` knows better.
    const error = thrown instanceof TypeError && of ? tried(of, fieldOf(row, name)) : thrown;
    if (!(error instanceof Refusal)) throw thrown;
    const column = `${where}: column ${quote(name)} (${of?.type})`;
    const missing = index >= 0 && fieldOf(row, name) === undefined;
    if (missing) checkRow(row); // perhaps it is there under a wrong name
    const received = missing ? "nothing: it is missing" : `received ${quote(error.received)}`;
    throw new SluiceError("SLUICE_ERR_ITEM_INVALID", `${column}: ${error.expected}; ${received}`);
  };
}
