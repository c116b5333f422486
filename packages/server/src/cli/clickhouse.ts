import type { ClickHouseClient } from "@clickhouse/client";
import type { Session } from "chdb";
import type { Query } from "../traffic/verify.ts";
import { withoutPassword } from "./database.ts";
import { EXIT, Failure, messageOf, quote, usageFailure } from "./failure.ts";

/** A ClickHouse that has answered, embedded or not. */
export interface RowStore {
  /** What the library writes through. */
  readonly client: ClickHouseClient | Session;
  /** For people, without a password. */
  readonly label: string;
  readonly query: Query;
  close(): Promise<void>;
}

/** No ClickHouse. */
export interface NoRowStore {
  /** Why, in a sentence that says what to do about it. */
  readonly skipped: string;
  close(): Promise<void>;
}

/** Loads the module of chDB, which is 543 MB and need not be installed. */
export type LoadChdb = () => Promise<{ readonly Session: new () => Session }>;

const importChdb: LoadChdb = () => import("chdb");

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than the library gives an attempt, so that it is the library that gives up. */
const REQUEST_TIMEOUT_MS = 60_000;

/**
 * Opens the server at `url`, or without one chDB, an embedded ClickHouse, in a temporary directory.
 * Where chDB cannot be loaded, the answer is why.
 */
export async function openRowStore(
  url: string | undefined,
  loadChdb: LoadChdb = importChdb,
): Promise<RowStore | NoRowStore> {
  return url === undefined ? openEmbedded(loadChdb) : openServer(url);
}

async function openEmbedded(loadChdb: LoadChdb): Promise<RowStore | NoRowStore> {
  let chdb: Awaited<ReturnType<LoadChdb>>;
  try {
    chdb = await loadChdb();
  } catch (error) {
    return { skipped: reasonToSkip(error), close: async () => undefined };
  }
  const label = "embedded ClickHouse";
  const session = openSession(chdb.Session, label);
  return {
    client: session,
    label,
    query: async (sql) => {
      const answer = await session.queryAsync(sql, { format: "JSONEachRow" });
      return rowsOf(answer.text());
    },
    // Removes the directory, too.
    close: async () => session.close(),
  };
}

function openSession(create: new () => Session, label: string): Session {
  try {
    return new create();
  } catch (error) {
    throw new Failure(`cannot use the ${label}: ${messageOf(error)}`, EXIT.failed, error);
  }
}

function reasonToSkip(error: unknown): string {
  const absent = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
  const why = absent ? "chDB is not installed" : `chDB cannot be loaded (${messageOf(error)})`;
  const remedy = "install it with `npm install chdb`, or name a server with --clickhouse URL";
  return `the access log is left out, because ${why}; ${remedy}`;
}

async function openServer(url: string): Promise<RowStore> {
  const label = withoutPassword(url);
  if (!/^https?:\/\//i.test(url)) {
    throw usageFailure(
      "sluice demo",
      `--clickhouse takes a URL such as http://localhost:8123/test, received ${quote(label)}`,
    );
  }
  const { ClickHouseLogLevel, createClient } = await import("@clickhouse/client");
  const client = connect(label, () =>
    createClient({
      url,
      application: "sluice demo",
      request_timeout: REQUEST_TIMEOUT_MS,
      // Failures reach whoever asked; nothing is to be printed besides.
      log: { level: ClickHouseLogLevel.OFF },
    }),
  );
  const query = async (sql: string, signal?: AbortSignal): Promise<ReturnType<typeof rowsOf>> => {
    const answer = await client.query({
      query: sql,
      format: "JSONEachRow",
      ...(signal === undefined ? {} : { abort_signal: signal }),
    });
    return rowsOf(await answer.text());
  };
  const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  try {
    await query("SELECT 1", timeout);
  } catch (error) {
    await client.close();
    const late = `it did not answer within ${CONNECT_TIMEOUT_MS / 1_000} s`;
    const reason = timeout.aborted ? late : messageOf(error);
    throw new Failure(`cannot use the database ${quote(label)}: ${reason}`, EXIT.failed, error);
  }
  return { client, label, query: (sql) => query(sql), close: () => client.close() };
}

function connect(label: string, create: () => ClickHouseClient): ClickHouseClient {
  try {
    return create();
  } catch {
    // Of what the parser says, the message is left out: it may quote the URL.
    throw usageFailure("sluice demo", `--clickhouse is not a valid URL: ${quote(label)}`);
  }
}

function rowsOf(text: string): Awaited<ReturnType<Query>> {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const row: unknown = JSON.parse(line);
    if (typeof row !== "object" || row === null) throw new Error(`the answer is ${quote(line)}`);
    return { ...row };
  });
}
