/** Writers that meet on the same rows, all the time. */
import pg from "pg";
import { describe, expect, it } from "vitest";
import { compose, createBatcher, distinct, type SluiceEvent, sums } from "sluice";
import { composeSinks, migrate, sqlstateOf, sumsDdl, touch, upsertSums } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { connectors, freshDatabase, openEye } from "./database.ts";

const WRITERS = 4;
const KEYS = 1_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The SQLSTATEs behind the `retried` events. */
const retriedStates = (events: readonly SluiceEvent[]): readonly (string | undefined)[] =>
  events.flatMap((event) =>
    event.type === "retried" && event.error instanceof Error ? [sqlstateOf(event.error.cause)] : [],
  );

/** Deadlocks so far in a database nobody is connected to any more: statistics come when they leave. */
const deadlocks = async (url: string): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 300));
  const eye = await openEye(url);
  const [row] = await eye.query(
    "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()",
  );
  await eye.close();
  return Number(row?.["deadlocks"]);
};

describe("four writers on the same 1,000 hot keys", () => {
  it("never deadlock in 10 seconds, and every sum is exact", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const expected = new Map<string, number>();
    const events: SluiceEvent[] = [];
    const run = async (writer: number): Promise<number> => {
      const { driver, end } = connectors.pg(url, 1);
      await migrate(driver, sumsDdl({ table: "hot", key: ["k"], sum: ["n"] }));
      const random = seededRandom(writer + 1);
      const batcher = createBatcher({
        shape: sums({ key: ["k"], sum: ["n"] }),
        sink: upsertSums(driver, { table: "hot" }),
        maxEntries: 500,
        maxDelayMs: 0,
        observe: (event) => events.push(event),
      });
      const until = performance.now() + 10_000;
      while (performance.now() < until || batcher.stats().batches <= 100) {
        for (let i = 0; i < 300; i += 1) {
          const k = `key-${Math.floor(random() * KEYS)}`;
          if (batcher.tryAdd({ k, n: 1 })) expected.set(k, (expected.get(k) ?? 0) + 1);
        }
        await turn();
      }
      const { stats } = await batcher.close();
      expect(stats).toMatchObject({ committed: stats.accepted, held: 0 });
      await end();
      return stats.batches;
    };
    const batches = await Promise.all(Array.from({ length: WRITERS }, (_, writer) => run(writer)));
    expect(Math.min(...batches)).toBeGreaterThan(100);
    const rows = await eye.query("SELECT k, n::int FROM hot");
    await eye.close();
    expect(new Map(rows.map(({ k, n }) => [k, n]))).toEqual(expected);
    expect(retriedStates(events)).not.toContain("40P01");
    expect(await deadlocks(url)).toBe(0);
  });

  it("never deadlock over three tables in one statement, one of them touched without regard to case", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const expected = new Map<string, number>();
    const newest = new Map<string, number>();
    const events: SluiceEvent[] = [];
    const setup = connectors.postgres(url, 1);
    await migrate(
      setup.driver,
      sumsDdl({ table: "a", key: ["k"], sum: ["n"] }),
      sumsDdl({ table: "b", key: ["k", "op"], sum: ["n"] }),
      `CREATE TABLE people (name text PRIMARY KEY, seen timestamptz) WITH (fillfactor = 50);
       CREATE INDEX ON people (lower(name));
       INSERT INTO people SELECT CASE WHEN i % 2 = 0 THEN 'Key-' ELSE 'kEY-' END || i
       FROM generate_series(0, 199) i ORDER BY random();`,
    );
    await setup.end();
    const run = async (writer: number): Promise<void> => {
      const { driver, end } = connectors.postgres(url, 1);
      const random = seededRandom(writer + 11);
      const batcher = createBatcher({
        shape: compose({
          a: sums({ key: ["k"], sum: ["n"] }),
          b: sums({ key: ["k", "op"], sum: ["n"] }),
          seen: distinct({ key: ["name"], last: ["seen"] }),
        }),
        sink: composeSinks({
          a: upsertSums(driver, { table: "a" }),
          b: upsertSums(driver, { table: "b" }),
          seen: touch(driver, { table: "people", caseInsensitive: true }),
        }),
        maxEntries: 300,
        maxDelayMs: 0,
        observe: (event) => events.push(event),
      });
      const until = performance.now() + 4_000;
      while (performance.now() < until) {
        for (let i = 0; i < 60; i += 1) {
          const k = `key-${Math.floor(random() * 200)}`;
          const seen = 1_000 + Math.floor(random() * 1e9);
          const taken = batcher.tryAdd({
            a: { k, n: 1 },
            b: { k, op: random() < 0.5 ? "read" : "write", n: 1 },
            seen: { name: random() < 0.5 ? k : k.toUpperCase(), seen },
          });
          if (!taken) continue;
          expected.set(k, (expected.get(k) ?? 0) + 1);
          newest.set(k, Math.max(newest.get(k) ?? 0, seen));
        }
        await turn();
      }
      const { stats } = await batcher.close();
      expect(stats).toMatchObject({
        committed: stats.accepted,
        held: 0,
        statements: stats.batches,
      });
      await end();
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => run(writer)));
    const a = await eye.query("SELECT k, n::int FROM a");
    const b = await eye.query("SELECT k, sum(n)::int AS n FROM b GROUP BY k");
    const people = await eye.query(
      "SELECT lower(name) AS k, seen FROM people WHERE seen IS NOT NULL",
    );
    await eye.close();
    expect(new Map(a.map(({ k, n }) => [k, n]))).toEqual(expected);
    expect(new Map(b.map(({ k, n }) => [k, n]))).toEqual(expected);
    expect(new Map(people.map(({ k, seen }) => [k, Number(seen)]))).toEqual(newest);
    expect(retriedStates(events)).not.toContain("40P01");
    expect(await deadlocks(url)).toBe(0);
  });

  it("never deadlock where they touch the same rows and nothing else, whatever the case of the keys", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const events: SluiceEvent[] = [];
    await eye.query(
      `CREATE TABLE people (name text PRIMARY KEY, seen timestamptz) WITH (fillfactor = 50)`,
    );
    await eye.query("CREATE INDEX ON people (lower(name))");
    await eye.query(`INSERT INTO people SELECT CASE WHEN i % 2 = 0 THEN 'Key-' ELSE 'kEY-' END || i
      FROM generate_series(0, ${KEYS - 1}) i ORDER BY random()`);
    let newest = 0;
    const run = async (writer: number): Promise<void> => {
      const { driver, end } = connectors.pg(url, 1);
      await migrate(driver);
      const random = seededRandom(writer + 21);
      const batcher = createBatcher({
        shape: distinct({ key: ["name"], last: ["seen"] }),
        sink: touch(driver, { table: "people", caseInsensitive: true }),
        maxDelayMs: 0,
        observe: (event) => events.push(event),
      });
      const until = performance.now() + 2_500;
      while (performance.now() < until) {
        for (let i = 0; i < 400; i += 1) {
          const name = `key-${Math.floor(random() * KEYS)}`;
          newest = Math.max(newest, 1_000 + i);
          batcher.tryAdd({ name: random() < 0.5 ? name : name.toUpperCase(), seen: 1_000 + i });
        }
        await turn();
      }
      const { stats } = await batcher.close();
      expect(stats).toMatchObject({ committed: stats.accepted, held: 0 });
      await end();
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => run(writer)));
    expect(await eye.query("SELECT max(seen) AS at FROM people")).toEqual([
      { at: new Date(newest) },
    ]);
    await eye.close();
    expect(retriedStates(events)).not.toContain("40P01");
    expect(await deadlocks(url)).toBe(0);
  });

  it("never deadlock where they spell keys in two ways: locks are taken in the order of the type", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    await eye.query("CREATE EXTENSION citext");
    await eye.query("CREATE TABLE words (k citext PRIMARY KEY, n bigint NOT NULL)");
    // Each in capitals where the other is not: in the order of bytes they would meet head-on.
    const run = async (writer: number): Promise<void> => {
      const keys = Array.from({ length: 300 }, (_, i) => (i % 2 === writer ? `K${i}` : `k${i}`));
      const { driver, end } = connectors.pg(url, 1);
      await migrate(driver);
      const batcher = createBatcher({
        shape: sums({ key: ["k"], sum: ["n"] }),
        sink: upsertSums(driver, { table: "words", types: { k: "citext" } }),
      });
      for (let round = 0; round < 100; round += 1) {
        for (const k of keys) batcher.tryAdd({ k, n: 1 });
        await batcher.flush();
      }
      const { stats } = await batcher.close();
      expect(stats).toMatchObject({ retries: 0, committed: 30_000 });
      await end();
    };
    await Promise.all([run(0), run(1)]);
    expect(await eye.query("SELECT min(n)::int, max(n)::int, count(*)::int FROM words")).toEqual([
      { min: 200, max: 200, count: 300 },
    ]);
    await eye.close();
    expect(await deadlocks(url)).toBe(0);
  });

  it("deadlock at once where keys are not sorted: the order is what keeps the others safe", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    await eye.query("CREATE TABLE hot (k text PRIMARY KEY, n bigint NOT NULL)");
    const states: unknown[] = [];
    const until = performance.now() + 10_000;
    const run = async (writer: number): Promise<void> => {
      const client = new pg.Client(url);
      await client.connect();
      await client.query("SET deadlock_timeout = '20ms'");
      const random = seededRandom(writer + 1);
      while (states.length === 0 && performance.now() < until) {
        const keys = new Set(
          Array.from({ length: 500 }, () => `key-${Math.floor(random() * KEYS)}`),
        );
        await client
          .query(
            `INSERT INTO hot AS t SELECT k, 1 FROM unnest($1::text[]) u(k)
             ON CONFLICT (k) DO UPDATE SET n = t.n + 1`,
            [[...keys]],
          )
          .catch((error: unknown) => states.push(sqlstateOf(error)));
      }
      await client.end();
    };
    await Promise.all(Array.from({ length: WRITERS }, (_, writer) => run(writer)));
    await eye.close();
    expect(states).toContain("40P01");
    expect(await deadlocks(url)).toBeGreaterThan(0);
  });
});
