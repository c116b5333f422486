/**
 * The table of agents' metadata: its DDL, and how a reader sees an agent.
 */
import { invalidOption, refuseUnknown } from "../core/validate.ts";
import type { Transact } from "../sinks/postgres/driver.ts";
import { tableName } from "../sinks/postgres/identifiers.ts";

/** The fields, and columns, of an entry. */
export const FIELDS = {
  key: ["agent_id", "key"],
  value: ["value", "error"],
  version: "collected_at",
} as const;

/** The table where none is named. */
export const DEFAULT_TABLE = "agent_metadata";

/** What an agent has reported, as a reader sees it. */
export interface AgentMetadata {
  readonly agentId: string;
  /** By key, in the order of their UTF-8 bytes. */
  readonly entries: readonly {
    readonly key: string;
    readonly value: string;
    readonly error: string;
    /** To the millisecond, within the years 1 to 9999; the table keeps microseconds. */
    readonly collectedAt: Date;
  }[];
}

/** The options of `agentMetadataDdl`. */
export interface AgentMetadataDdlOptions {
  /** Default "agent_metadata". */
  readonly table?: string | undefined;
  /**
   * Make the table UNLOGGED. Default false. It then writes no WAL, which the reference measured at about
   * 70 % more writes per second; and it is **emptied** when the server crashes, and is not there on
   * physical replicas. Agents that report every few seconds fill it again, except with
   * `onMissing: "ignore"`, which needs rows that something else inserts.
   */
  readonly unlogged?: boolean | undefined;
}

/** The DDL of the table, if it is missing. Never index `collected_at`: its updates stay on their page. */
export function agentMetadataDdl(options: AgentMetadataDdlOptions = {}): string {
  refuseUnknown(options, ["table", "unlogged"], "agentMetadataDdl: ");
  const { table = DEFAULT_TABLE, unlogged = false } = options;
  if (typeof unlogged !== "boolean") {
    throw invalidOption("agentMetadataDdl: unlogged", "a boolean", unlogged);
  }
  const name = tableName("agentMetadataDdl: table", table);
  return `CREATE ${unlogged ? "UNLOGGED " : ""}TABLE IF NOT EXISTS ${name} (
  agent_id uuid NOT NULL,
  key varchar(127) NOT NULL,
  value text NOT NULL DEFAULT '',
  error text NOT NULL DEFAULT '',
  collected_at timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00',
  PRIMARY KEY (agent_id, key)
) WITH (fillfactor = 50);`;
}

/** Reads an agent. `state` is equal for equal views, to the microsecond. */
export function agentReader(
  transact: Transact,
  table: string,
): (
  agentId: string,
  signal: AbortSignal,
) => Promise<{ readonly view: AgentMetadata; readonly state: string }> {
  const text = `SELECT key, coalesce(value, '') AS value, coalesce(error, '') AS error,
  to_char(greatest(least(coalesce(collected_at, '-infinity'), '9999-12-31 23:59:59.999999Z'), '0001-01-01Z')
    AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at
  FROM ${tableName("table", table)} WHERE agent_id = $1::uuid ORDER BY key COLLATE "C"`;
  return async (agentId, signal) => {
    const rows = await transact((session) => session.query(text, [agentId]), {
      limits: "SET LOCAL statement_timeout = 8000",
      signal,
    });
    const entries = rows.map(({ key, value, error, at }) => ({
      key: String(key),
      value: String(value),
      error: String(error),
      collectedAt: new Date(String(at)),
    }));
    const state = JSON.stringify(rows.map(({ key, value, error, at }) => [key, value, error, at]));
    return { view: { agentId, entries }, state };
  };
}
