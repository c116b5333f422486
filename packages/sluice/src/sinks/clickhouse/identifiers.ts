import { quote, SluiceError } from "../../errors.ts";

/** A table: "events", "stats.events", or in parts where a name itself holds a dot. */
export type TableOption =
  | string
  | { readonly database?: string | undefined; readonly table: string };

/** A table name, checked. */
export interface TableName {
  /** Without one, the database is the connection's. */
  readonly database: string | undefined;
  readonly table: string;
  /** For statements: "`stats`.`events`". */
  readonly quoted: string;
  /** For messages: "stats.events". */
  readonly text: string;
}

/** Checks a name and quotes it. Throws `SLUICE_ERR_CLICKHOUSE_IDENTIFIER` with the name received. */
export function identifier(what: string, name: unknown): string {
  if (typeof name !== "string" || name === "" || name.includes("\0") || !name.isWellFormed()) {
    throw new SluiceError(
      "SLUICE_ERR_CLICKHOUSE_IDENTIFIER",
      `${what} must be a name that is not empty and holds neither NUL nor a lone surrogate; received ${quote(name)}`,
    );
  }
  return `\`${name.replaceAll("\\", "\\\\").replaceAll("`", "\\`")}\``;
}

/** Checks a table name, with or without its database. */
export function tableName(what: string, given: unknown): TableName {
  const { database, table } = tableParts(what, given);
  const quotedTable = identifier(what, table);
  const name = String(table);
  if (database === undefined) {
    return { database, table: name, quoted: quotedTable, text: name };
  }
  const quoted = `${identifier(`${what}: the database`, database)}.${quotedTable}`;
  return {
    database: String(database),
    table: name,
    quoted,
    text: `${String(database)}.${name}`,
  };
}

function tableParts(
  what: string,
  given: unknown,
): { readonly database?: unknown; readonly table: unknown } {
  if (typeof given === "object" && given !== null && "table" in given) return given;
  if (typeof given !== "string") return { table: given };
  const parts = given.split(".");
  if (parts.length === 1) return { table: given };
  if (parts.length === 2) return { database: parts[0], table: parts[1] };
  throw new SluiceError(
    "SLUICE_ERR_CLICKHOUSE_IDENTIFIER",
    `${what} has more than one dot; name it as { database, table }; received ${quote(given)}`,
  );
}

/** A string literal. Whatever the text holds, it stays within its quotes. */
export function stringLiteral(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\0", "\\0");
  return `'${escaped.toWellFormed()}'`;
}
