/**
 * The ClickHouse of integration tests: the newest in process, and a block of tests against the oldest
 * server, where it is installed.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Session } from "chdb";
import { afterAll, describe, inject } from "vitest";
import { clickhouseGrants } from "./privileges.ts";

/** A row of an answer; integers beyond 2^53 lose digits, so ask for them with toString. */
export type ClickHouseRow = Record<string, unknown>;

/** ClickHouse in this process. */
export interface Chdb {
  /** A session of it. Others may be opened at `session.path`, to the same tables. */
  readonly session: Session;
  /** Runs a statement and gives its rows. */
  query(sql: string): Promise<ClickHouseRow[]>;
}

/** The role of a sink: it may do what docs/guides/clickhouse.md names, to any table, and nothing else. */
export const WRITER = "writer";

const WRITERS = { [WRITER]: clickhouseGrants.map(({ privileges }) => `${privileges} ON *.*`) };

/**
 * Opens ClickHouse in a new directory until the tests of the file, or of the block around the call,
 * have run. A process holds one at a time: call it once in a file. Its one user owns everything, and may
 * take the place of a role with `SET ROLE`; `roles` are what each may do.
 */
export function openChdb(roles: Roles = WRITERS): Chdb {
  const directory = mkdtempSync(join(tmpdir(), "sluice-chdb-"));
  const [config, users] = [join(directory, "config.xml"), join(directory, "users.xml")];
  writeFileSync(
    config,
    `<clickhouse><user_directories><users_xml><path>${users}</path></users_xml></user_directories></clickhouse>`,
  );
  writeFileSync(users, usersXml({ owner: ["ALL ON *.*"], ...roles }));
  const session = new Session("", { connectionArgs: [`--config-file=${config}`] });
  afterAll(() => {
    session.close();
    rmSync(directory, { recursive: true });
  });
  return chdbOf(session);
}

/** What each role may do, as it stands behind GRANT. */
type Roles = Readonly<Record<string, readonly string[]>>;

function usersXml(roles: Roles): string {
  const grants = (list: readonly string[]): string =>
    `<grants>${list.map((what) => `<query>GRANT ${what}</query>`).join("")}</grants>`;
  const defined = Object.entries(roles).map(([name, may]) => `<${name}>${grants(may)}</${name}>`);
  return `<clickhouse>
  <roles>${defined.join("")}</roles>
  <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    ${grants(Object.keys(roles))}
  </default></users>
  <profiles><default/></profiles><quotas><default/></quotas>
</clickhouse>`;
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
