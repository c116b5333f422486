/**
 * The settings of an insert. Those on which its promises rest are pinned, whatever the user's profile
 * or the server's version says; a setting that a server does not know is left out.
 */
import { quote, SluiceError } from "../../errors.ts";
import type { ClickHouseSettings } from "./transport.ts";

/** What the settings of an insert depend on. */
export interface InsertFacts {
  readonly rows: number;
  /** Absent where the server would not heed it. */
  readonly token: string | undefined;
  readonly json: boolean;
  /** Whether views on this server get tokens of their own, so that two of them may fill one table. */
  readonly viewTokens: boolean;
  /** What is left of the attempt, in milliseconds. */
  readonly remainingMs: number;
}

/** The server's own default of `max_insert_block_size`, rounded up. Lower ones are raised to it. */
const BLOCK_ROWS = 2 ** 20;

/** The pinned settings of an insert, for a server that knows them all. */
export function pinnedSettings({
  rows,
  token,
  json,
  viewTokens,
  remainingMs,
}: InsertFacts): ClickHouseSettings {
  const oneBlock = Math.max(rows, BLOCK_ROWS);
  const deduplicate = token !== undefined;
  return {
    // The answer comes when the rows are in the table.
    async_insert: 0,
    // A batch is known by its token. Without one the server would go by a hash of the rows, and lose
    // the second of two batches that are meant to be alike.
    insert_deduplicate: deduplicate ? 1 : 0,
    deduplicate_insert: deduplicate ? "enable" : "disable",
    deduplicate_insert_select: deduplicate ? "force_enable" : "disable",
    deduplicate_blocks_in_dependent_materialized_views: viewTokens ? 1 : 0,
    update_insert_deduplication_token_in_dependent_materialized_views: 1,
    materialized_views_ignore_errors: 0,
    ...(deduplicate ? { insert_deduplication_token: token } : {}),
    // One batch is one block: atomic within a partition, and one entry of the server's window.
    max_insert_block_size: oneBlock,
    max_insert_block_size_rows: oneBlock,
    max_insert_block_size_bytes: 0,
    min_insert_block_size_rows: oneBlock,
    min_insert_block_size_bytes: 0,
    min_insert_block_size_rows_for_materialized_views: 0,
    min_insert_block_size_bytes_for_materialized_views: 0,
    input_format_max_block_size_bytes: 0,
    input_format_max_block_wait_ms: 0,
    input_format_parallel_parsing: 0,
    max_insert_threads: 1,
    // Of the parts of several partitions none is committed before all are written.
    max_insert_delayed_streams_for_parallel_write: 10_000,
    // The header says which column is which, and the server holds its types against the table.
    input_format_with_names_use_header: 1,
    input_format_with_types_use_header: 1,
    input_format_binary_decode_types_in_binary_format: 0,
    input_format_binary_read_json_as_string: json ? 1 : 0,
    // The server gives up before the client does, and says so.
    max_execution_time: Math.max(1, Math.floor((remainingMs * 0.9) / 1_000)),
    timeout_overflow_mode: "throw",
  };
}

/** The names of all settings that are pinned, on any server. */
export const PINNED: readonly string[] = Object.keys(
  pinnedSettings({ rows: 1, token: "", json: true, viewTokens: true, remainingMs: 0 }),
);

/** Set by the transport itself. */
const OF_TRANSPORTS: readonly string[] = ["wait_end_of_query", "max_query_size"];

/** Checks the settings that a user adds to every insert. */
export function checkSettings(option: string, settings: unknown): ClickHouseSettings {
  if (settings === undefined) return {};
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) {
    throw invalid(`${option} must be an object; received ${quote(settings)}`);
  }
  for (const [name, value] of Object.entries(settings)) {
    if (PINNED.includes(name) || OF_TRANSPORTS.includes(name)) {
      throw invalid(`${option} must not state ${name}: the sink pins it`);
    }
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw invalid(`${option} has no setting's name: ${quote(name)}`);
    }
    if (typeof value !== "string" && !(typeof value === "number" && Number.isFinite(value))) {
      throw invalid(
        `${option}: ${name} must be a string or a finite number; received ${quote(value)}`,
      );
    }
  }
  return { ...settings };
}

const invalid = (message: string): SluiceError =>
  new SluiceError("SLUICE_ERR_CLICKHOUSE_OPTION", message);
