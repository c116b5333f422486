/** What batches may hold, however many and however odd, and how their statements reach the server. */
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compose, createBatcher, distinct, sums } from "sluice";
import { composeSinks, migrate, sumsDdl, touch, upsertSums } from "sluice/postgres";
import { type Database, databases, freshDatabase } from "./database.ts";

const ODD_KEYS = [
  "",
  " ",
  "NULL",
  "null",
  '"',
  '""',
  "'",
  "\\",
  "\\\\",
  '\\"',
  "{",
  "}",
  "{}",
  '{"a","b"}',
  ",",
  ",,",
  "a,b",
  "\n",
  "\r\n",
  "\t",
  "\u0001",
  "$1",
  "%s",
  "; DROP TABLE odd",
  "🙂",
  "👩‍👩‍👧‍👦",
  "\ue000",
  "\uffff",
  "\u{10000}",
  "\u{10ffff}",
  "é",
  "e\u0301",
  "İ",
  "__proto__",
  "constructor",
];

describe.each(Object.entries(databases))("on %s", (_name, open) => {
  let db: Database;
  beforeAll(async () => {
    db = await open({
      upsertSums: ["size%", "odd", "left_part", "right_part", "Usage", "typed"],
      touch: ["seen_part"],
    });
    await migrate(db.owner);
  });
  afterAll(() => db.close());

  it.each([1, 2, 65_535, 65_536])("a batch of %i entries is one statement", async (size) => {
    const table = `size_${size}`;
    await migrate(db.owner, sumsDdl({ table, key: ["k"], sum: ["n"] }));
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table }),
      maxEntries: size,
      maxBytes: 2 ** 30,
      maxDelayMs: 60_000,
    });
    for (let i = 0; i < size; i += 1) batcher.tryAdd({ k: `k${i}`, n: 1 });
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: size, batches: 1, statements: 1 });
    expect(await db.query(`SELECT count(*)::int AS n FROM ${table}`)).toEqual([{ n: size }]);
  });

  it("keys come out as they went in, and are written in the byte order of UTF-8", async () => {
    await migrate(db.owner, sumsDdl({ table: "odd", key: ["a", "b"], sum: ["n"] }));
    const batcher = createBatcher({
      shape: sums({ key: ["a", "b"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "odd" }),
      maxEntries: 5_000,
      maxDelayMs: 60_000,
    });
    let n = 0;
    const expected = ODD_KEYS.flatMap((a) => ODD_KEYS.map((b) => ({ a, b, n: (n += 1) })));
    for (const item of expected.toReversed()) batcher.tryAdd(item);
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: expected.length, batches: 1, statements: 1 });
    expect(await db.query("SELECT a, b, n::int FROM odd ORDER BY n")).toEqual(expected);
    const written = await db.query("SELECT n::int FROM odd ORDER BY ctid");
    const sorted = await db.query(`SELECT n::int FROM odd ORDER BY a COLLATE "C", b COLLATE "C"`);
    expect(written).toEqual(sorted);
  });

  it("parts of a composed batch may be empty", async () => {
    await migrate(
      db.owner,
      sumsDdl({ table: "left_part", key: ["k"], sum: ["n"] }),
      sumsDdl({ table: "right_part", key: ["k"], sum: ["n"] }),
      "CREATE TABLE seen_part (k text PRIMARY KEY, at timestamptz); INSERT INTO seen_part VALUES ('a')",
    );
    const batcher = createBatcher({
      shape: compose({
        left: sums({ key: ["k"], sum: ["n"] }),
        right: sums({ key: ["k"], sum: ["n"] }),
        seen: distinct({ key: ["k"], last: ["at"] }),
      }),
      sink: composeSinks({
        left: upsertSums(db.driver, { table: "left_part" }),
        right: upsertSums(db.driver, { table: "right_part" }),
        seen: touch(db.driver, { table: "seen_part" }),
      }),
    });
    for (const item of [
      { left: { k: "a", n: 1 } },
      { right: { k: "a", n: 2 } },
      { seen: { k: "a", at: 5 } },
    ]) {
      batcher.tryAdd(item);
      await batcher.flush();
    }
    await batcher.close();
    expect(
      await db.query(
        "SELECT l.n::int AS l, r.n::int AS r, s.at FROM left_part l, right_part r, seen_part s",
      ),
    ).toEqual([{ l: 1, r: 2, at: new Date(5) }]);
  });

  it("keys may be uuid, bigint or date, columns may have other names, and tables a schema", async () => {
    await db.query('CREATE SCHEMA "my stats"');
    await migrate(
      db.owner,
      sumsDdl({
        table: "my stats.Usage",
        key: { tenant: "uuid", "client id": "bigint", day: "date" },
        sum: ["total"],
        last: ["At"],
        updatedAt: "changed",
      }),
    );
    const batcher = createBatcher({
      shape: sums({ key: ["tenant", "client", "day"], sum: ["n"], last: ["at"] }),
      sink: upsertSums(db.driver, {
        table: "my stats.Usage",
        types: { tenant: "uuid", client: "bigint", day: "date" },
        columns: { client: "client id", n: "total", at: "At" },
        updatedAt: "changed",
      }),
    });
    const tenant = "6f1d3f0a-7c1b-4a55-9d5c-0f6d7a1f2b3c";
    for (const n of [5, -7]) {
      batcher.tryAdd({ tenant, client: "9223372036854775807", day: "2026-02-28", n });
      batcher.tryAdd({ tenant, client: "-1", day: "2026-02-28", n: 1, at: n === 5 ? 10 : 7 });
      await batcher.flush();
    }
    await batcher.close();
    expect(
      await db.query(
        `SELECT tenant::text, "client id"::text AS client, day::text, total::int, "At" AS at, changed IS NOT NULL AS changed
         FROM "my stats"."Usage" ORDER BY "client id"`,
      ),
    ).toEqual([
      { tenant, client: "-1", day: "2026-02-28", total: 2, at: new Date(10), changed: true },
      {
        tenant,
        client: "9223372036854775807",
        day: "2026-02-28",
        total: -2,
        at: null,
        changed: true,
      },
    ]);
  });

  it("a key that is not of its column's type is rejected alone", async () => {
    await db.query("CREATE TABLE typed (k uuid PRIMARY KEY, n bigint)");
    const letters: unknown[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "typed", types: { k: "uuid" } }),
      maxDelayMs: 60_000,
      deadLetter: ({ entry, cause }) =>
        letters.push([entry["k"], (cause as { code: unknown }).code]),
    });
    for (const k of ["6f1d3f0a-7c1b-4a55-9d5c-0f6d7a1f2b3c", "no uuid"])
      batcher.tryAdd({ k, n: 1 });
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 1, deadLettered: 1 });
    expect(letters).toEqual([["no uuid", "22P02"]]);
  });
});

describe("statements are prepared once per shape and connection", () => {
  const write = async (driver: pg.Pool | postgres.Sql, prepare: boolean): Promise<void> => {
    await migrate(driver, sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }));
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "usage", prepare }),
    });
    for (let batch = 0; batch < 6; batch += 1) {
      for (let i = 0; i <= batch; i += 1) batcher.tryAdd({ k: `k${i}`, n: 1 });
      await batcher.flush();
    }
    await batcher.close();
  };
  const prepared =
    "SELECT statement FROM pg_prepared_statements WHERE statement LIKE 'WITH claim%'";

  it.each([
    [true, 1],
    [false, 0],
  ])("with pg, prepare: %s", async (prepare, count) => {
    const pool = new pg.Pool({ connectionString: await freshDatabase(), max: 1 });
    await write(pool, prepare);
    expect((await pool.query(prepared)).rows).toHaveLength(count);
    await pool.end();
  });

  it.each([
    [true, 1],
    [false, 0],
  ])("with postgres, prepare: %s", async (prepare, count) => {
    const sql = postgres(await freshDatabase(), { max: 1, onnotice: () => undefined });
    await write(sql, prepare);
    expect(await sql.unsafe(prepared)).toHaveLength(count);
    await sql.end();
  });
});
