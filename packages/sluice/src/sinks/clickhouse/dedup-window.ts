/**
 * How long a table remembers the blocks that were inserted into it: its deduplication window.
 */
import { serverCode } from "./error-codes.ts";
import { stringLiteral, type TableName } from "./identifiers.ts";
import type { ResultRow, StatementOptions, Transport } from "./transport.ts";

/** The least that any version remembers in a replicated table, where a server does not tell. */
const LEAST_WINDOW: Readonly<Record<string, number>> = {
  replicated_deduplication_window: 100,
  replicated_deduplication_window_seconds: 3_600,
  non_replicated_deduplication_window: 0,
};

/** A table's row in system.tables, with `more` of its columns; `undefined` if there is none to see. */
export async function tableRow(
  transport: Transport,
  { database, table }: Pick<TableName, "database" | "table">,
  options: StatementOptions,
  more = "",
): Promise<ResultRow | undefined> {
  const where = database === undefined ? "currentDatabase()" : stringLiteral(database);
  const rows = await transport.query(
    `SELECT engine, engine_full, create_table_query, partition_key, dependencies_database, dependencies_table${more} FROM system.tables WHERE database = ${where} AND name = ${stringLiteral(table)}`,
    options,
  );
  return rows[0];
}

/** Whether several servers are one table. */
export const isReplicated = (engine = ""): boolean => /^(?:Replicated|Shared)/.test(engine);

/** How many blocks a table remembers, and for how long. */
export interface Window {
  readonly blocks: number;
  readonly ms: number;
  readonly reason: string;
}

const NO_WINDOW = { blocks: 0, ms: 0 };

/** Reads a table's window from its own settings, or else from the server's. */
export async function windowOf(
  transport: Transport,
  row: ResultRow | undefined,
  options: StatementOptions,
): Promise<Window> {
  if (row === undefined) return { ...NO_WINDOW, reason: "system.tables does not show the table" };
  const engine = String(row["engine"]);
  if (!engine.endsWith("MergeTree")) {
    return { ...NO_WINDOW, reason: `the engine ${engine} does not deduplicate inserts` };
  }
  const full = String(row["engine_full"]);
  let assumed = "";
  const read = async (name: string, where: string): Promise<number> => {
    const value = await windowSetting(transport, full, name, where, options);
    if (value === undefined) assumed = ` assumed: ${where} cannot be read`;
    return value ?? LEAST_WINDOW[name] ?? 0;
  };
  if (!isReplicated(engine)) {
    const name = "non_replicated_deduplication_window";
    const blocks = await read(name, "system.merge_tree_settings");
    const reason =
      blocks > 0
        ? `${engine} with ${name} = ${blocks}`
        : `${engine} with ${name} = 0; remedy: ALTER TABLE … MODIFY SETTING ${name} = 10000`;
    return { blocks, ms: Infinity, reason };
  }
  const name = "replicated_deduplication_window";
  const blocks = await read(name, "system.replicated_merge_tree_settings");
  const seconds = await read(`${name}_seconds`, "system.replicated_merge_tree_settings");
  if (blocks === 0 || seconds === 0) {
    const remedy = `ALTER TABLE … MODIFY SETTING ${name} = 10000, ${name}_seconds = 3600`;
    return { ...NO_WINDOW, reason: `${engine} with ${name} = 0; remedy: ${remedy}` };
  }
  return {
    blocks,
    ms: seconds * 1_000,
    reason: `${engine} with ${name} = ${blocks} and ${name}_seconds = ${seconds}${assumed}`,
  };
}

/** What the table states, or else the server; `undefined` where neither tells. */
async function windowSetting(
  transport: Transport,
  engineFull: string,
  name: string,
  where: string,
  options: StatementOptions,
): Promise<number | undefined> {
  const own = engineFull.slice(engineFull.lastIndexOf(" SETTINGS "));
  const stated = new RegExp(`\\b${name} = '?(\\d+)`).exec(own)?.[1];
  if (stated !== undefined) return Number(stated);
  // Not every server has these tables, and not every user may read them.
  try {
    const sql = `SELECT value FROM ${where} WHERE name = ${stringLiteral(name)}`;
    const value = (await transport.query(sql, options))[0]?.["value"];
    return value === undefined ? undefined : Number(value);
  } catch (error) {
    if (serverCode(error) === undefined) throw error;
    return undefined;
  }
}
