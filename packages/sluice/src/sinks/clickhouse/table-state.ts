/**
 * What is known of a table: what the server promises, and how it states the columns of the rows.
 * Found out once, before the first insert, for all lanes together; a failure is not remembered.
 */
import { isSluiceError, quote, retryable, type SluiceError } from "../../errors.ts";
import type { RowColumn } from "../../shapes/row-binary/row-batch.ts";
import { rowHeader } from "../../shapes/row-binary/row-header.ts";
import { type CreateTableOptions, createTableSql } from "./create-table.ts";
import { serverCode } from "./error-codes.ts";
import { identifier, type TableName } from "./identifiers.ts";
import {
  type CheckedSchema,
  checkSchema,
  describeTable,
  missingTable,
  notCreated,
} from "./schema-check.ts";
import { type Guarantee, hasTokens, probeTable } from "./table-probe.ts";
import type { InsertRequest, StatementOptions, Transport } from "./transport.ts";

/** A table that was looked at and found right for the rows. */
export interface TableState {
  readonly guarantee: Guarantee;
  /** What an insert says of its columns. */
  readonly target: Pick<InsertRequest, "into" | "structure" | "format">;
  /** Goes before the rows; empty where the format has none. */
  readonly header: readonly Uint8Array[];
  /** Whether a column is read from JSON text. */
  readonly json: boolean;
}

/** The parts of a table's state that options decide. */
export interface TableStateOptions {
  readonly transport: Transport;
  readonly table: TableName;
  readonly createTable: CreateTableOptions | undefined;
  readonly allowExtraColumns: boolean;
}

/** Whether inserts must look at the table each time: nobody else compares types. */
const isUnchecked = (transport: Transport, { format }: Guarantee): boolean =>
  transport.casts === true || format === "RowBinary";

/**
 * Why a table may not be created yet: load, a quota, a server that starts or stops, a replica that is still
 * being dropped, a privilege or a profile that is to come. Any other answer is about the statement.
 */
const MAY_PASS: ReadonlySet<number> = new Set([
  159, 164, 192, 193, 194, 201, 202, 209, 210, 225, 236, 241, 242, 253, 319, 394, 452, 497, 516,
  745, 999,
]);

/** What is known of one table. */
export class TableStates {
  readonly #options: TableStateOptions;
  #guarantee: Shared<Guarantee> = new Shared();
  /** By the columns of the rows: one array per shape. */
  #states = new WeakMap<readonly RowColumn[], Shared<TableState>>();

  constructor(options: TableStateOptions) {
    this.#options = options;
  }

  /** What the server promises for the table. */
  guarantee(options: StatementOptions): Promise<Guarantee> {
    const { transport, table } = this.#options;
    return this.#guarantee.get((own) => probeTable(transport, table, own), options);
  }

  /** The table as an insert needs it. Throws what the transport throws, and every difference. */
  get(columns: readonly RowColumn[], options: StatementOptions): Promise<TableState> {
    const known = this.#states.get(columns);
    const held = known?.held;
    if (held !== undefined && isUnchecked(this.#options.transport, held.guarantee)) {
      return this.#look(columns, options);
    }
    const state = known ?? new Shared<TableState>();
    this.#states.set(columns, state);
    return state.get((own) => this.#look(columns, own), options);
  }

  /** Forgets what is known. */
  forget(): void {
    this.#guarantee = new Shared();
    this.#states = new WeakMap();
  }

  async #look(columns: readonly RowColumn[], options: StatementOptions): Promise<TableState> {
    const { transport, table, createTable, allowExtraColumns } = this.#options;
    let described = await describeTable(transport, table, options);
    if (described === undefined && createTable !== undefined) {
      await this.#create(columns, createTable, options);
      described = await describeTable(transport, table, options);
    }
    if (described === undefined) {
      this.#guarantee = new Shared();
      if (createTable === undefined) throw missingTable(table);
      // Another replica answers, which has not caught up; or somebody dropped it.
      const message = `table ${quote(table.text)} was created and is not there yet`;
      throw retryable(message, { ambiguous: false });
    }
    const guarantee = await this.guarantee(options);
    const readsJsonText = guarantee.settings.has("input_format_binary_read_json_as_string");
    const schema = checkSchema(table, columns, described, { allowExtraColumns, readsJsonText });
    return stateOf(table, guarantee, schema);
  }

  async #create(
    columns: readonly RowColumn[],
    createTable: CreateTableOptions,
    options: StatementOptions,
  ): Promise<void> {
    const { transport, table } = this.#options;
    const sql = createTableSql(table, columns, createTable, await hasTokens(transport, options));
    try {
      await transport.command(sql, options);
    } catch (error) {
      const code = serverCode(error);
      if (code !== undefined && !MAY_PASS.has(code)) throw notCreated(table, error);
      throw error;
    }
    this.#guarantee = new Shared(); // of the table that was not there
  }
}

function stateOf(table: TableName, guarantee: Guarantee, schema: CheckedSchema): TableState {
  const { columns, json } = schema;
  const names = columns.map(({ name }) => identifier("column", name));
  const { format } = guarantee;
  return {
    guarantee,
    target: {
      into: `${table.quoted} (${names.join(", ")})`,
      structure: columns.map(({ type }, index) => `${names[index]} ${type}`).join(", "),
      format,
    },
    header: format === "RowBinary" ? [] : [rowHeader(columns)],
    json,
  };
}

/** One answer for all who ask, at the same time or later. A failure is not held. */
class Shared<T> {
  /** The answer, once there is one. */
  held: T | undefined;
  #asked: { readonly answer: Promise<T>; readonly signal: AbortSignal } | undefined;

  async get(ask: (own: StatementOptions) => Promise<T>, own: StatementOptions): Promise<T> {
    for (;;) {
      if (this.held !== undefined) return this.held;
      if (this.#asked?.signal.aborted === true) this.#asked = undefined; // it may never answer
      const isMine = this.#asked === undefined;
      const asked = (this.#asked ??= { answer: ask(own), signal: own.signal });
      try {
        this.held = await asked.answer;
      } catch (error) {
        if (this.#asked === asked) this.#asked = undefined;
        // Where another asked and gave up, its failure says nothing.
        if (isMine || !asked.signal.aborted || own.signal.aborted) throw error;
      }
    }
  }
}

/** Whether an error tells of the table and not of the way to it. */
export const isMismatch = (error: unknown): error is SluiceError =>
  isSluiceError(error) && error.code === "SLUICE_ERR_CLICKHOUSE_SCHEMA";
