/**
 * Request, operation, table and last-seen statistics of a gateway's clients, in three tables, by one
 * statement per flush.
 */
import { systemClock } from "../clock.ts";
import { type Batcher, createBatcher } from "../core/batcher.ts";
import { type BatcherOptions } from "../core/options.ts";
import { atMost, checkObject, invalidOption } from "../core/validate.ts";
import { quote, SluiceError } from "../errors.ts";
import { type ComposedEntry, compose } from "../shapes/compose.ts";
import { distinct } from "../shapes/distinct.ts";
import type { KeyedBatch } from "../shapes/keyed-batch.ts";
import { sums, type Time } from "../shapes/sums.ts";
import { composeSinks } from "../sinks/postgres/compose-sinks.ts";
import type { PostgresDriver } from "../sinks/postgres/driver.ts";
import type { PostgresSinkOptions } from "../sinks/postgres/postgres-sink.ts";
import { touch } from "../sinks/postgres/touch.ts";
import { upsertSums } from "../sinks/postgres/upsert-sums.ts";
import {
  CLIENT_FIELDS,
  type ClientStatsTables,
  resolveTables,
  TABLE_FIELDS,
  UPDATED_AT,
} from "./client-stats-tables.ts";

export { type ClientStatsTables, clientStatsDdl } from "./client-stats-tables.ts";

/** A composed batch: what goes to each of the three tables. */
export type ClientStatsBatch = Readonly<Record<"clients" | "tables" | "seen", KeyedBatch>>;

/** The options of `createClientStatsBatcher`: those of a batcher and of its sink, and the tables. */
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

/** A request with all that it does to the statistics. */
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
 * and throw a usage error for names that are empty, too long, or hold NUL or a lone surrogate. What
 * adds to an entry that is held is always taken. `at` is when it happened; default: now.
 */
export interface ClientStatsBatcher
  extends Omit<Batcher<unknown, ClientStatsBatch>, "tryAdd" | "add" | "addMany" | "deliver"> {
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
}

/** The most bytes that the names of an entry may have: an index row of PostgreSQL ends at 2,704. */
const maxKeyBytes = 2_048;

const shape = compose({
  clients: sums({ ...CLIENT_FIELDS, maxKeyBytes }),
  tables: sums({ ...TABLE_FIELDS, maxKeyBytes }),
  seen: distinct({ key: ["client_name"], last: ["last_seen_at"], maxKeyBytes }),
});

/**
 * Makes a batcher for client statistics. Defaults: 2,000 entries or 250 ms per flush, 50,000 entries
 * held, where an entry is a client, a client's operation on a table, or a last-seen time; what is held
 * keeps adding up however long the database is away.
 *
 * @example
 * await migrate(pool, clientStatsDdl());
 * const stats = createClientStatsBatcher(pool);
 * stats.tryEnqueueRequestStats("acme", 200, false);
 * await stats.close();
 */
export function createClientStatsBatcher(
  driver: PostgresDriver,
  options: ClientStatsOptions = {},
): ClientStatsBatcher {
  checkObject("createClientStatsBatcher: the options", options);
  const { tables = {}, clientNames = "folded", ledger, prepare, classify, ...rest } = options;
  if (clientNames !== "folded" && clientNames !== "exact") {
    throw invalidOption("clientNames", '"folded" or "exact"', clientNames);
  }
  const folded = clientNames === "folded";
  const names = resolveTables(tables);
  const common = { ledger, prepare, classify, updatedAt: UPDATED_AT };
  const batcher = createBatcher({
    ...rest,
    name: rest.name ?? "client-stats",
    maxEntries: rest.maxEntries ?? atMost(rest.maxBufferedEntries, 2_000),
    maxDelayMs: rest.maxDelayMs ?? 250,
    shape,
    sink: composeSinks({
      clients: upsertSums(driver, { ...common, table: names.clientStatistics }),
      tables: upsertSums(driver, { ...common, table: names.clientTableStatistics }),
      seen: touch(driver, {
        ...common,
        table: names.clients,
        caseInsensitive: folded,
        whereNull: "deleted_at",
      }),
    }),
  });
  const clock = options.clock ?? systemClock;
  const now = (): number => clock.epochMs();

  // What is not text passes as it is: the shape refuses it, and quotes it.
  const named = (what: string, name: string): string => {
    if (name === "") throw new SluiceError("SLUICE_ERR_KEY_INVALID", `${what} is empty`);
    return name;
  };
  const client = (name: string): string =>
    named("the client's name", folded && typeof name === "string" ? name.toLowerCase() : name);
  const request = (name: string, status: number, cached: boolean, operations: 0 | 1, at: Time) => {
    if (!Number.isInteger(status)) {
      const message = `status must be a whole number; received ${quote(status)}`;
      throw new SluiceError("SLUICE_ERR_ITEM_INVALID", message);
    }
    return {
      client_name: client(name),
      total_requests: 1,
      successful_requests: status >= 200 && status < 400 ? 1 : 0,
      failed_requests: status >= 400 ? 1 : 0,
      total_cached_requests: cached ? 1 : 0,
      total_operations: operations,
      last_request_at: at,
      last_operation_at: operations === 0 ? undefined : at,
    };
  };
  const table = (name: string, of: string, operation: string, isError: boolean, at: Time) => ({
    client_name: client(name),
    table_name: named("the table's name", of),
    operation: named("the operation", operation),
    total_operations: 1,
    error_operations: isError ? 1 : 0,
    last_operation_at: at,
  });
  // Left as it is: the database folds it as it folds its own names, which is not how JavaScript does.
  const seen = (name: string, at: Time) => ({
    client_name: named("the client's name", name),
    last_seen_at: at,
  });

  return {
    name: batcher.name,
    tryEnqueueRequestStats: (name, status, cached, at = now()) =>
      batcher.tryAdd({ clients: request(name, status, cached, 0, at) }),
    tryEnqueueOperationStats: (name, at = now()) =>
      batcher.tryAdd({
        clients: { client_name: client(name), total_operations: 1, last_operation_at: at },
      }),
    tryEnqueueTableStats: (name, of, operation, isError, at = now()) =>
      batcher.tryAdd({ tables: table(name, of, operation, isError, at) }),
    tryEnqueueLastSeen: (name, at = now()) => batcher.tryAdd({ seen: seen(name, at) }),
    record: async (it) => {
      const { client: name, status, cached = false, at = now() } = it;
      await batcher.add({
        clients: request(name, status, cached, 1, at),
        tables: table(name, it.table, it.operation, it.isError ?? status >= 400, at),
        seen: seen(name, at),
      });
    },
    flush: (flushOptions) => batcher.flush(flushOptions),
    close: (closeOptions) => batcher.close(closeOptions),
    stats: () => batcher.stats(),
    configure: (limits) => batcher.configure(limits),
    [Symbol.asyncDispose]: () => batcher[Symbol.asyncDispose](),
  };
}
