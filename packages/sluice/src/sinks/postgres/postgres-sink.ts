/**
 * The PostgreSQL sink: one statement in one transaction per batch, gated by the ledger.
 */
import { createHash } from "node:crypto";
import { bisect } from "../../core/bisect.ts";
import { isSluiceError, messageOf, quote, rejected, retryable, SluiceError } from "../../errors.ts";
import type { Sink, WriteContext, WriteResult } from "../sink.ts";
import { type PostgresDriver, type Session, type Transact, transactor } from "./driver.ts";
import { tableName } from "./identifiers.ts";
import {
  claimSql,
  claimValues,
  DEFAULT_LEDGER,
  reap,
  storedRejections,
  storeRejections,
} from "./ledger.ts";
import { classifySqlstate, type FailureClass, isRolledBack, sqlstateOf } from "./sqlstate.ts";
import {
  addDetails,
  type BoundWrite,
  columnsOf,
  type Details,
  type TableWrite,
  told,
} from "./table-write.ts";

/** Options that every PostgreSQL sink takes. */
export interface PostgresSinkOptions {
  /**
   * The ledger table. Default "sluice_ledger". `false` does without: then a batch whose
   * acknowledgement is lost is written twice.
   */
  readonly ledger?: string | false | undefined;
  /** Whether statements are prepared by name. Default true; false for poolers that cannot. */
  readonly prepare?: boolean | undefined;
  /** Decides what a driver's error means. Default: `classifySqlstate`. */
  readonly classify?: ((error: unknown) => FailureClass) | undefined;
}

/** A sink that can be composed with others of the same database into one statement. */
export interface PostgresSink<Batch> extends Sink<Batch> {
  readonly driver: PostgresDriver;
  readonly options: PostgresSinkOptions;
  /** The tables it writes to, as they were named. */
  readonly tables: readonly string[];
  readonly writes: (batch: Batch) => readonly BoundWrite[];
}

export const SINK_OPTIONS: readonly string[] = ["ledger", "prepare", "classify"];

/** A sink for one table. */
export function tableSink<Batch>(
  driver: PostgresDriver,
  options: PostgresSinkOptions & { readonly table: string },
  write: TableWrite<Batch>,
): PostgresSink<Batch> {
  return postgresSink(driver, options, [options.table], (batch) => [
    {
      sql: (first, gate, name) => write.sql(batch, first, gate, name),
      values: () => write.values(batch),
      columns: (name) => write.details?.columns(name, batch) ?? {},
      details: (row) => write.details?.read(row, batch) ?? {},
    },
  ]);
}

/** A sink for any number of tables. */
export function postgresSink<Batch>(
  driver: PostgresDriver,
  options: PostgresSinkOptions,
  tables: readonly string[],
  writes: (batch: Batch) => readonly BoundWrite[],
): PostgresSink<Batch> {
  const { ledger = DEFAULT_LEDGER, prepare = true, classify = classifySqlstate } = options;
  if (typeof prepare !== "boolean" || typeof classify !== "function") {
    const message = `prepare must be a boolean and classify a function; received ${quote(prepare)} and ${quote(classify)}`;
    throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
  }
  const writer = new Writer<Batch>({
    driver,
    transact: transactor(driver),
    ledger: ledger === false ? undefined : { quoted: tableName("ledger", ledger), plain: ledger },
    prepare,
    classify,
    writes,
  });
  return {
    driver,
    options,
    tables,
    writes,
    check: (empty) => {
      for (const part of writes(empty)) part.sql(1, "true", "w0");
    },
    write: (batch, context) => writer.write(batch, context),
  };
}

interface WriterParts<Batch> {
  readonly driver: PostgresDriver;
  readonly transact: Transact;
  readonly ledger: { readonly quoted: string; readonly plain: string } | undefined;
  readonly prepare: boolean;
  readonly classify: (error: unknown) => FailureClass;
  readonly writes: (batch: Batch) => readonly BoundWrite[];
}

/** A prepared statement is gone, or somebody else's: 26000 and 42P05. */
const NOT_ONES_OWN = ["26000", "42P05"];

/** A row refers to one that is not there. */
const FOREIGN_KEY = "23503";

class Writer<Batch> {
  readonly #parts: WriterParts<Batch>;
  #prepare: boolean;
  #reaped = false;

  constructor(parts: WriterParts<Batch>) {
    this.#parts = parts;
    this.#prepare = parts.prepare;
  }

  async write(batch: Batch, context: WriteContext<Batch>): Promise<WriteResult> {
    await this.#reapOnce(context);
    try {
      return await this.#transact(context, (session) => this.#writeAll(session, batch, context));
    } catch (error) {
      // Alone, an entry at fault is the engine's to bury. Among others, it is found here.
      const alone = context.shape.size(batch).entries < 2;
      if (alone || !isSluiceError(error) || error.disposition !== "rejected") throw error;
      return this.#transact(context, (session) =>
        this.#writeAround(session, batch, context, error.cause),
      );
    }
  }

  /** Runs a transaction under the attempt's limits and classifies its failure. */
  async #transact(
    { timeoutMs, signal, warn }: WriteContext<Batch>,
    work: (session: Session) => Promise<WriteResult>,
  ): Promise<WriteResult> {
    let committing = false;
    const onCommit = (): void => {
      committing = true;
    };
    try {
      return await this.#parts.transact(work, { limits: limitsSql(timeoutMs), signal, onCommit });
    } catch (error) {
      if (isSluiceError(error)) throw error;
      const message = messageOf(error);
      this.#goUnprepared(error, warn);
      if (this.#parts.classify(error) === "rejected") throw this.#refusal(message, error);
      throw retryable(message, { cause: error, ambiguous: committing && !isRolledBack(error) });
    }
  }

  /**
   * Behind a transaction pooler that knows nothing of prepared statements, a name may be taken on every
   * connection of the server: no retry by that name could ever land.
   */
  #goUnprepared(error: unknown, warn: (error: unknown) => void): void {
    if (!this.#prepare || !NOT_ONES_OWN.includes(sqlstateOf(error) ?? "")) return;
    this.#prepare = false;
    const advice = "going on without them, as `prepare: false` does, which belongs here";
    const message = `prepared statements come and go, as behind a transaction pooler: ${advice}`;
    warn(new Error(message, { cause: error }));
  }

  /** Under the ledger a refusal speaks for every attempt: had one landed, this one would say so. */
  #refusal(message: string, cause: unknown): SluiceError {
    return rejected(message, { cause, ambiguous: this.#parts.ledger === undefined });
  }

  /** The one statement: claims the batch in the ledger and writes every table, or changes nothing. */
  async #writeAll(
    session: Session,
    batch: Batch,
    { id }: WriteContext<Batch>,
  ): Promise<WriteResult> {
    const { ledger } = this.#parts;
    const claim = ledger === undefined ? undefined : claimSql(ledger.quoted);
    const { claimed, details } = await this.#statement(
      session,
      batch,
      claim,
      claim === undefined ? [] : claimValues(id),
    );
    if (ledger === undefined || claimed) return { statements: 1, ...told(details) };
    const earlier = await storedRejections(session, ledger.quoted, id);
    return { duplicate: true, rejected: earlier, statements: 1 };
  }

  /** Writes the batch by halves, each in a savepoint, leaving out the entries at fault. */
  async #writeAround(
    session: Session,
    batch: Batch,
    { id, shape, timeoutMs, remainingMs }: WriteContext<Batch>,
    cause: unknown,
  ): Promise<WriteResult> {
    const { ledger, classify } = this.#parts;
    let statements = 1; // the one that was refused
    // Deferred constraints must speak up in their savepoint, not at COMMIT.
    await session.exec("SET CONSTRAINTS ALL IMMEDIATE");
    if (ledger !== undefined) {
      const claimed = await session.query(claimSql(ledger.quoted), claimValues(id));
      statements += 1;
      if (claimed.length === 0) {
        const earlier = await storedRejections(session, ledger.quoted, id);
        return { duplicate: true, rejected: earlier, statements };
      }
    }
    let details: Details = {};
    const hasTime = (): boolean => remainingMs() >= timeoutMs / 2;
    /** Refused alone for what they refer to, which may stand behind them. */
    const orphans = new Map<number, Batch>();
    const attempt = async (part: Batch, from: number) => {
      // More faults than time: the engine halves the batch, and each half has an attempt of its own.
      if (!hasTime()) throw this.#refusal("too many entries at fault", cause);
      statements += 1;
      try {
        const landed = await session.savepoint((inner) =>
          this.#statement(inner, part, undefined, []),
        );
        details = addDetails(details, landed.details);
        orphans.delete(from);
        return undefined;
      } catch (error) {
        if (isSluiceError(error) && error.disposition === "rejected")
          return { cause: error.cause ?? error };
        if (classify(error) !== "rejected") throw error;
        if (sqlstateOf(error) === FOREIGN_KEY && shape.size(part).entries === 1)
          orphans.set(from, part);
        return { cause: error };
      }
    };
    const refused = await bisect(batch, cause, shape, (part, _, from) => attempt(part, from));
    const orphaned = new Set(orphans.keys());
    for (let left = Infinity; orphans.size < left; ) {
      left = orphans.size;
      for (const [from, part] of Array.from(orphans)) if (hasTime()) await attempt(part, from);
    }
    const faults = refused.filter(({ index }) => !orphaned.has(index) || orphans.has(index));
    if (ledger !== undefined) await storeRejections(session, ledger.quoted, id, faults);
    return { rejected: faults, statements, ...told(details) };
  }

  async #statement(
    session: Session,
    batch: Batch,
    claim: string | undefined,
    claimed: readonly string[],
  ): Promise<{ readonly claimed: boolean; readonly details: Details }> {
    const gate = claim === undefined ? "true" : "EXISTS (SELECT FROM claim)";
    const values = [...claimed];
    const ctes = claim === undefined ? [] : [`claim AS (${claim})`];
    // Counted one by one, in this order: PostgreSQL then runs the writes in this order, everywhere.
    const counts = claim === undefined ? [] : ["(SELECT count(*) FROM claim) AS claimed"];
    const writes = this.#parts.writes(batch);
    for (const [index, write] of writes.entries()) {
      const name = `w${index}`;
      ctes.push(write.sql(values.length + 1, gate, name));
      counts.push(`(SELECT count(*) FROM ${name}) AS ${name}`);
      for (const [column, sql] of Object.entries(write.columns(name))) {
        counts.push(`${sql} AS ${name}_${column}`);
      }
      values.push(...encoded(write));
    }
    const text = `WITH ${ctes.join(",\n")}\nSELECT ${counts.join(", ")}`;
    const name = this.#prepare ? statementName(text) : undefined;
    const [row = {}] = await session.query(text, values, name);
    return {
      claimed: claim === undefined || Number(row["claimed"]) > 0,
      details: writes
        .map((write, index) => write.details(columnsOf(row, `w${index}`)))
        .reduce(addDetails, {}),
    };
  }

  /** Dead writers' ledger rows go once per sink. Failing at that must not hold up data for long. */
  async #reapOnce({ timeoutMs, signal, warn }: WriteContext<Batch>): Promise<void> {
    const { ledger, transact } = this.#parts;
    if (this.#reaped || ledger === undefined) return;
    this.#reaped = true;
    const limits = limitsSql(timeoutMs / 4);
    await reap(transact, { table: ledger.plain }, { limits, signal }).catch(warn);
  }
}

/** The values of a write. What cannot be encoded is at fault itself: it is found like any poison. */
function encoded(write: BoundWrite): readonly string[] {
  try {
    return write.values();
  } catch (error) {
    if (isSluiceError(error) && error.disposition === "rejected") throw error;
    const message = `the batch cannot be encoded: ${messageOf(error)}`;
    throw rejected(message, { cause: error, ambiguous: false });
  }
}

/** The same text has the same name, on every connection of every process. */
const statementName = (text: string): string =>
  `sluice_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;

/**
 * The server gives up before the client does: a statement that nobody waits for any more must not
 * hold locks. SET LOCAL leaves no trace on a shared connection and passes transaction poolers.
 */
export function limitsSql(timeoutMs: number): string {
  const share = (part: number): number => Math.max(1, Math.floor(timeoutMs * part));
  return [
    `SET LOCAL statement_timeout = ${share(0.8)}`,
    `SET LOCAL lock_timeout = ${share(0.5)}`,
    `SET LOCAL idle_in_transaction_session_timeout = ${share(1)}`,
  ].join("; ");
}
