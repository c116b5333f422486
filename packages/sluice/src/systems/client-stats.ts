/**
 * Request, operation, table and last-seen statistics of a gateway's clients, in three tables, by one
 * statement per flush.
 */
import { systemClock } from "../clock.ts";
import { type Batcher, createBatcher } from "../core/batcher.ts";
import { type BatcherOptions, invalidOption } from "../core/options.ts";
import { quote, SluiceError } from "../errors.ts";
import { type ComposedEntry, compose } from "../shapes/compose.ts";
import { distinct } from "../shapes/distinct.ts";
import type { KeyedBatch } from "../shapes/keyed-batch.ts";
import { sums, type Time } from "../shapes/sums.ts";
import { composeSinks } from "../sinks/postgres/compose-sinks.ts";
import type { PostgresDriver } from "../sinks/postgres/driver.ts";
import { tableName } from "../sinks/postgres/identifiers.ts";
import { sumsDdl } from "../sinks/postgres/migrate.ts";
import type { PostgresSinkOptions } from "../sinks/postgres/postgres-sink.ts";
import { touch } from "../sinks/postgres/touch.ts";
import { upsertSums } from "../sinks/postgres/upsert-sums.ts";

/** Table names. Columns have the names that `clientStatsDdl` shows. */
export interface ClientStatsTables {
  /** Default "client_statistics". */
  readonly clientStatistics?: string | undefined;
  /** Default "client_table_statistics". */
  readonly clientTableStatistics?: string | undefined;
  /** The catalogue of clients, touched and never inserted into. Default "clients". */
  readonly clients?: string | undefined;
}

/** A composed batch: what goes to each of the three tables. */
export type ClientStatsBatch = {
  readonly [part in "clients" | "tables" | "seen"]: KeyedBatch;
};

/** The options of `createClientStatsBatcher`: those of a batcher, its sink, and the tables. */
export interface ClientStatsOptions
  extends Omit<BatcherOptions<unknown, ClientStatsBatch, ComposedEntry>, "shape" | "sink">,
    PostgresSinkOptions {
  readonly tables?: ClientStatsTables | undefined;
  /**
   * What makes two names one client, in all three tables. `folded` (default): names that differ in
   * case alone, stored in lower case. `exact`: names as they are.
   */
  readonly clientNames?: "folded" | "exact" | undefined;
}

/** One request with all that it does to the statistics. */
export interface RequestRecord {
  readonly client: string;
  /** HTTP status: 200 to 399 is a success, 400 and above a failure; others count in the total only. */
  readonly status: number;
  /** Answered from a cache. Default false. */
  readonly cached?: boolean | undefined;
  readonly table: string;
  readonly operation: string;
  /** The operation failed. Default: status >= 400. */
  readonly isError?: boolean | undefined;
  /** When it happened. Default: now. */
  readonly at?: Time | undefined;
}

/**
 * Gathers statistics. The `tryEnqueue…` methods never wait: they answer whether the item was taken,
 * and throw a usage error for names that are empty, too long, or hold NUL or a lone surrogate. A
 * client that is held already is always taken. `at` is when it happened; default: now.
 */
export interface ClientStatsBatcher
  extends Pick<Batcher<unknown, ClientStatsBatch>, "flush" | "close" | "stats" | "configure"> {
  tryEnqueueRequestStats(client: string, status: number, cached: boolean, at?: Time): boolean;
  tryEnqueueOperationStats(client: string, at?: Time): boolean;
  tryEnqueueTableStats(
    client: string,
    table: string,
    operation: string,
    isError: boolean,
    at?: Time,
  ): boolean;
  tryEnqueueLastSeen(client: string, at?: Time): boolean;
  /** A request, its operation, its table and its client's last-seen time together; waits for room. */
  record(request: RequestRecord): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const CLIENT_FIELDS = {
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

const TABLE_FIELDS = {
  key: ["client_name", "table_name", "operation"],
  sum: ["total_operations", "error_operations"],
  last: ["last_operation_at"],
} as const;

const shape = compose({
  clients: sums(CLIENT_FIELDS),
  tables: sums(TABLE_FIELDS),
  seen: distinct({ key: ["client_name"], last: ["last_seen_at"] }),
});

/**
 * Makes a batcher for client statistics. Defaults: 2,000 entries or 250 ms per flush, 50,000 entries
 * held; keys that are held keep adding up however long the database is away.
 *
 * @example
 * await migrate(pool, clientStatsDdl());
 * const stats = createClientStatsBatcher(pool);
 * stats.tryEnqueueRequestStats("acme", 200, false);
 * stats.tryEnqueueTableStats("acme", "orders", "select", false);
 * await stats.close();
 */
export function createClientStatsBatcher(
  driver: PostgresDriver,
  options: ClientStatsOptions = {},
): ClientStatsBatcher {
  const { tables = {}, clientNames = "folded", ledger, prepare, classify, ...rest } = options;
  if (clientNames !== "folded" && clientNames !== "exact") {
    throw invalidOption("clientNames", '"folded" or "exact"', clientNames);
  }
  const { clientStatistics, clientTableStatistics, clients } = resolveTables(tables);
  const common = { ledger, prepare, classify };
  const updatedAt = "updated_at";
  const batcher = createBatcher({
    name: "client-stats",
    maxEntries: 2_000,
    maxDelayMs: 250,
    maxBufferedEntries: 50_000,
    ...rest,
    shape,
    sink: composeSinks({
      clients: upsertSums(driver, { ...common, table: clientStatistics, updatedAt }),
      tables: upsertSums(driver, { ...common, table: clientTableStatistics, updatedAt }),
      seen: touch(driver, {
        ...common,
        table: clients,
        caseInsensitive: clientNames === "folded",
        whereNull: "deleted_at",
        updatedAt,
      }),
    }),
  });
  const { epochMs } = options.clock ?? systemClock;
  const named = (what: string, name: string): string => {
    if (name !== "") return name;
    throw new SluiceError("SLUICE_ERR_KEY_INVALID", `${batcher.name}: ${what} is empty`);
  };
  // A name that is not text passes as it is: the shape refuses it, and quotes it.
  const clientName = (name: string): string =>
    named("client", clientNames === "folded" ? (name?.toLowerCase?.() ?? name) : name);

  const request = (client: string, status: number, cached: boolean, at: Time) => {
    if (!Number.isInteger(status)) {
      const message = `${batcher.name}: status must be a whole number; received ${quote(status)}`;
      throw new SluiceError("SLUICE_ERR_ITEM_INVALID", message);
    }
    return {
      client_name: clientName(client),
      total_requests: 1,
      successful_requests: status >= 200 && status < 400 ? 1 : 0,
      failed_requests: status >= 400 ? 1 : 0,
      total_cached_requests: cached ? 1 : 0,
      last_request_at: at,
    };
  };
  const table = (client: string, name: string, operation: string, isError: boolean, at: Time) => ({
    client_name: clientName(client),
    table_name: named("table", name),
    operation: named("operation", operation),
    total_operations: 1,
    error_operations: isError ? 1 : 0,
    last_operation_at: at,
  });

  return {
    tryEnqueueRequestStats: (client, status, cached, at = epochMs()) =>
      batcher.tryAdd({ clients: request(client, status, cached, at) }),
    tryEnqueueOperationStats: (client, at = epochMs()) =>
      batcher.tryAdd({
        clients: { client_name: clientName(client), total_operations: 1, last_operation_at: at },
      }),
    tryEnqueueTableStats: (client, name, operation, isError, at = epochMs()) =>
      batcher.tryAdd({ tables: table(client, name, operation, isError, at) }),
    tryEnqueueLastSeen: (client, at = epochMs()) =>
      batcher.tryAdd({ seen: { client_name: clientName(client), last_seen_at: at } }),
    record: async ({ client, status, cached = false, table: name, operation, isError, at }) => {
      const time = at ?? epochMs();
      await batcher.add({
        clients: {
          ...request(client, status, cached, time),
          total_operations: 1,
          last_operation_at: time,
        },
        tables: table(client, name, operation, isError ?? status >= 400, time),
        seen: { client_name: clientName(client), last_seen_at: time },
      });
    },
    flush: (flushOptions) => batcher.flush(flushOptions),
    close: (closeOptions) => batcher.close(closeOptions),
    stats: () => batcher.stats(),
    configure: (limits) => batcher.configure(limits),
    [Symbol.asyncDispose]: () => batcher[Symbol.asyncDispose](),
  };
}

/**
 * The DDL of the three tables, each only if it is missing. The index on `lower(client_name)` serves
 * last-seen updates by folded names.
 */
export function clientStatsDdl(tables: ClientStatsTables = {}): string {
  const { clientStatistics, clientTableStatistics, clients } = resolveTables(tables);
  const quoted = tableName("clients", clients);
  return [
    sumsDdl({ ...CLIENT_FIELDS, table: clientStatistics, updatedAt: "updated_at" }),
    sumsDdl({ ...TABLE_FIELDS, table: clientTableStatistics, updatedAt: "updated_at" }),
    `CREATE TABLE IF NOT EXISTS ${quoted} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  client_name text NOT NULL UNIQUE,
  last_seen_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
) WITH (fillfactor = 50);`,
    `CREATE INDEX IF NOT EXISTS ${tableName("index", `${clients.replace(".", "_")}_lower_name`)} ON ${quoted} (lower(client_name));`,
  ].join("\n");
}

function resolveTables(tables: ClientStatsTables) {
  return {
    clientStatistics: tables.clientStatistics ?? "client_statistics",
    clientTableStatistics: tables.clientTableStatistics ?? "client_table_statistics",
    clients: tables.clients ?? "clients",
  };
}
