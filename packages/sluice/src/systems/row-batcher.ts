/**
 * Typed rows into a ClickHouse table: the `rows` shape and its sink under the names that writers of
 * rows use, with the limits that ClickHouse likes.
 */
import {
  type Batcher,
  createBatcher,
  type FlushOptions,
  type WaitOptions,
} from "../core/batcher.ts";
import { type BatcherOptions, FIXED, given, LIMITS, type Limits } from "../core/options.ts";
import type { FlushStats } from "../core/reports.ts";
import { refuseUnknown } from "../core/validate.ts";
import type { RowBatch } from "../shapes/row-binary/row-batch.ts";
import {
  type Columns,
  type DecodedRow,
  type RowOf,
  type RowsOptions,
  rows,
} from "../shapes/rows.ts";
import { type InsertRowsOptions, insertRows } from "../sinks/clickhouse/clickhouse-sink.ts";
import type { Guarantee } from "../sinks/clickhouse/table-probe.ts";
import { tableName } from "../sinks/clickhouse/identifiers.ts";
import type { TransportLike } from "../sinks/clickhouse/to-transport.ts";

const OPTIONS: readonly string[] = [
  "table",
  "columns",
  "createTable",
  "strict",
  "allowExtraColumns",
  "settings",
  "classify",
  "bufferBytes",
  "bufferShrinkBytes",
  ...FIXED.filter((option) => option !== "shape" && option !== "sink"),
  ...LIMITS,
];

/** The limits that `createRowBatcher` has where none are stated; docs/decisions/0008 says why. */
const DEFAULTS = {
  maxEntries: 50_000,
  maxBytes: 64 * 1_048_576,
  maxDelayMs: 5_000,
  // The first attempt and three retries from 100 ms; then the circuit opens and one probe at a time
  // goes out until deliveryTimeoutMs.
  retry: { baseDelayMs: 100, circuitAfter: 4 },
} as const satisfies Limits;

/** Limits for a firehose: fewer, larger inserts. `createRowBatcher(client, { ...highThroughput, … })`. */
export const highThroughput: Limits = Object.freeze({ maxEntries: 100_000, maxDelayMs: 10_000 });

/** Limits for fresh tables: an insert a second, as often as one writer of a table should. */
export const lowLatency: Limits = Object.freeze({
  maxEntries: 10_000,
  maxBytes: 8 * 1_048_576,
  maxDelayMs: 1_000,
});

/** The options of `createRowBatcher`: those of a batcher, of its rows and of its sink. */
export interface RowBatcherOptions<C extends Columns>
  extends Omit<BatcherOptions<RowOf<C>, RowBatch, DecodedRow<C>>, "shape" | "sink">,
    Omit<RowsOptions, "table">,
    InsertRowsOptions {
  /** The columns to write, by name. Columns that the table fills in by itself are left out. */
  readonly columns: C;
}

/** What a `flush()` covered; rows are rows, whatever became of them. */
export interface RowFlushStats extends Omit<FlushStats, "items" | "entries"> {
  readonly rows: number;
}

/** Takes rows for one table. The rest is as with any `Batcher`. */
export interface RowBatcher<C extends Columns>
  extends Omit<Batcher<RowOf<C>, RowBatch>, "tryAdd" | "add" | "addMany" | "flush"> {
  /**
   * Accepts a row, waiting for room. Resolved means accepted, not landed: for that there are `deliver`
   * and `flush`. Rejects with a usage error that names the column, or as `Batcher.add` does.
   */
  insert(row: RowOf<C>, options?: WaitOptions): Promise<void>;
  /** Accepts a row if there is room at once, and says whether it did. Never waits. */
  tryInsert(row: RowOf<C>): boolean;
  /** Accepts rows in order, waiting for room. Stops at the first that is refused: `Batcher.addMany`. */
  insertMany(
    rows: Iterable<RowOf<C>> | AsyncIterable<RowOf<C>>,
    options?: WaitOptions,
  ): Promise<void>;
  flush(options?: FlushOptions): Promise<RowFlushStats>;
  /** The rows of a batch that `close()` hands back or an `unknown` event carries. */
  rowsOf(batch: RowBatch): DecodedRow<C>[];
  /**
   * Looks at the server and the table, as the first insert does, and tells what is guaranteed. Rejects
   * with what would make inserts fail: every difference between columns and table, a table that cannot
   * deduplicate where `strict` asks for it, a server that cannot be reached.
   */
  ready(options?: WaitOptions): Promise<Guarantee>;
}

/**
 * Makes a batcher of typed rows. `client` is a client of `@clickhouse/client`, a Session of `chdb`, or
 * a `Transport`. Defaults: 50,000 rows, 64 MiB, 5 s, and as many as four such batches held.
 *
 * @example
 * const events = createRowBatcher(client, {
 *   table: "events",
 *   columns: { id: UInt64, at: DateTime64(3), name: String, tags: Array(String) },
 * });
 * await events.insert({ id: 1n, at: new Date(), name: "signup", tags: [] });
 * await events.close();
 */
export function createRowBatcher<const C extends Columns>(
  client: TransportLike,
  options: RowBatcherOptions<C>,
): RowBatcher<C> {
  refuseUnknown(options, OPTIONS, "createRowBatcher: ");
  const { columns, bufferBytes, bufferShrinkBytes, ...others } = options;
  const { table, createTable, strict, allowExtraColumns, settings, classify, ...limits } = others;
  const { text: name } = tableName("createRowBatcher: table", table);
  const { clock, retry } = limits;
  const sink = insertRows(client, {
    table,
    createTable,
    strict,
    allowExtraColumns,
    settings,
    classify,
    clock,
  });
  const shape = rows(columns, { table: name, bufferBytes, bufferShrinkBytes });
  const { columns: written } = shape.accumulator().seal(0).batch;
  const isRetry = typeof retry === "object" && retry !== null;
  const batcher = createBatcher({
    name,
    ...DEFAULTS,
    ...given(limits),
    retry: isRetry ? { ...DEFAULTS.retry, ...given(retry) } : (retry ?? DEFAULTS.retry),
    shape,
    sink,
  });
  return {
    name: batcher.name,
    insert: (row, waitOptions) => batcher.add(row, waitOptions),
    tryInsert: (row) => batcher.tryAdd(row),
    insertMany: (many, waitOptions) => batcher.addMany(many, waitOptions),
    deliver: (row, waitOptions) => batcher.deliver(row, waitOptions),
    flush: async (flushOptions) => {
      const { items, entries: _, ...figures } = await batcher.flush(flushOptions);
      return { rows: items, ...figures };
    },
    rowsOf: (batch) =>
      Array.from({ length: batch.rows }, (_, index) => shape.entryAt(batch, index)),
    ready: (waitOptions) => sink.ready({ ...waitOptions, columns: written }),
    close: (closeOptions) => batcher.close(closeOptions),
    stats: () => batcher.stats(),
    configure: (changes) => batcher.configure(changes),
    [Symbol.asyncDispose]: () => batcher[Symbol.asyncDispose](),
  };
}
