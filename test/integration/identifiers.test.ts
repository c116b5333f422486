/** Hostile names on real servers: what is accepted is exactly the name that was given, and nothing else. */
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createBatcher, sums } from "sluice";
import { createRowBatcher, type TransportLike, UInt64 } from "sluice/clickhouse";
import { ledgerDdl, postgresPubsub, sumsDdl, upsertSums } from "sluice/postgres";
import { hostileNames } from "../abuse/hostile-names.ts";
import { type ClickHouseRow, describeServer, openChdb, rowsOf } from "./chdb.ts";
import { connect } from "./clickhouse-faults.ts";
import { connectors, type Eye, freshDatabase, openEye } from "./database.ts";

/** So many different names that are taken. */
function namesTaken(count: number, isTaken: (name: string) => boolean): readonly string[] {
  const names = new Set<string>();
  for (const name of hostileNames(100_000, 3)) {
    if (isTaken(name)) names.add(name);
    if (names.size === count) break;
  }
  expect(names.size).toBe(count);
  return [...names];
}

describe("on PostgreSQL", () => {
  const isTaken = (name: string): boolean => {
    try {
      return sumsDdl({ table: name, key: [name], sum: [] }) !== "" && !name.includes(".");
    } catch {
      return false;
    }
  };
  let url: string;
  let eye: Eye;
  beforeAll(async () => {
    url = await freshDatabase();
    eye = await openEye(url);
  });
  afterAll(() => eye.close());

  it("100 tables, with ledgers and columns of such names, are there, and hold what was added", async () => {
    const names = namesTaken(200, isTaken);
    const tables = names.slice(0, 100).map((table, n) => ({ table, other: names[100 + n] ?? "" }));
    const { driver, end } = connectors.pg(url, 4);
    for (const { table, other } of tables) {
      await eye.query(`${sumsDdl({ table, key: [other], sum: ["n"] })}; ${ledgerDdl(other)}`);
    }
    await Promise.all(
      tables.map(async ({ table, other }, n) => {
        const batcher = createBatcher({
          shape: sums<string, "n">({ key: [other], sum: ["n"] }),
          sink: upsertSums(driver, { table, ledger: other }),
        });
        await batcher.add(
          Object.fromEntries<unknown>([
            [other, table],
            ["n", n],
          ]) as never,
        );
        expect(await batcher.close()).toMatchObject({ committed: 1, undelivered: [] });
      }),
    );
    await end();
    const found = await eye.query(
      `SELECT relname AS name, (
         SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = c.oid AND attnum > 0
       ) AS columns, query_to_xml(format('SELECT * FROM %s', c.oid::regclass), false, true, '') AS rows
       FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
    );
    expect(found.map(({ name }) => String(name)).toSorted()).toEqual(names.toSorted());
    for (const [n, { table, other }] of tables.entries()) {
      const own = found.find(({ name }) => name === table);
      expect(own?.["columns"]).toEqual([other, "n"]);
      expect(own?.["rows"]).toContain(`<n>${n}</n>`);
      expect(found.find(({ name }) => name === other)?.["rows"]).toContain("<seq>1</seq>");
    }
  });

  it("50 channels carry what was published to each, and nothing of another", async () => {
    const channels = namesTaken(50, isTaken);
    const { driver, end } = connectors.pg(url, 2);
    const pubsub = postgresPubsub(driver, { listen: () => new pg.Client(url) });
    const heard: [string, string][] = [];
    await Promise.all(
      channels.map((channel) => {
        const onPayload = (payload: string): void => void heard.push([channel, payload]);
        return pubsub.subscribe(channel, { onPayload, onGap: () => undefined }).ready;
      }),
    );
    for (const channel of channels) await pubsub.publish(channel, [`to ${channel}`]);
    const expected = channels.map((channel) => [channel, `to ${channel}`]);
    await vi.waitFor(() => expect(heard.length).toBe(expected.length), { timeout: 20_000 });
    expect(heard).toEqual(expected);
    await pubsub.close();
    await end();
  });
});

/** Creates a table per name, with a column of that name, writes a row and looks at what there is. */
async function writeAll(
  client: TransportLike,
  query: (sql: string) => Promise<readonly ClickHouseRow[]>,
  count: number,
): Promise<void> {
  // A name is a file's name too, in which each byte that is not a letter takes three.
  const isTaken = (name: string): boolean =>
    name.isWellFormed() && !name.includes("\0") && Buffer.byteLength(name) <= 60;
  const names = namesTaken(count, isTaken);
  for (const [n, name] of names.entries()) {
    const rows = createRowBatcher(client, {
      table: { database: "hostile", table: name },
      columns: { id: UInt64, [name]: UInt64 },
      createTable: { orderBy: ["id", name] },
      observe: () => undefined,
    });
    rows.tryInsert({ id: 7, [name]: n });
    expect(await rows.close(), JSON.stringify(name)).toMatchObject({ committed: 1 });
  }
  const columns = await query("SELECT table, name FROM system.columns WHERE database = 'hostile'");
  const expected = names.flatMap((name) => [
    { table: name, name: "id" },
    { table: name, name },
  ]);
  const sorted = (list: readonly ClickHouseRow[]): readonly string[] =>
    list.map(({ table, name }) => JSON.stringify([table, name])).toSorted();
  expect(sorted(columns)).toEqual(sorted(expected));
  const [sum] = await query(
    "SELECT toString(sum(rows)) AS rows FROM system.parts WHERE database = 'hostile' AND active",
  );
  expect(sum).toEqual({ rows: String(count) });
}

describe("on ClickHouse", () => {
  const chdb = openChdb();

  it("60 tables and columns of such names are there, and hold what was added", async () => {
    // In its database "default", chDB takes a name that is no table for that of a file.
    await chdb.query("CREATE DATABASE hostile");
    await writeAll(chdb.session, chdb.query, 60);
  });
});

describeServer("on the oldest ClickHouse server", (url) => {
  it("30 tables and columns of such names are there, and hold what was added", async () => {
    const client = connect(url);
    await client.command({ query: "CREATE DATABASE hostile" });
    const query = async (sql: string) => {
      const answer = await client.query({ query: sql, format: "JSONEachRow" });
      return rowsOf(await answer.text());
    };
    await writeAll(client, query, 30);
    await client.command({ query: "DROP DATABASE hostile" });
  });
});
