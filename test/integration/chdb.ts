/**
 * The ClickHouse of integration tests: the newest in process, and a block of tests against the oldest
 * server, where it is installed.
 */
import { Session } from "chdb";
import { afterAll, describe, inject } from "vitest";

/** A row of an answer; integers beyond 2^53 lose digits, so ask for them with toString. */
export type ClickHouseRow = Record<string, unknown>;

/** ClickHouse in this process. */
export interface Chdb {
  /** A session of it. Others may be opened at `session.path`, to the same tables. */
  readonly session: Session;
  /** Runs a statement and gives its rows. */
  query(sql: string): Promise<ClickHouseRow[]>;
}

/**
 * Opens ClickHouse in a new directory until the tests of the file, or of the block around the call,
 * have run. A process holds one at a time: call it once in a file.
 */
export function openChdb(): Chdb {
  const session = new Session();
  afterAll(() => session.close());
  return chdbOf(session);
}

/** ClickHouse in a session that is there already. */
export const chdbOf = (session: Session): Chdb => ({
  session,
  query: async (sql) => {
    const answer = await session.queryAsync(sql, { format: "JSONEachRow" });
    return rowsOf(answer.text());
  },
});

/** The rows of an answer in the format JSONEachRow. */
export function rowsOf(text: string): ClickHouseRow[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as ClickHouseRow);
}

/**
 * A block of tests against the server at `url`. Where it is not installed they are skipped, and
 * the block's name says why.
 */
export function describeServer(name: string, tests: (url: string) => void): void {
  const missing = inject("clickhouseMissing");
  const reason = missing === null ? "" : ` (${missing})`;
  describe.skipIf(missing !== null)(`${name}${reason}`, () => {
    tests(inject("clickhouseUrl") ?? "");
  });
}
