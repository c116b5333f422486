/**
 * Sluice into ClickHouse: each batch as one insert, which the server recognises when it comes again.
 */
export { type ChdbAnswer, type ChdbSession, chdbTransport } from "./chdb-transport.ts";
export {
  type AnswerStream,
  type ClickHouseClient,
  clientTransport,
  type ExecParams,
  type ExecResult,
} from "./client-transport.ts";
export {
  type ClickHouseSink,
  type InsertRowsOptions,
  insertRows,
} from "./clickhouse-sink.ts";
export type { CreateTableOptions } from "./create-table.ts";
export { type ClickHouseFailure, classifyClickHouse, serverCode } from "./error-codes.ts";
export type { TableOption } from "./identifiers.ts";
export type { Guarantee } from "./table-probe.ts";
export type { ReadyOptions } from "./table-writer.ts";
export { type TransportLike, toTransport } from "./to-transport.ts";
export type {
  ClickHouseSettings,
  InsertRequest,
  ResultRow,
  RowFormat,
  StatementOptions,
  Transport,
} from "./transport.ts";
