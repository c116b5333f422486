import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createBatcher,
  list,
  sums,
  distinct,
  compose,
  type SluiceEvent,
  type DeadLetter,
} from "sluice";
import {
  composeSinks,
  insertRows,
  migrate,
  reapLedger,
  sumsDdl,
  touch,
  upsertSums,
} from "sluice/postgres";
import { type Database, databases } from "./database.ts";

describe.each(Object.entries(databases))("on %s", (_name, open) => {
  let db: Database;
  beforeAll(async () => {
    db = await open({
      upsertSums: ["usage", "poison", "short"],
      touch: ["people"],
      insertRows: ["codes", "docs"],
      'insertRows with onConflict: "update"': ["things", "nullable"],
    });
    await migrate(
      db.owner,
      sumsDdl({
        table: "usage",
        key: ["client"],
        sum: ["n", "m"],
        last: ["at"],
        updatedAt: "updated_at",
      }),
    );
  });
  afterAll(() => db.close());

  it("upsertSums adds to what is there, and never moves a time back", async () => {
    const usage = createBatcher({
      shape: sums({ key: ["client"], sum: ["n", "m"], last: ["at"] }),
      sink: upsertSums(db.driver, { table: "usage", updatedAt: "updated_at" }),
    });
    usage.tryAdd({ client: 'a"\\{},', n: 1, at: 2_000 });
    usage.tryAdd({ client: 'a"\\{},', n: 2, m: -5, at: 1_000 });
    usage.tryAdd({ client: "__proto__", n: 7 });
    await usage.flush();
    usage.tryAdd({ client: "__proto__", n: 1, at: 3_000 });
    usage.tryAdd({ client: 'a"\\{},', at: 500 });
    await usage.close();
    const rows = await db.query(
      `SELECT client, n::int, m::int, at FROM usage ORDER BY client COLLATE "C"`,
    );
    expect(rows).toEqual([
      { client: "__proto__", n: 8, m: 0, at: new Date(3_000) },
      { client: 'a"\\{},', n: 3, m: -5, at: new Date(2_000) },
    ]);
  });

  it("one poison among 1,000: 999 land, one dead letter with its SQLSTATE, the ledger moves once", async () => {
    await db.query(
      "CREATE TABLE poison (client text PRIMARY KEY, n bigint NOT NULL CHECK (n < 1000000))",
    );
    const letters: DeadLetter[] = [];
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      name: "poison",
      shape: sums({ key: ["client"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "poison" }),
      maxDelayMs: 60_000,
      maxEntries: 2_000,
      deadLetter: (letter) => letters.push(letter),
      observe: (event) => events.push(event),
    });
    for (let i = 0; i < 1_000; i += 1)
      batcher.tryAdd({ client: `c${i}`, n: i === 617 ? 5_000_000 : 1 });
    await expect(batcher.flush()).rejects.toMatchObject({ code: "SLUICE_ERR_FLUSH_INCOMPLETE" });
    await batcher.close();
    expect(letters.map(({ entry }) => entry)).toEqual([{ client: "c617", n: 5_000_000 }]);
    expect(letters[0]?.cause).toMatchObject({ code: "23514" });
    expect(await db.query("SELECT count(*)::int AS n FROM poison")).toEqual([{ n: 999 }]);
    expect(
      await db.query(
        "SELECT seq::int, jsonb_array_length(rejected) AS r FROM sluice_ledger WHERE writer LIKE 'poison:%'",
      ),
    ).toEqual([{ seq: 1, r: 1 }]);
    const committed = events.find(({ type }) => type === "committed");
    expect(committed).toMatchObject({ entries: 999 });
    expect(committed?.type === "committed" && committed.statements).toBeLessThanOrEqual(1 + 21);
    expect(batcher.stats()).toMatchObject({
      accepted: 1_000,
      committed: 999,
      deadLettered: 1,
      held: 0,
    });
  });

  it("touch sets times on existing rows, without regard to case, and passes over the rest", async () => {
    await db.query(
      "CREATE TABLE people (name text PRIMARY KEY, seen timestamptz, deleted_at timestamptz)",
    );
    await db.query(
      "INSERT INTO people VALUES ('Foo', NULL, NULL), ('bar', 'epoch', NULL), ('gone', NULL, now())",
    );
    const batcher = createBatcher({
      shape: distinct({ key: ["name"], last: ["seen"] }),
      sink: touch(db.driver, { table: "people", caseInsensitive: true, whereNull: "deleted_at" }),
    });
    for (const name of ["foo", "FOO", "bar", "gone", "nobody"])
      batcher.tryAdd({ name, seen: name === "FOO" ? 9_000 : 5_000 });
    const stats = await batcher.flush();
    expect(stats).toMatchObject({ items: 5, committed: 5 });
    await batcher.close();
    expect(await db.query("SELECT name, seen FROM people ORDER BY name")).toEqual([
      { name: "Foo", seen: new Date(9_000) },
      { name: "bar", seen: new Date(5_000) },
      { name: "gone", seen: null },
    ]);
  });

  it("insertRows: error, nothing, update", async () => {
    await db.query(
      "CREATE TABLE things (id bigint PRIMARY KEY, name text, tags text[], data jsonb, at timestamptz, raw bytea, ok boolean)",
    );
    const columns = {
      id: "bigint",
      name: "text",
      tags: "text[]",
      data: "jsonb",
      at: "timestamptz",
      raw: "bytea",
      ok: "boolean",
    };
    const run = async (
      onConflict: "error" | "nothing" | "update",
      rows: Record<string, unknown>[],
    ) => {
      const letters: DeadLetter[] = [];
      const batcher = createBatcher({
        shape: list<Record<string, unknown>>(),
        sink: insertRows(db.driver, { table: "things", columns, onConflict, key: ["id"] }),
        deadLetter: (letter) => letters.push(letter),
      });
      for (const row of rows) batcher.tryAdd(row);
      await batcher.close();
      return letters;
    };
    const first = {
      id: 1n,
      name: 'q"\\',
      tags: ["a", null, "b,c"],
      data: { x: [1] },
      at: new Date(7),
      raw: new Uint8Array([0, 255]),
      ok: true,
    };
    const letters = await run("error", [
      first,
      { id: 2, name: "two" },
      { id: 1, name: "again" },
      { id: 3, name: "lone \ud800" },
      { id: 4, nope: 1 },
      { id: "x" },
    ]);
    expect(letters.map(({ entry }) => (entry as { id: unknown }).id)).toEqual([1, 3, 4, "x"]);
    expect(letters.map(({ cause }) => (cause as { code: string }).code)).toEqual([
      "23505",
      "SLUICE_ERR_POSTGRES_VALUE",
      "SLUICE_ERR_POSTGRES_VALUE",
      "22P02",
    ]);
    expect(
      await run("nothing", [
        { id: 2, name: "ignored" },
        { id: 5, name: "first" },
        { id: 5, name: "second" },
      ]),
    ).toEqual([]);
    expect(
      await run("update", [
        { id: 2, name: "older" },
        { id: 2, name: "newer" },
      ]),
    ).toEqual([]);
    expect(await db.query("SELECT id::int, name FROM things ORDER BY id")).toEqual([
      { id: 1, name: 'q"\\' },
      { id: 2, name: "newer" },
      { id: 5, name: "first" },
    ]);
    expect(
      await db.query(
        "SELECT tags, data, at, encode(raw, 'hex') AS raw, ok FROM things WHERE id = 1",
      ),
    ).toEqual([
      { tags: ["a", null, "b,c"], data: { x: [1] }, at: new Date(7), raw: "00ff", ok: true },
    ]);
  });
  it("insertRows: update keeps every row whose key is NULL, as a unique constraint does", async () => {
    await db.query("CREATE TABLE nullable (a int, b int, name text, UNIQUE (a, b))");
    const batcher = createBatcher({
      shape: list<Record<string, unknown>>(),
      sink: insertRows(db.driver, {
        table: "nullable",
        columns: { a: "int", b: "int", name: "text" },
        onConflict: "update",
        key: ["a", "b"],
      }),
    });
    for (const name of ["older", "newer"]) {
      for (const [a, b] of [
        [1, 1],
        [1, null],
        [null, null],
      ])
        batcher.tryAdd({ a, b, name });
    }
    const { committed } = await batcher.close();
    expect(committed).toBe(6);
    expect(await db.query("SELECT a, b, name FROM nullable ORDER BY a, b, name")).toEqual([
      { a: 1, b: 1, name: "newer" },
      { a: 1, b: null, name: "newer" },
      { a: 1, b: null, name: "older" },
      { a: null, b: null, name: "newer" },
      { a: null, b: null, name: "older" },
    ]);
  });
  it("a value that is too long for its column is rejected, never cut", async () => {
    await db.query(
      "CREATE TABLE codes (v varchar(3), c char(3), a varchar(3)[], b bit(3), n bigint)",
    );
    const types = { v: "varchar(3)", c: "character(3)", a: "varchar(3)[]", b: "bit(3)" };
    const letters: DeadLetter[] = [];
    const codes = createBatcher({
      shape: list<Record<string, unknown>>(),
      sink: insertRows(db.driver, { table: "codes", columns: { ...types, n: "bigint" } }),
      deadLetter: (letter) => letters.push(letter),
    });
    codes.tryAdd({ v: "abc", c: "ab", a: ["abc"], b: "101", n: 0 });
    codes.tryAdd({ v: "abcd", n: 1 });
    codes.tryAdd({ c: "abcd", n: 2 });
    codes.tryAdd({ a: ["abc", "abcd"], n: 3 });
    codes.tryAdd({ b: "1011", n: 4 });
    await codes.close();
    expect(await db.query("SELECT v, c, a, b::text, n::int FROM codes")).toEqual([
      { v: "abc", c: "ab ", a: ["abc"], b: "101", n: 0 },
    ]);
    expect(letters.map(({ entry }) => (entry as { n: number }).n)).toEqual([1, 2, 3, 4]);

    await db.query("CREATE TABLE short (k varchar(3) PRIMARY KEY, n bigint)");
    const short = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "short", types: { k: "varchar(3)" } }),
    });
    for (const k of ["abcdef", "abcxyz", "abc"]) short.tryAdd({ k, n: 1 });
    expect(await short.close()).toMatchObject({ committed: 1, rejected: 2 });
  });

  it("a value that cannot even be encoded is rejected alone", async () => {
    await db.query("CREATE TABLE docs (id bigint, doc jsonb)");
    const letters: DeadLetter[] = [];
    const docs = createBatcher({
      shape: list<Record<string, unknown>>(),
      sink: insertRows(db.driver, { table: "docs", columns: { id: "bigint", doc: "jsonb" } }),
      deadLetter: (letter) => letters.push(letter),
    });
    const cyclic: Record<string, unknown> = {};
    cyclic["self"] = cyclic;
    for (const [id, doc] of [{}, { x: 1n }, { y: 2 }, cyclic].entries()) docs.tryAdd({ id, doc });
    expect(await docs.close()).toMatchObject({ committed: 2, rejected: 2 });
    expect(letters.map(({ entry }) => (entry as { id: number }).id)).toEqual([1, 3]);
  });

  it("a batch of 100,000 entries is one statement", async () => {
    const batcher = createBatcher({
      name: "big",
      shape: compose({
        u: sums({ key: ["client"], sum: ["n", "m"], last: ["at"] }),
        s: distinct({ key: ["name"], last: ["seen"] }),
      }),
      sink: composeSinks({
        u: upsertSums(db.driver, { table: "usage" }),
        s: touch(db.driver, { table: "people" }),
      }),
      maxEntries: 100_001,
      maxBytes: 2 ** 30,
      maxDelayMs: 60_000,
    });
    for (let i = 0; i < 100_000; i += 1) batcher.tryAdd({ u: { client: `big-${i}`, n: 1 } });
    batcher.tryAdd({ s: { name: "bar", seen: 10_000 } });
    const stats = await batcher.flush();
    expect(stats).toMatchObject({ entries: 100_001, batches: 1, committed: 100_001 });
    expect(batcher.stats().statements).toBe(1);
    expect(
      await db.query("SELECT count(*)::int AS n FROM usage WHERE client LIKE 'big-%'"),
    ).toEqual([{ n: 100_000 }]);
    await batcher.close();
  });
  it("reaps", async () => {
    await db.query(
      "UPDATE sluice_ledger SET updated_at = now() - interval '8 days' WHERE writer LIKE 'poison:%'",
    );
    expect(await reapLedger(db.driver)).toBe(1);
  });
});
