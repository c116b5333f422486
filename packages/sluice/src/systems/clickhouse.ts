/**
 * Typed rows into ClickHouse: the column types, the `rows` shape, the sink and its transports, and the
 * batcher made of them.
 */
export type { AnyColumnType, ColumnType } from "../shapes/row-binary/column-type.ts";
export {
  Array,
  type Fields,
  type FieldsIn,
  type FieldsOut,
  type In,
  LowCardinality,
  Map,
  Nested,
  Nullable,
  type Out,
  Tuple,
} from "../shapes/row-binary/composites.ts";
export {
  Decimal,
  Decimal32,
  Decimal64,
  Decimal128,
  Decimal256,
  type DecimalValue,
} from "../shapes/row-binary/decimals.ts";
export {
  Bool,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  Int128,
  Int256,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  UInt128,
  UInt256,
  type WholeNumber,
} from "../shapes/row-binary/numbers.ts";
export type { RowBatch, RowChunk, RowColumn } from "../shapes/row-binary/row-batch.ts";
export {
  Enum8,
  Enum16,
  FixedString,
  IPv4,
  IPv6,
  JSON,
  String,
  type TextOrBytes,
  UUID,
} from "../shapes/row-binary/texts.ts";
export {
  Date,
  Date32,
  DateTime,
  DateTime64,
  type Instant,
} from "../shapes/row-binary/times.ts";
export {
  type Columns,
  type DecodedRow,
  type RowOf,
  type RowsOptions,
  rows,
} from "../shapes/rows.ts";
export * from "../sinks/clickhouse/index.ts";
export {
  createRowBatcher,
  highThroughput,
  lowLatency,
  type RowBatcher,
  type RowBatcherOptions,
  type RowFlushStats,
} from "./row-batcher.ts";
