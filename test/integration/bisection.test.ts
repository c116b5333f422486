/** Entries that the database refuses: they alone are left out, and nothing is written twice. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  compose,
  createBatcher,
  type DeadLetter,
  distinct,
  list,
  type SluiceEvent,
  sums,
} from "sluice";
import { composeSinks, insertRows, migrate, sqlstateOf, touch, upsertSums } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { connectors, type Database, databases, freshDatabase, openEye } from "./database.ts";
import { openProxy, startKilling } from "./proxy.ts";

const codeOf = ({ cause }: DeadLetter): unknown => (cause as { code?: unknown }).code;
const causeOf = (error: unknown): unknown => sqlstateOf((error as Error).cause);

describe.each(Object.entries(databases))("on %s", (_name, open) => {
  let db: Database;
  beforeAll(async () => {
    db = await open({
      upsertSums: [
        "one%",
        "several",
        "every",
        "left_side",
        "right_side",
        "slow",
        "deferred",
        "guarded",
        "wide",
        "brim",
        "spelled",
      ],
      touch: ["seen_side"],
      insertRows: ["texts", "tree", "serial"],
    });
    await migrate(db.owner);
  });
  afterAll(() => db.close());

  /** Writes one batch into `table` and tells what was refused and what it cost. */
  const write = async (
    table: string,
    entries: readonly { readonly k: string; readonly n: number }[],
    maxKeyBytes = 1_024,
  ) => {
    const letters: DeadLetter<Record<string, unknown>>[] = [];
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      name: table,
      shape: sums({ key: ["k"], sum: ["n"], maxKeyBytes }),
      sink: upsertSums(db.driver, { table }),
      maxEntries: 5_000,
      maxDelayMs: 60_000,
      deadLetter: (letter) => letters.push(letter),
      observe: (event) => events.push(event),
    });
    for (const entry of entries) batcher.tryAdd(entry);
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ accepted: entries.length, held: 0, unknown: 0, dropped: 0 });
    expect(stats.committed + stats.deadLettered).toBe(entries.length);
    const refused = letters.map(({ entry }) => String(entry["k"]));
    const codes = new Set(letters.map(codeOf));
    return { refused, codes, stats, events };
  };
  const numbered = (count: number, poison: readonly number[]) =>
    Array.from({ length: count }, (_, i) => ({
      k: `k${String(i).padStart(5, "0")}`,
      n: poison.includes(i) ? 1_000_000 : 1,
    }));
  const rows = async (table: string): Promise<unknown> =>
    (await db.query(`SELECT count(*)::int AS rows, sum(n)::int AS n FROM ${table}`))[0];

  it.each([0, 1, 511, 512, 999])(
    "one poison among 1,000, at %i, costs at most 21 statements more",
    async (place) => {
      const table = `one_${place}`;
      await db.query(`CREATE TABLE ${table} (k text PRIMARY KEY, n bigint CHECK (n < 1000))`);
      const { refused, codes, stats, events } = await write(table, numbered(1_000, [place]));
      expect(refused).toEqual([`k${String(place).padStart(5, "0")}`]);
      expect(codes).toEqual(new Set(["23514"]));
      expect(stats.statements).toBeLessThanOrEqual(1 + 21);
      expect(events.filter(({ type }) => type === "committed")).toHaveLength(1);
      expect(await rows(table)).toEqual({ rows: 999, n: 999 });
    },
  );

  it("several poisons are found in one go", async () => {
    await db.query("CREATE TABLE several (k text PRIMARY KEY, n bigint CHECK (n < 1000))");
    const { refused } = await write("several", numbered(100, [0, 1, 50, 98, 99]));
    expect(refused).toEqual(["k00000", "k00001", "k00050", "k00098", "k00099"]);
    expect(await rows("several")).toEqual({ rows: 95, n: 95 });
  });

  it("a batch of poison alone lands nothing, and its ledger row moves all the same", async () => {
    await db.query("CREATE TABLE every (k text PRIMARY KEY, n bigint CHECK (n < 0))");
    const { refused } = await write("every", numbered(33, []));
    expect(refused).toHaveLength(33);
    expect(await rows("every")).toEqual({ rows: 0, n: null });
    expect(
      await db.query("SELECT seq::int FROM sluice_ledger WHERE writer LIKE 'every:%'"),
    ).toEqual([{ seq: 1 }]);
  });

  it("a poison in each part of a composed batch is found, and keeps its part", async () => {
    await db.query(`
      CREATE TABLE left_side (k text PRIMARY KEY, n bigint CHECK (n < 1000));
    `);
    await db.query("CREATE TABLE right_side (k text PRIMARY KEY, n bigint CHECK (n > 0))");
    await db.query(
      "CREATE TABLE seen_side (k text PRIMARY KEY, at timestamptz CHECK (at < '2100-01-01'))",
    );
    await db.query("INSERT INTO seen_side SELECT 'k' || i FROM generate_series(0, 19) i");
    const letters: DeadLetter[] = [];
    const batcher = createBatcher({
      shape: compose({
        left: sums({ key: ["k"], sum: ["n"] }),
        right: sums({ key: ["k"], sum: ["n"] }),
        seen: distinct({ key: ["k"], last: ["at"] }),
      }),
      sink: composeSinks({
        left: upsertSums(db.driver, { table: "left_side" }),
        right: upsertSums(db.driver, { table: "right_side" }),
        seen: touch(db.driver, { table: "seen_side" }),
      }),
      maxDelayMs: 60_000,
      deadLetter: (letter) => letters.push(letter),
    });
    for (let i = 0; i < 20; i += 1) {
      const k = `k${i}`;
      const at = i === 3 ? Date.UTC(2200, 0) : 1_000;
      batcher.tryAdd({
        left: { k, n: i === 7 ? 5_000 : 1 },
        right: { k, n: i === 9 ? -1 : 1 },
        seen: { k, at },
      });
    }
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ accepted: 60, committed: 57, deadLettered: 3 });
    expect(letters.map(({ entry }) => entry)).toEqual([
      { part: "left", entry: { k: "k7", n: 5_000 } },
      { part: "right", entry: { k: "k9", n: -1 } },
      { part: "seen", entry: { k: "k3", at: new Date(Date.UTC(2200, 0)) } },
    ]);
    expect(letters.map(codeOf)).toEqual(["23514", "23514", "23514"]);
    expect(await rows("left_side")).toEqual({ rows: 19, n: 19 });
    expect(await rows("right_side")).toEqual({ rows: 19, n: 19 });
    expect(await db.query("SELECT count(at)::int AS n FROM seen_side")).toEqual([{ n: 19 }]);
  });

  it("more poison than one attempt has time for is found over several, and the rest lands", async () => {
    await db.query("CREATE TABLE slow (k text PRIMARY KEY, n bigint)");
    await db.query(`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_sleep(0.004); IF NEW.n < 0 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$`);
    await db.query(
      "CREATE TRIGGER slowly BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION slowly()",
    );
    const batcher = createBatcher({
      name: "slow",
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "slow" }),
      writeTimeoutMs: 400,
      maxDelayMs: 60_000,
    });
    for (let i = 0; i < 64; i += 1) batcher.tryAdd({ k: `k${i}`, n: i % 2 === 0 ? 1 : -1 });
    const report = await batcher.close({ timeoutMs: 30_000 });
    expect(report).toMatchObject({ committed: 32, rejected: 32, unknown: 0, abandoned: 0 });
    expect(await db.query("SELECT count(*)::int AS rows, sum(n)::int AS n FROM slow")).toEqual([
      { rows: 32, n: 32 },
    ]);
  });

  it("constraints that are checked at COMMIT are isolated like any other", async () => {
    await db.query("CREATE TABLE known (k text PRIMARY KEY)");
    await db.query(
      "INSERT INTO known SELECT 'k' || lpad(i::text, 5, '0') FROM generate_series(0, 63) i",
    );
    await db.query("DELETE FROM known WHERE k = 'k00021'");
    await db.query(`CREATE TABLE deferred (
      k text PRIMARY KEY REFERENCES known DEFERRABLE INITIALLY DEFERRED, n bigint)`);
    const { refused, codes } = await write("deferred", numbered(64, []));
    expect(refused).toEqual(["k00021"]);
    expect(codes).toEqual(new Set(["23503"]));
    expect(await rows("deferred")).toEqual({ rows: 63, n: 63 });
  });

  it("what a trigger raises rejects the row that raised it", async () => {
    await db.query("CREATE TABLE guarded (k text PRIMARY KEY, n bigint)");
    await db.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF new.n > 1000 THEN RAISE 'too much'; END IF; RETURN new; END $$`);
    await db.query(
      "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON guarded FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    const { refused, codes } = await write("guarded", numbered(40, [13]));
    expect(refused).toEqual(["k00013"]);
    expect(codes).toEqual(new Set(["P0001"]));
    expect(await rows("guarded")).toEqual({ rows: 39, n: 39 });
  });

  it("a key too long for its index is rejected alone", async () => {
    await db.query("CREATE TABLE wide (k text PRIMARY KEY, n bigint)");
    const random = seededRandom(7);
    // By chance, so that it does not compress.
    const long = Array.from({ length: 9_000 }, () =>
      String.fromCodePoint(0x4e00 + Math.floor(random() * 0x5000)),
    ).join("");
    const { refused, codes } = await write(
      "wide",
      [...numbered(20, []), { k: long, n: 1 }],
      100_000,
    );
    expect(refused).toEqual([long]);
    expect(codes).toEqual(new Set(["54000"]));
    expect(await rows("wide")).toEqual({ rows: 20, n: 20 });
  });

  it("a value that its type has no syntax for is rejected alone", async () => {
    await db.query("CREATE TABLE texts (id int, words tsvector)");
    const letters: DeadLetter<object>[] = [];
    const batcher = createBatcher({
      shape: list<object>(),
      sink: insertRows(db.driver, { table: "texts", columns: { id: "int", words: "tsvector" } }),
      maxDelayMs: 60_000,
      deadLetter: (letter) => letters.push(letter),
    });
    for (let id = 0; id < 32; id += 1) {
      batcher.tryAdd({ id, words: id === 3 ? "'unclosed" : "a word" });
    }
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 31, deadLettered: 1, unknown: 0 });
    expect(letters.map(codeOf)).toEqual(["42601"]);
    expect(await db.query("SELECT count(*)::int AS n FROM texts")).toEqual([{ n: 31 }]);
  });

  it("a row whose parent stands behind it, or in another part, lands beside a poison", async () => {
    await db.query(`CREATE TABLE tree (
      id int PRIMARY KEY, parent int REFERENCES tree, n int CHECK (n < 1000))`);
    const letters: DeadLetter<object>[] = [];
    const batcher = createBatcher({
      shape: list<object>(),
      sink: insertRows(db.driver, {
        table: "tree",
        columns: { id: "int", parent: "int", n: "int" },
      }),
      maxDelayMs: 60_000,
      deadLetter: (letter) => letters.push(letter),
    });
    for (const [id, parent, n] of [
      [4, 3, 1],
      [3, 2, 1],
      [2, 1, 1],
      [1, 1, 1],
      [5, 1, 1_000],
      [6, 5, 1], // its parent is the poison
    ]) {
      batcher.tryAdd({ id, parent, n });
    }
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 4, deadLettered: 2 });
    expect(letters.map(({ entry }) => entry)).toMatchObject([{ id: 5 }, { id: 6 }]);
    expect(letters.map(codeOf)).toEqual(["23514", "23503"]);
    expect(await db.query("SELECT id FROM tree ORDER BY id")).toEqual(
      [1, 2, 3, 4].map((id) => ({ id })),
    );
  });

  it("a sequence that is used up is waited for: it is nobody's fault", async () => {
    await db.query("CREATE SEQUENCE few MAXVALUE 3");
    await db.query("GRANT USAGE ON SEQUENCE few TO PUBLIC");
    await db.query("CREATE TABLE serial (id int DEFAULT nextval('few'), k text)");
    const states: unknown[] = [];
    const batcher = createBatcher({
      shape: list<object>(),
      sink: insertRows(db.driver, { table: "serial", columns: { k: "text" } }),
      maxDelayMs: 0,
      retry: { baseDelayMs: 1, maxDelayMs: 5 },
      observe: (event) => event.type === "retried" && states.push(causeOf(event.error)),
    });
    for (let n = 0; n < 10; n += 1) batcher.tryAdd({ k: `k${n}` });
    while (states.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await db.query("ALTER SEQUENCE few MAXVALUE 1000");
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 10, deadLettered: 0 });
    expect(new Set(states)).toEqual(new Set(["2200H"]));
  });

  it("a sum that overflows its column is rejected, and the row stays as it was", async () => {
    await db.query("CREATE TABLE brim (k text PRIMARY KEY, n bigint)");
    await db.query("INSERT INTO brim VALUES ('k00004', 9223372036854775807)");
    const { refused, codes } = await write("brim", numbered(10, []));
    expect(refused).toEqual(["k00004"]);
    expect(codes).toEqual(new Set(["22003"]));
    expect(await db.query("SELECT n::text FROM brim WHERE k = 'k00004'")).toEqual([
      { n: "9223372036854775807" },
    ]);
    expect(await db.query("SELECT count(*)::int AS n FROM brim")).toEqual([{ n: 10 }]);
  });

  it("keys that are one row under two spellings both land", async () => {
    await db.query("CREATE TABLE spelled (k bigint PRIMARY KEY, n bigint)");
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "spelled", types: { k: "bigint" } }),
      maxDelayMs: 60_000,
    });
    for (const k of ["1", "01", "+1", "2", "3"]) batcher.tryAdd({ k, n: 1 });
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 5, deadLettered: 0 });
    expect(await db.query("SELECT k::int, n::int FROM spelled ORDER BY k")).toEqual([
      { k: 1, n: 3 },
      { k: 2, n: 1 },
      { k: 3, n: 1 },
    ]);
  });
});

describe.each(["pg", "postgres"] as const)("with %s, when connections break", (connector) => {
  it("a bisection whose acknowledgement was lost is not repeated, and its dead letters keep their SQLSTATE", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const proxy = await openProxy(url);
    const { driver, end } = connectors[connector](proxy.url, 2);
    await migrate(driver);
    await eye.query("CREATE TABLE poison (k text PRIMARY KEY, n bigint CHECK (n < 1000))");
    const letters: DeadLetter[] = [];
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "poison" }),
      maxDelayMs: 60_000,
      retry: { baseDelayMs: 1 },
      deadLetter: (letter) => letters.push(letter),
      observe: (event) => events.push(event),
    });
    batcher.tryAdd({ k: "warm", n: 1 });
    await batcher.flush();
    proxy.fate = ({ from, commit }) =>
      from === "server" && commit && proxy.struck.cut === 0 ? "cut" : "pass";
    for (let i = 0; i < 50; i += 1) {
      batcher.tryAdd({ k: `k${i}`, n: i === 7 || i === 30 ? 5_000 : 1 });
    }
    const { stats } = await batcher.close();
    expect(proxy.struck.cut).toBe(1);
    expect(stats).toMatchObject({ committed: 49, deadLettered: 2, duplicates: 1, unknown: 0 });
    expect(letters.map(codeOf)).toEqual(["23514", "23514"]);
    expect(letters.map(({ entry }) => entry)).toEqual([
      { k: "k30", n: 5_000 },
      { k: "k7", n: 5_000 },
    ]);
    expect(await eye.query("SELECT count(*)::int AS rows, sum(n)::int AS n FROM poison")).toEqual([
      { rows: 49, n: 49 },
    ]);
    expect(events.filter(({ type }) => type === "retried")).toMatchObject([{ ambiguous: true }]);
    await end();
    await eye.close();
    await proxy.close();
  });

  it("poison and kills together: every sum exact, every poison dead-lettered once", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const proxy = await openProxy(url);
    const random = seededRandom(3);
    const { driver, end } = connectors[connector](proxy.url, 4);
    await migrate(driver);
    await eye.query("CREATE TABLE poison (k text PRIMARY KEY, n bigint CHECK (n < 1000000))");
    const letters: string[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "poison" }),
      lanes: 4,
      maxEntries: 10,
      maxDelayMs: 0,
      writeTimeoutMs: 2_000,
      retry: { baseDelayMs: 1, maxDelayMs: 10, circuitAfter: 1_000 },
      deadLetter: ({ entry }) => letters.push(String(entry["k"])),
    });
    proxy.fate = ({ from, commit }) => {
      const chance = random();
      if (from === "server") return commit && chance < 0.1 ? "cut" : "pass";
      return chance < (commit ? 0.1 : 0.003) ? "deafen" : chance < 0.006 ? "cut" : "pass";
    };
    const stopKilling = startKilling(eye.query, random, 40);
    const expected = new Map<string, number>();
    const poison = new Set<string>();
    for (let round = 0; round < 250; round += 1) {
      for (let i = 0; i < 20; i += 1) {
        const k = `k${Math.floor(random() * 100)}`;
        batcher.tryAdd({ k, n: 1 });
        expected.set(k, (expected.get(k) ?? 0) + 1);
      }
      if (round % 5 === 0) {
        batcher.tryAdd({ k: `poison-${round}`, n: 5_000_000 });
        poison.add(`poison-${round}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const { stats } = await batcher.close({ timeoutMs: 30_000 });
    const faults = (await stopKilling()) + proxy.struck.cut + proxy.struck.deafen;
    expect(faults).toBeGreaterThan(20);
    expect(stats).toMatchObject({ held: 0, unknown: 0, dropped: 0, deadLettered: poison.size });
    expect(letters.toSorted()).toEqual([...poison].toSorted());
    const rows = await eye.query("SELECT k, n::int FROM poison");
    expect(new Map(rows.map(({ k, n }) => [k, n]))).toEqual(expected);
    await end();
    await eye.close();
    await proxy.close();
  });
});
