/**
 * Looks at a server and a table, and tells what can be promised there.
 */
import { isReplicated, tableRow, windowOf } from "./dedup-window.ts";
import { stringLiteral, type TableName } from "./identifiers.ts";
import { PINNED } from "./settings.ts";
import type { ResultRow, RowFormat, StatementOptions, Transport } from "./transport.ts";
import { viewsOf } from "./view-probe.ts";

/** What a table on a server can be promised. */
export interface Guarantee {
  readonly version: string;
  /** The table's engine; `undefined` where system.tables does not show it. */
  readonly engine: string | undefined;
  readonly format: RowFormat;
  /** `token`: a batch that is sent again is recognised. `none`: it is written again. */
  readonly deduplication: "token" | "none";
  /** Why, and where it is `none`, the remedy. */
  readonly reason: string;
  /**
   * Whether an insert that fails leaves nothing behind in the table: it has one partition, or the
   * server commits those of an insert together.
   */
  readonly atomic: boolean;
  /** The statement that would create the table, as far as the user may see it. */
  readonly definition: string;
  /** When that was last changed, in Unix seconds; 0 where the server does not tell. */
  readonly definedAt: number;
  /** The table's UUID; empty where the server does not tell, or where each replica has one of its own. */
  readonly uuid: string;
  /** Tables that materialized views fill from this one, and in which a batch sent again counts twice. */
  readonly openViews: readonly string[];
  /** How many inserted blocks are remembered, by the table and those behind its views; 0 for none. */
  readonly windowBlocks: number;
  /** How long they are remembered, in milliseconds; Infinity where only their number counts. */
  readonly windowMs: number;
  /** A batch that may have been applied is not sent again when it is older than this. */
  readonly maxRetryAgeMs: number;
  /** Which of the settings that this library pins the server knows. */
  readonly settings: ReadonlySet<string>;
}

/** However long a table remembers: an answer this late has other reasons than the network. */
const MAX_RETRY_AGE_MS = 30 * 60_000;

/** Looks at the server and the table. Throws what the transport throws. */
export async function probeTable(
  transport: Transport,
  table: TableName,
  options: StatementOptions,
): Promise<Guarantee> {
  const versions = await transport.query("SELECT version() AS version", options);
  const settings = await settingsOf(transport, PINNED, options);
  const uuid = settings.has(TOKEN) ? ", toString(uuid) AS uuid" : ""; // there is none on older servers
  const more = `, toUnixTimestamp(metadata_modification_time) AS defined_at${uuid}`;
  const row = await tableRow(transport, table, options, more);
  const engine = row === undefined ? undefined : String(row["engine"]);
  const common = {
    version: String(versions[0]?.["version"]),
    engine,
    // The setting came to be with the check of a header's types; older servers lack the format.
    format: settings.has("input_format_with_types_use_header")
      ? ("RowBinaryWithNamesAndTypes" as const)
      : ("RowBinary" as const),
    atomic: isAtomic(row, settings),
    definition: String(row?.["create_table_query"] ?? ""),
    definedAt: Number(row?.["defined_at"] ?? 0),
    uuid: isReplicated(engine) ? "" : String(row?.["uuid"] ?? ""),
    settings,
  };
  const window = await windowOf(transport, row, options);
  const none = { windowBlocks: 0, windowMs: 0, maxRetryAgeMs: MAX_RETRY_AGE_MS, openViews: [] };
  if (!settings.has(TOKEN)) {
    const reason = `ClickHouse ${common.version} has no ${TOKEN}; 22.2 and later have`;
    return { ...common, ...none, deduplication: "none", reason };
  }
  if (window.blocks === 0) {
    return { ...common, ...none, deduplication: "none", reason: window.reason };
  }
  const views = await viewsOf(transport, table, hasViewTokens(settings), options);
  const windowMs = Math.min(window.ms, views.ms);
  return {
    ...common,
    deduplication: "token",
    reason: window.reason,
    openViews: views.open,
    windowBlocks: Math.min(window.blocks, views.blocks),
    windowMs,
    maxRetryAgeMs: Math.min(windowMs / 2, MAX_RETRY_AGE_MS),
  };
}

/** Whether a table of this engine keeps its rows itself. Others may hand some on before they fail. */
export const keepsRows = (engine: string | undefined): boolean =>
  /MergeTree$|^(?:Memory|Null|(?:Tiny|Stripe)?Log|Join|Set|EmbeddedRocksDB|KeeperMap)$/.test(
    engine ?? "",
  );

/** What a refusal may go by besides the rows: time, chance, the server, or another table. */
const UNSTEADY =
  /\b(?:now|today|yesterday|utc|cur|rand|fuzz|generate|dict|joinGet|hasColumnInTable|file|get|host|region|server|uptime|user)\w*\(|\bSELECT\b|\bIN \(?[a-z_`]/i;

/** What a definition holds that refuses no row: texts, comments among them, and the time as a default. */
const HARMLESS = /'(?:[^'\\]|\\.)*'|\bDEFAULT (?:now|today)\w*\([^()]*\)/gs;

/** Whether rows that the table refuses `now` were refused `before` as well: nothing in it has changed. */
export const refusesAlike = (before: Guarantee, now: Guarantee): boolean =>
  now.definition !== "" &&
  now.definition === before.definition &&
  // A constraint may have been dropped in between, and come back. Replicas tell of their own files.
  (isReplicated(now.engine) || (now.definedAt > 0 && now.definedAt === before.definedAt)) &&
  !UNSTEADY.test(now.definition.replace(HARMLESS, ""));

function isAtomic(row: ResultRow | undefined, settings: ReadonlySet<string>): boolean {
  if (!keepsRows(String(row?.["engine"]))) return false;
  if (settings.has("max_insert_delayed_streams_for_parallel_write")) return true;
  return row !== undefined && String(row["partition_key"] ?? "") === "";
}

/**
 * Whether views get tokens of their own. From 22.2 to 24.0 all views of an insert share its token, and
 * where two fill one table, the rows of the second are lost (ClickHouse#59165).
 */
export const hasViewTokens = (settings: ReadonlySet<string>): boolean =>
  settings.has("update_insert_deduplication_token_in_dependent_materialized_views");

const TOKEN = "insert_deduplication_token";

/** Whether the server knows tokens: 22.2 and later do. They know windows too. */
export const hasTokens = async (
  transport: Transport,
  options: StatementOptions,
): Promise<boolean> => (await settingsOf(transport, [TOKEN], options)).has(TOKEN);

/** Which of these settings the server knows; every user may ask. */
async function settingsOf(
  transport: Transport,
  names: readonly string[],
  options: StatementOptions,
): Promise<ReadonlySet<string>> {
  const list = names.map(stringLiteral).join(", ");
  const sql = `SELECT name FROM system.settings WHERE name IN (${list})`;
  const rows = await transport.query(sql, options);
  return new Set(rows.map((row) => String(row["name"])));
}
