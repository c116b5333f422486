/**
 * Finds what materialized views make of a table's inserts. A batch that is sent again is pushed to
 * the views again, so that a view that missed it gets it; the table behind each view decides for
 * itself whether it has the batch.
 */
import { tableRow, windowOf } from "./dedup-window.ts";
import { serverCode } from "./error-codes.ts";
import { stringLiteral, type TableName } from "./identifiers.ts";
import type { StatementOptions, Transport } from "./transport.ts";
import { unquoted } from "./type-text.ts";

type Named = Pick<TableName, "database" | "table">;

/** No installation has more; whatever has, is not followed to its end. */
const MAX_TABLES = 100;

/** What becomes of a batch that is sent again, in the tables that views fill. */
export interface ViewsFound {
  /** Those in which it does not count exactly once; without tokens of their own, all of them. */
  readonly open: readonly string[];
  /** The least that any of the others remembers, in blocks and in milliseconds; Infinity for no limit. */
  readonly blocks: number;
  readonly ms: number;
}

/** Follows the views that read `table`, directly or not. */
export async function viewsOf(
  transport: Transport,
  table: Named,
  viewTokens: boolean,
  options: StatementOptions,
): Promise<ViewsFound> {
  const open: string[] = [];
  let least = { blocks: Infinity, ms: Infinity };
  const seen = new Set<string>();
  const queue: Named[] = [table];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const row = await tableRow(transport, next, options);
    for (const view of dependents(row)) {
      const name = `${view.database}.${view.table}`;
      if (seen.has(name)) continue;
      seen.add(name);
      const target = seen.size > MAX_TABLES ? undefined : await targetOf(transport, view, options);
      if (target === "no view") continue;
      if (target === undefined) {
        open.push(name);
        continue;
      }
      queue.push(target);
      const found = await tableRow(transport, target, options);
      if (found?.["engine"] === "Null") continue; // keeps nothing, and hands on
      const { blocks, ms } = await windowOf(transport, found, options);
      if (blocks === 0 || !viewTokens) open.push(`${target.database}.${target.table}`);
      else least = { blocks: Math.min(blocks, least.blocks), ms: Math.min(ms, least.ms) };
    }
  }
  return { open: open.sort(), ...least };
}

function dependents(row: Readonly<Record<string, unknown>> | undefined): readonly Named[] {
  const [databases, tables] = [row?.["dependencies_database"], row?.["dependencies_table"]];
  if (!Array.isArray(databases) || !Array.isArray(tables)) return [];
  return tables.map((table, index) => ({
    database: String(databases[index]),
    table: String(table),
  }));
}

/** The table behind a materialized view; `undefined` if nothing tells. */
async function targetOf(
  transport: Transport,
  view: Named,
  options: StatementOptions,
): Promise<Named | "no view" | undefined> {
  const where = `FROM system.tables WHERE database = ${stringLiteral(view.database ?? "")} AND name = `;
  const [row] = await transport.query(
    `SELECT engine, create_table_query, toString(uuid) AS uuid ${where}${stringLiteral(view.table)}`,
    options,
  );
  if (row === undefined) return undefined;
  // A WindowView or LiveView keeps what it makes where no token is known.
  if (row["engine"] !== "MaterializedView") {
    return /\wView$/.test(String(row["engine"])) ? undefined : "no view";
  }
  try {
    const sql = `SELECT target_database, target_table ${where}${stringLiteral(view.table)}`;
    const [told] = await transport.query(sql, options);
    if (typeof told?.["target_table"] === "string" && told["target_table"] !== "") {
      return { database: String(told["target_database"]), table: told["target_table"] };
    }
  } catch (error) {
    if (serverCode(error) === undefined) throw error; // else a server without these columns
  }
  const stated = statedTarget(String(row["create_table_query"]));
  if (stated !== undefined) return { ...stated, database: stated.database ?? view.database };
  const inner = [`.inner_id.${String(row["uuid"])}`, `.inner.${view.table}`];
  for (const table of inner) {
    const target = { database: view.database, table };
    if ((await tableRow(transport, target, options)) !== undefined) return target;
  }
  return undefined;
}

/** `CREATE MATERIALIZED VIEW a.b TO c.d (…`: c.d. `TO INNER UUID '…'` names no table. */
function statedTarget(sql: string): Named | undefined {
  const name = String.raw`(?:\`(?:[^\`\\]|\\.)*\`|\w+)`;
  const pattern = String.raw`^CREATE MATERIALIZED VIEW ${name}(?:\.${name})?(?: UUID '[^']*')? TO (?!INNER UUID )(?:(${name})\.)?(${name})`;
  const [, database, table] = new RegExp(pattern, "s").exec(sql) ?? [];
  if (table === undefined) return undefined;
  const plain = (text: string): string => (text.startsWith("`") ? unquoted(text) : text);
  return {
    database: database === undefined ? undefined : plain(database),
    table: plain(table),
  };
}
