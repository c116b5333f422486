/**
 * The drivers that `sluice/postgres` works with, as structural types: the user brings one, the
 * library depends on none. Type tests assign the real drivers' types to these.
 */
import { quote, SluiceError } from "../../errors.ts";

/** A row as drivers return it. */
export type Row = Readonly<Record<string, unknown>>;

/** A `Pool` of `pg`, or what wraps one: it may leave the callback unheeded. */
export interface PgPool {
  connect(callback?: PgCheckOut): Promise<PgClient> | void;
}

type PgCheckOut = (error: Error | undefined, client: PgClient | undefined) => void;

/** A client checked out of a `pg` pool. */
export interface PgClient {
  query(query: { text: string; values?: unknown[]; name?: string }): Promise<{ rows: unknown[] }>;
  /** True destroys the connection. */
  release(destroy?: boolean): void;
  on?(event: "error", listener: (error: Error) => void): unknown;
  off?(event: "error", listener: (error: Error) => void): unknown;
}

/** The `sql` function of `postgres` (porsager). */
export interface PostgresJs {
  begin(work: (sql: PostgresJsTransaction) => Promise<unknown>): Promise<unknown>;
}

/** The `sql` function within a transaction of `postgres`. */
export interface PostgresJsTransaction {
  unsafe(
    text: string,
    values?: string[],
    options?: { prepare?: boolean },
  ): PromiseLike<readonly unknown[]>;
  savepoint(work: (sql: PostgresJsTransaction) => Promise<unknown>): Promise<unknown>;
}

/** A `PGlite` database. */
export interface PgliteDatabase {
  transaction<T>(work: (transaction: PgliteTransaction) => Promise<T>): Promise<T>;
  exec(text: string): Promise<unknown>;
}

/** A transaction of `PGlite`. */
export interface PgliteTransaction {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
  exec(text: string): Promise<unknown>;
}

/** Any of the three. */
export type PostgresDriver = PgPool | PostgresJs | PgliteDatabase;

/** An open transaction. */
export interface Session {
  /** Runs one or more statements without parameters. */
  exec(text: string): Promise<void>;
  /** Runs one statement; with a name it is prepared once per connection, where the driver can. */
  query(text: string, values: readonly string[], name?: string): Promise<readonly Row[]>;
  /** Runs `work` within a savepoint: when it fails, what it did is undone and the session goes on. */
  savepoint<T>(work: (session: Session) => Promise<T>): Promise<T>;
}

/** How a transaction is run. */
export interface TransactionOptions {
  /**
   * Statements that limit it, run first. PGlite does without: it is one connection within this very
   * process, and its timers would keep the process alive.
   */
  readonly limits?: string | undefined;
  /** Gives the transaction up; where the driver can, it breaks off the statement under way. */
  readonly signal?: AbortSignal | undefined;
  /** Called before COMMIT is sent: until then, nothing can have been applied. */
  readonly onCommit?: (() => void) | undefined;
}

/** Runs `work` in a transaction: committed when it resolves, rolled back when it rejects. */
export type Transact = <T>(
  work: (session: Session) => Promise<T>,
  options?: TransactionOptions,
) => Promise<T>;

/** Recognises the driver. Throws `SLUICE_ERR_POSTGRES_DRIVER` for anything else. */
export function transactor(driver: PostgresDriver): Transact {
  if (isPostgresJs(driver)) return postgresJsTransactor(driver);
  if (isPglite(driver)) return pgliteTransactor(driver);
  if (isPgPool(driver)) return pgTransactor(driver);
  throw notADriver(driver);
}

const has = (value: unknown, method: string): boolean =>
  (typeof value === "object" || typeof value === "function") &&
  value !== null &&
  method in value &&
  typeof (value as Record<string, unknown>)[method] === "function";

const isPostgresJs = (driver: PostgresDriver): driver is PostgresJs => has(driver, "begin");
const isPglite = (driver: PostgresDriver): driver is PgliteDatabase =>
  has(driver, "transaction") && has(driver, "exec");
const isPgPool = (driver: PostgresDriver): driver is PgPool =>
  has(driver, "connect") && !has(driver, "escapeLiteral"); // a Client, which a Pool hands out

/** By the name of its class: a driver's own fields may hold what no message should. */
function describe(received: unknown): string {
  if (typeof received !== "object" || received === null) return quote(received);
  const { name } = received.constructor ?? {};
  return has(received, "escapeLiteral") ? `a ${name}: pass its Pool` : `an object of class ${name}`;
}

function notADriver(received: unknown): SluiceError {
  return new SluiceError(
    "SLUICE_ERR_POSTGRES_DRIVER",
    `expected a Pool of pg, the sql function of postgres, or a PGlite database; received ${describe(received)}`,
  );
}

function pgTransactor(pool: PgPool): Transact {
  return async (work, { limits, signal, onCommit } = {}) => {
    signal?.throwIfAborted();
    const client = await checkOut(pool, signal);
    let broken = false;
    const destroy = (): void => {
      if (!broken) client.release(true);
      broken = true;
    };
    signal?.addEventListener("abort", destroy);
    const exec = async (text: string): Promise<void> => {
      await client.query({ text });
    };
    try {
      signal?.throwIfAborted();
      await exec(limits === undefined ? "BEGIN" : `BEGIN; ${limits}`);
      const result = await work(
        session(exec, async (text, values, name) => {
          const named = name === undefined ? {} : { name };
          return (await client.query({ text, values: [...values], ...named })).rows as Row[];
        }),
      );
      onCommit?.();
      refuseRollback(await client.query({ text: "COMMIT" }));
      return result;
    } catch (error) {
      if (!broken) await exec("ROLLBACK").catch(destroy);
      throw error;
    } finally {
      signal?.removeEventListener("abort", destroy);
      client.off?.("error", ignore);
      if (!broken) client.release();
    }
  };
}

/**
 * Takes a client and listens to its errors from that very moment: one call later a connection that
 * is killed as it opens has thrown an `error` event that nobody heard, and with it the process.
 */
function checkOut(pool: PgPool, signal: AbortSignal | undefined): Promise<PgClient> {
  return new Promise((resolve, reject) => {
    let taken = false;
    const take: PgCheckOut = (error, client) => {
      if (taken) return; // by callback and by promise: it is one client
      taken = true;
      if (client === undefined) {
        reject(error ?? new Error("the pool gave no client"));
        return;
      }
      if (signal?.aborted === true) {
        client.release(); // nobody waits for it any more
        reject(signal.reason);
        return;
      }
      client.on?.("error", ignore);
      resolve(client);
    };
    pool.connect(take)?.then((client) => take(undefined, client), reject);
  });
}

/** A connection that breaks between two queries has nobody else to tell; the next query fails. */
const ignore = (): void => undefined;

function pgliteTransactor(database: PgliteDatabase): Transact {
  return async (work, { signal, onCommit } = {}) => {
    signal?.throwIfAborted();
    return database.transaction(async (transaction) => {
      const exec = async (text: string): Promise<void> => {
        await transaction.exec(text);
      };
      const result = await work(
        session(exec, async (text, values) => {
          signal?.throwIfAborted();
          return (await transaction.query(text, [...values])).rows as Row[];
        }),
      );
      onCommit?.();
      return result;
    });
  };
}

/**
 * `begin` ends a transaction by a prepared COMMIT. Where that statement has vanished, as behind a
 * pooler, the driver prepares it anew and sends it again, within a transaction that has failed by
 * then: a ROLLBACK that is reported as success. So the work commits itself, plainly, and leaves
 * `begin` an empty transaction to end as it likes.
 */
function postgresJsTransactor(sql: PostgresJs): Transact {
  return async (work, { limits, signal, onCommit } = {}) => {
    signal?.throwIfAborted();
    let result: { readonly value: Awaited<ReturnType<typeof work>> } | undefined;
    const begun = sql.begin(async (transaction) => {
      const session = postgresJsSession(transaction, signal);
      if (limits !== undefined) await session.exec(limits);
      const value = await work(session);
      onCommit?.();
      // SELECT fails where the transaction has, and nothing behind it is run: a COMMIT that is reached
      // commits or fails aloud. BEGIN in the same breath: between two transactions the driver would
      // give the connection to somebody else.
      await orNever(transaction.unsafe("SELECT 1; COMMIT; BEGIN"));
      result = { value };
    });
    try {
      await begun;
    } catch (error) {
      if (result === undefined) throw error; // else only the empty transaction failed
    }
    if (result === undefined) throw new Error("the transaction ended without a result");
    return result.value;
  };
}

/** The server answers COMMIT with ROLLBACK, and no error, where the transaction had failed before. */
function refuseRollback(answer: unknown): void {
  const command =
    typeof answer === "object" && answer !== null && "command" in answer
      ? answer.command
      : "COMMIT";
  if (command === "COMMIT") return;
  const error = new Error(`the server answered COMMIT with ${String(command)}`);
  throw command === "ROLLBACK" ? Object.assign(error, { code: "40000" }) : error; // transaction_rollback
}

function postgresJsSession(sql: PostgresJsTransaction, signal: AbortSignal | undefined): Session {
  const run = async (text: string, values: readonly string[], prepare: boolean) => {
    signal?.throwIfAborted();
    // Never cancelled: the driver asks for that over a connection of its own, and if that one fails,
    // as in an outage, nobody can catch the rejection. The server's limits end the statement.
    const rows = await orNever(sql.unsafe(text, [...values], { prepare }));
    return rows as readonly Row[];
  };
  return {
    exec: async (text) => {
      await run(text, [], false);
    },
    query: (text, values, name) => run(text, values, name !== undefined),
    // A failed query ends a transaction of this driver unless it ran in a savepoint of its own.
    savepoint: async (work) => {
      let result: { readonly value: Awaited<ReturnType<typeof work>> } | undefined;
      const ended = sql.savepoint(async (inner) => {
        result = { value: await work(postgresJsSession(inner, signal)) };
      });
      await orNever(ended);
      if (result === undefined) throw new Error("the savepoint ended without a result");
      return result.value;
    },
  };
}

/**
 * What `postgres` answers, or nothing ever once the connection is gone: `begin` then rejects by
 * itself. Were its callback to reject as well, it would write ROLLBACK to a socket that is no more,
 * and throw where nobody can catch it.
 */
async function orNever<T>(answer: PromiseLike<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const lost =
      typeof error === "object" &&
      error !== null &&
      ("syscall" in error || ("code" in error && error.code === "CONNECTION_CLOSED"));
    if (!lost) throw error;
    return new Promise<never>(() => undefined);
  }
}

/** A session over plain SQL. */
function session(exec: Session["exec"], query: Session["query"]): Session {
  const self: Session = {
    exec,
    query,
    savepoint: async (work) => {
      await exec("SAVEPOINT sluice");
      try {
        const result = await work(self);
        await exec("RELEASE SAVEPOINT sluice");
        return result;
      } catch (error) {
        await exec("ROLLBACK TO SAVEPOINT sluice; RELEASE SAVEPOINT sluice");
        throw error;
      }
    },
  };
  return self;
}
