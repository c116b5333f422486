/**
 * The ClickHouse sink: one insert, one block, one token per batch.
 */
import { type Clock, systemClock } from "../../clock.ts";
import { refuseUnknown } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";
import type { RowBatch } from "../../shapes/row-binary/row-batch.ts";
import type { Sink } from "../sink.ts";
import { checkCreateTable, type CreateTableOptions } from "./create-table.ts";
import { type ClickHouseFailure, classifyClickHouse } from "./error-codes.ts";
import { type TableOption, tableName } from "./identifiers.ts";
import { checkSettings } from "./settings.ts";
import type { Guarantee } from "./table-probe.ts";
import { TableStates } from "./table-state.ts";
import { type ReadyOptions, TableWriter } from "./table-writer.ts";
import { toTransport, type TransportLike } from "./to-transport.ts";
import type { ClickHouseSettings } from "./transport.ts";

/** The options of `insertRows`. */
export interface InsertRowsOptions {
  /** The table: "events", "stats.events", or `{ database, table }`. */
  readonly table: TableOption;
  /** Creates the table from the columns of the rows if it is missing. Default false. */
  readonly createTable?: boolean | CreateTableOptions | undefined;
  /** Refuses to write where a batch that is sent again would be written twice. Default false. */
  readonly strict?: boolean | undefined;
  /** Lets the table have columns without a default that the rows do not write. Default false. */
  readonly allowExtraColumns?: boolean | undefined;
  /** Further settings of every insert, by ClickHouse's names; not those that the sink pins. */
  readonly settings?: ClickHouseSettings | undefined;
  /** Decides what a failure means. Default: `classifyClickHouse`. */
  readonly classify?: ((error: unknown) => ClickHouseFailure) | undefined;
  /** The time that retries age by. Default: `systemClock`. */
  readonly clock?: Clock | undefined;
}

/** A sink that can tell in advance what it promises. */
export interface ClickHouseSink extends Sink<RowBatch> {
  /**
   * Looks at the server and the table now, and not at the first insert. With columns, the table is
   * created if it may be, and compared. Throws what stands in the way.
   */
  ready(options?: ReadyOptions): Promise<Guarantee>;
}

const OPTIONS: readonly string[] =
  "table createTable strict allowExtraColumns settings classify clock".split(" ");

/**
 * Inserts batches of the `rows` shape into a table, each as one insert that forms one block.
 *
 * @example
 * insertRows(createClient({ url }), { table: "stats.events", createTable: { orderBy: ["at"] } })
 */
export function insertRows(given: TransportLike, options: InsertRowsOptions): ClickHouseSink {
  refuseUnknown(options, OPTIONS, "insertRows: ");
  const { strict = false, allowExtraColumns = false, classify = classifyClickHouse } = options;
  for (const [name, value] of Object.entries({ strict, allowExtraColumns })) {
    if (typeof value === "boolean") continue;
    throw optionError(`${name} must be a boolean; received ${quote(value)}`);
  }
  if (typeof classify !== "function") {
    throw optionError(`classify must be a function; received ${quote(classify)}`);
  }
  const transport = toTransport(given);
  const table = tableName("insertRows: table", options.table);
  const createTable = checkCreateTable("insertRows: createTable", options.createTable);
  const writer = new TableWriter({
    transport,
    table,
    states: new TableStates({ transport, table, createTable, allowExtraColumns }),
    strict,
    settings: checkSettings("insertRows: settings", options.settings),
    classify,
    clock: options.clock ?? systemClock,
  });
  return {
    check: (empty) => {
      if (isRowBatch(empty)) return;
      throw optionError(`needs the rows shape; received a batch that is ${quote(empty)}`);
    },
    releases: true,
    write: (batch, context) => writer.write(batch, context),
    ready: (readyOptions) => writer.ready(readyOptions),
  };
}

const isRowBatch = (batch: unknown): boolean =>
  typeof batch === "object" &&
  batch !== null &&
  ["columns", "chunks"].every((name) => Array.isArray((batch as Record<string, unknown>)[name]));

const optionError = (message: string): SluiceError =>
  new SluiceError("SLUICE_ERR_CLICKHOUSE_OPTION", `insertRows: ${message}`);
