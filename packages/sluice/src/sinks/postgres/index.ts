/**
 * Sluice into PostgreSQL: each batch exactly once, in one statement, in one transaction.
 */
export { composeSinks, type SinkBatches, type SinkParts } from "./compose-sinks.ts";
export type {
  PgClient,
  PgliteDatabase,
  PgliteTransaction,
  PgPool,
  PostgresDriver,
  PostgresJs,
  PostgresJsTransaction,
} from "./driver.ts";
export { type InsertRowsOptions, insertRows } from "./insert-rows.ts";
export type { ColumnOptions } from "./keyed-columns.ts";
export type { ListenSource } from "./listen-connection.ts";
export { ledgerDdl, type ReapOptions, reapLedger } from "./ledger.ts";
export { migrate, type SumsDdlOptions, sumsDdl } from "./migrate.ts";
export type { PostgresSink, PostgresSinkOptions } from "./postgres-sink.ts";
export { type PostgresPubsubOptions, postgresPubsub } from "./postgres-pubsub.ts";
export { type PublishingOptions, publishing } from "./publishing.ts";
export { classifySqlstate, type FailureClass, sqlstateOf } from "./sqlstate.ts";
export type { BoundWrite, Details } from "./table-write.ts";
export { type TouchOptions, touch } from "./touch.ts";
export { type UpsertSumsOptions, upsertSums } from "./upsert-sums.ts";
export { type LatestDetails, type WriteLatestOptions, writeLatest } from "./write-latest.ts";
