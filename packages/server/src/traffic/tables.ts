/** A table of the client statistics as the check sees it. */
export interface CheckedTable {
  readonly name: "client_statistics" | "client_table_statistics" | "clients";
  readonly key: readonly string[];
  /** Columns that grow by what the tally counted. */
  readonly counters: readonly string[];
  /** Columns that hold the newest event time. */
  readonly times: readonly string[];
  /** SQL that is true for a row no traffic may change. */
  readonly frozen: string;
}

/** Totals per client. */
export const CLIENT_STATISTICS: CheckedTable = {
  name: "client_statistics",
  key: ["client_name"],
  counters: [
    "total_requests",
    "successful_requests",
    "failed_requests",
    "total_cached_requests",
    "total_operations",
  ],
  times: ["last_request_at", "last_operation_at"],
  frozen: "false",
};

/** Totals per client, table and operation. */
export const CLIENT_TABLE_STATISTICS: CheckedTable = {
  name: "client_table_statistics",
  key: ["client_name", "table_name", "operation"],
  counters: ["total_operations", "error_operations"],
  times: ["last_operation_at"],
  frozen: "false",
};

/** The register of clients, where a deleted one is not seen any more. */
export const CLIENTS: CheckedTable = {
  name: "clients",
  key: ["client_name"],
  counters: [],
  times: ["last_seen_at"],
  frozen: "deleted_at is not null",
};

/** All tables, in the order in which they are reported. */
export const CHECKED_TABLES: readonly CheckedTable[] = [
  CLIENT_STATISTICS,
  CLIENT_TABLE_STATISTICS,
  CLIENTS,
];
