/**
 * The contract of a transport: how statements and bytes reach a ClickHouse. There are two:
 * `clientTransport` over the official client, and `chdbTransport` within the process.
 *
 * A transport throws what its driver throws; `classify` reads it.
 */

import { quote, SluiceError } from "../../errors.ts";

/** Settings of one statement, by ClickHouse's names. */
export type ClickHouseSettings = Readonly<Record<string, string | number>>;

/** The formats that rows are sent in. */
export type RowFormat = "RowBinaryWithNamesAndTypes" | "RowBinary";

/** A row of a result. */
export type ResultRow = Readonly<Record<string, unknown>>;

/** One insert. */
export interface InsertRequest {
  /** The table and its columns, quoted: "`db`.`table` (`a`, `b`)". */
  readonly into: string;
  /** The columns as ClickHouse states a structure, quoted: "`a` UInt32, `b` String". */
  readonly structure: string;
  readonly format: RowFormat;
  /**
   * What is sent, in order; with names and types the header comes first. It is lent: once `insert` has
   * resolved, its memory may be used again.
   */
  readonly body: readonly Uint8Array[];
  readonly settings: ClickHouseSettings;
  /** Aborted when the answer is of no more use. The server may still apply the insert. */
  readonly signal: AbortSignal;
}

/** How a statement is run. */
export interface StatementOptions {
  readonly signal: AbortSignal;
}

/** A way to a ClickHouse. */
export interface Transport {
  /**
   * Whether the server casts rows into the table instead of holding their header against it. The
   * sink then looks at the table before every insert. Default false.
   */
  readonly casts?: boolean | undefined;
  /** Runs a SELECT or DESCRIBE without FORMAT; resolves to its rows, 64-bit integers as text. */
  query(sql: string, options: StatementOptions): Promise<readonly ResultRow[]>;
  /** Runs a statement that has no result, such as CREATE TABLE. */
  command(sql: string, options: StatementOptions): Promise<void>;
  /** Resolves once the insert is applied. */
  insert(request: InsertRequest): Promise<void>;
}

/** The rows of a result in the format JSONEachRow. */
export function readRows(text: string): readonly ResultRow[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      try {
        return JSON.parse(line) as ResultRow;
      } catch (cause) {
        throw new Error("the server's answer is not JSONEachRow", { cause });
      }
    });
}

/** Whether `value` has a method of this name. */
export const has = (value: unknown, method: string): boolean =>
  (typeof value === "object" || typeof value === "function") &&
  value !== null &&
  method in value &&
  typeof (value as Readonly<Record<string, unknown>>)[method] === "function";

/** The refusal of what is no way to a ClickHouse. */
export function notAWay(expected: string, received: unknown): SluiceError {
  const message = `expected ${expected}; received ${describe(received)}`;
  return new SluiceError("SLUICE_ERR_CLICKHOUSE_TRANSPORT", message);
}

/** By the name of its class: a driver's own fields may hold what no message should. */
function describe(received: unknown): string {
  if (typeof received !== "object" || received === null) return quote(received);
  return `an object of class ${received.constructor?.name ?? "none"}`;
}
