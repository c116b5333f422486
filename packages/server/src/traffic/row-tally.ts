import { createHash } from "node:crypto";
import type { TrafficRequest } from "./request.ts";

/** A request as a row of `access_log`, by the names of its columns. */
export interface AccessRow {
  /** Unix seconds. */
  readonly at: number;
  readonly client: string;
  readonly method: string;
  /** The request target as the client sent it, query included. */
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  readonly referrer: string;
  readonly user_agent: string;
}

/** The table that the rows go to. */
export const ACCESS_LOG = "access_log";

/** The row of a request. */
export function accessRowOf(request: TrafficRequest): AccessRow {
  const { at, client, method, target, status, bytes, referrer, userAgent } = request;
  return {
    at: Math.floor(at / 1_000),
    client,
    method,
    path: target,
    status,
    bytes,
    referrer,
    user_agent: userAgent,
  };
}

/** What a table of rows comes down to: sums by the SQL that the server computes them with. */
export type RowSums = ReadonlyMap<string, bigint>;

/**
 * Sums rows a second time, by none of the library's code. Sums of hashes notice what lengths do
 * not: a character that changed, or values that changed places with those of another column.
 */
export interface RowTally {
  add(row: AccessRow): void;
  readonly sums: RowSums;
}

const NUMBERS = ["at", "status", "bytes"] as const;
const TEXTS = ["client", "method", "path", "referrer", "user_agent"] as const;
/** How many texts are remembered with their hashes. */
const MAX_KNOWN_TEXTS = 50_000;

/** The SQL of the number of rows. */
export const ROW_COUNT = "count()";
const sumOf = (column: string): string => `sum(toUInt64(${column}))`;
const lengthOf = (column: string): string => `sum(length(${column}))`;
const hashOf = (column: string): string => `sum(halfMD5(${column}))`;

interface TextFigures {
  readonly length: bigint;
  readonly hash: bigint;
}

/** Creates the sums of no rows. */
export function createRowTally(): RowTally {
  const sums = new Map<string, bigint>([
    [ROW_COUNT, 0n],
    ...NUMBERS.map((column) => [sumOf(column), 0n] as const),
    ...TEXTS.flatMap((column) => [[lengthOf(column), 0n] as const, [hashOf(column), 0n] as const]),
  ]);
  const known = new Map<string, TextFigures>();

  const figuresOf = (text: string): TextFigures => {
    const remembered = known.get(text);
    if (remembered !== undefined) return remembered;
    const bytes = Buffer.from(text);
    const hash = createHash("md5").update(bytes).digest().readBigUInt64BE(0);
    const figures = { length: BigInt(bytes.length), hash };
    if (known.size === MAX_KNOWN_TEXTS) known.clear();
    known.set(text, figures);
    return figures;
  };
  const increase = (sql: string, by: bigint): void => {
    sums.set(sql, wrap((sums.get(sql) ?? 0n) + by));
  };

  return {
    add(row) {
      increase(ROW_COUNT, 1n);
      for (const column of NUMBERS) increase(sumOf(column), BigInt(row[column]));
      for (const column of TEXTS) {
        const { length, hash } = figuresOf(row[column]);
        increase(lengthOf(column), length);
        increase(hashOf(column), hash);
      }
    },
    sums,
  };
}

/** The sum of two sums as the server has it: in 64 bits. */
export function wrap(sum: bigint): bigint {
  return BigInt.asUintN(64, sum);
}
