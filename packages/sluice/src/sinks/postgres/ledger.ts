/**
 * The ledger: one row per lane that says up to which batch it has landed. A flush moves its row
 * forward and writes its data in one statement, so a batch whose acknowledgement was lost changes
 * nothing when it is sent again. The row also keeps which entries of that batch were rejected.
 */
import { refuseUnknown } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";
import type { BatchId, RejectedEntry } from "../sink.ts";
import type { PostgresDriver, Row, Session, Transact, TransactionOptions } from "./driver.ts";
import { transactor } from "./driver.ts";
import { tableName } from "./identifiers.ts";
import { sqlstateOf } from "./sqlstate.ts";

export const DEFAULT_LEDGER = "sluice_ledger";

const DAY_MS = 86_400_000;

/** The DDL of a ledger. Its rows are updated all the time and never indexed but by key: HOT. */
export function ledgerDdl(table: string = DEFAULT_LEDGER): string {
  return `CREATE TABLE IF NOT EXISTS ${tableName("ledger", table)} (
  writer text PRIMARY KEY,
  seq bigint NOT NULL,
  rejected jsonb,
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);`;
}

/** SQL that moves a writer forward and returns a row, or none when its batch has landed already. */
export function claimSql(ledger: string): string {
  return `INSERT INTO ${ledger} AS l (writer, seq) VALUES ($1, $2::bigint)
  ON CONFLICT (writer) DO UPDATE SET seq = excluded.seq, rejected = NULL, updated_at = now()
  WHERE l.seq < excluded.seq
  RETURNING 1`;
}

/**
 * The parameters of a claim. Parts of a batch, which only the engine makes, get a row of their own:
 * under the writer's row the second part would look like a repetition of the first.
 */
export function claimValues({ writer, seq, part }: BatchId): readonly [string, string] {
  return [part === undefined ? writer : `${writer}#${seq}/${part}`, String(seq)];
}

/** What an earlier attempt of this batch rejected. */
export async function storedRejections(
  session: Session,
  ledger: string,
  id: BatchId,
): Promise<readonly RejectedEntry[]> {
  const rows = await session.query(
    `SELECT r.index::int AS index, r.state FROM ${ledger} l,
  jsonb_to_recordset(l.rejected) AS r(index int, state text)
  WHERE l.writer = $1 AND l.seq = $2::bigint`,
    claimValues(id),
  );
  return rows.map(({ index, state }) => {
    const cause = new Error(`rejected by an earlier attempt with SQLSTATE ${String(state)}`);
    return { index: Number(index), cause: Object.assign(cause, { code: state ?? undefined }) };
  });
}

/** Notes what this attempt rejected, in the transaction that applies the rest. */
export async function storeRejections(
  session: Session,
  ledger: string,
  id: BatchId,
  rejected: readonly RejectedEntry[],
): Promise<void> {
  const notes = rejected.map(({ index, cause }) => ({ index, state: sqlstateOf(cause) ?? null }));
  await session.query(`UPDATE ${ledger} SET rejected = $2::text::jsonb WHERE writer = $1`, [
    claimValues(id)[0],
    JSON.stringify(notes),
  ]);
}

/** The options of `reapLedger`. */
export interface ReapOptions {
  /** The ledger table. Default "sluice_ledger". */
  readonly table?: string | undefined;
  /** Rows of writers that have been silent for this long are deleted. Default 7 days, least 1 hour. */
  readonly olderThanMs?: number | undefined;
}

/**
 * Deletes the ledger rows of writers that have been silent for long, and says how many. Sinks do it
 * once, before their first write. A row must outlive every retry of its last batch: hence the hour.
 */
export async function reapLedger(
  driver: PostgresDriver,
  options: ReapOptions = {},
): Promise<number> {
  return reap(transactor(driver), options);
}

/** The same within limits. */
export async function reap(
  transact: Transact,
  options: ReapOptions,
  limits: TransactionOptions = {},
): Promise<number> {
  refuseUnknown(options, ["table", "olderThanMs"], "reapLedger: ");
  const ledger = tableName("ledger", options.table ?? DEFAULT_LEDGER);
  const olderThanMs = options.olderThanMs ?? 7 * DAY_MS;
  if (!Number.isFinite(olderThanMs) || olderThanMs < DAY_MS / 24) {
    const message = `olderThanMs must be at least an hour (3600000); received ${quote(olderThanMs)}`;
    throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
  }
  // SKIP LOCKED: two processes that start together must not wait for each other.
  const rows: readonly Row[] = await transact(
    (session) =>
      session.query(
        `DELETE FROM ${ledger} WHERE writer IN (
  SELECT writer FROM ${ledger}
  WHERE updated_at < now() - $1::double precision * interval '1 millisecond'
  FOR UPDATE SKIP LOCKED
) RETURNING 1`,
        [String(olderThanMs)],
      ),
    limits,
  );
  return rows.length;
}
