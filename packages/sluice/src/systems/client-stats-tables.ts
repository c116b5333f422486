/**
 * The three tables of client statistics: their fields, their names, their DDL.
 */
import { refuseUnknown } from "../core/validate.ts";
import { tableName } from "../sinks/postgres/identifiers.ts";
import { sumsDdl } from "../sinks/postgres/migrate.ts";

/** Table names. Columns have the names that `clientStatsDdl` shows. */
export interface ClientStatsTables {
  /** Default "client_statistics". */
  readonly clientStatistics?: string | undefined;
  /** Default "client_table_statistics". */
  readonly clientTableStatistics?: string | undefined;
  /** The catalogue of clients, touched and never inserted into. Default "clients". */
  readonly clients?: string | undefined;
}

/** The fields, and columns, of a client. */
export const CLIENT_FIELDS = {
  key: ["client_name"],
  sum: [
    "total_requests",
    "successful_requests",
    "failed_requests",
    "total_cached_requests",
    "total_operations",
  ],
  last: ["last_request_at", "last_operation_at"],
} as const;

/** The fields, and columns, of an operation on a table. */
export const TABLE_FIELDS = {
  key: ["client_name", "table_name", "operation"],
  sum: ["total_operations", "error_operations"],
  last: ["last_operation_at"],
} as const;

/** The column that tells when a row was written, in each table. */
export const UPDATED_AT = "updated_at";

/** Fills in the default names. */
export function resolveTables(
  tables: ClientStatsTables,
): Readonly<Record<keyof ClientStatsTables, string>> {
  const names = {
    clientStatistics: "client_statistics",
    clientTableStatistics: "client_table_statistics",
    clients: "clients",
  };
  refuseUnknown(tables, Object.keys(names), "tables.");
  return {
    clientStatistics: tables.clientStatistics ?? names.clientStatistics,
    clientTableStatistics: tables.clientTableStatistics ?? names.clientTableStatistics,
    clients: tables.clients ?? names.clients,
  };
}

/**
 * The DDL of the three tables, each only if it is missing. The index on `lower(client_name)` serves
 * last-seen updates by folded names.
 */
export function clientStatsDdl(tables: ClientStatsTables = {}): string {
  const { clientStatistics, clientTableStatistics, clients } = resolveTables(tables);
  const quoted = tableName("clients", clients);
  const index = tableName("index", `${clients.split(".").at(-1)}_lower_name`);
  return [
    sumsDdl({ ...CLIENT_FIELDS, table: clientStatistics, updatedAt: UPDATED_AT }),
    sumsDdl({ ...TABLE_FIELDS, table: clientTableStatistics, updatedAt: UPDATED_AT }),
    `CREATE TABLE IF NOT EXISTS ${quoted} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  client_name text NOT NULL UNIQUE,
  last_seen_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  ${UPDATED_AT} timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
) WITH (fillfactor = 50);`,
    `CREATE INDEX IF NOT EXISTS ${index} ON ${quoted} (lower(client_name));`,
  ].join("\n");
}
