/** The ledger: its rows, its upkeep, and what happens without it. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createBatcher, type SluiceEvent, sums } from "sluice";
import { ledgerDdl, migrate, reapLedger, sqlstateOf, sumsDdl, upsertSums } from "sluice/postgres";
import { startPostgres } from "../../scripts/postgres-server.js";
import { connectors, type Database, databases, freshDatabase, openEye } from "./database.ts";

const usageDdl = sumsDdl({ table: "usage", key: ["k"], sum: ["n"] });

describe.each(Object.entries(databases))("on %s", (_name, open) => {
  let db: Database;
  beforeAll(async () => {
    db = await open();
    await migrate(db.owner, usageDdl);
  });
  afterAll(() => db.close());

  it("holds one row per lane, with the number of its batches", async () => {
    const batcher = createBatcher({
      name: "lanes",
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "usage" }),
      lanes: 3,
    });
    for (let round = 0; round < 7; round += 1) {
      for (let i = 0; i < 30; i += 1) batcher.tryAdd({ k: `k${i}`, n: 1 });
      await batcher.flush();
    }
    const { stats } = await batcher.close();
    expect(stats.batches).toBe(21);
    const rows = await db.query(
      "SELECT seq::int, rejected FROM sluice_ledger WHERE writer LIKE 'lanes:%'",
    );
    expect(rows).toEqual([1, 2, 3].map(() => ({ seq: 7, rejected: null })));
  });

  it("forgets writers that are long dead, once, at the first write of a sink; never those alive", async () => {
    await db.query("DELETE FROM sluice_ledger");
    await db.query(`INSERT INTO sluice_ledger (writer, seq, updated_at) VALUES
      ('dead', 1, now() - interval '8 days'), ('quiet', 1, now() - interval '6 days')`);
    const batcher = createBatcher({
      name: "reaper",
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "usage" }),
    });
    batcher.tryAdd({ k: "a", n: 1 });
    await batcher.flush();
    const writers = async () =>
      (await db.query("SELECT writer FROM sluice_ledger ORDER BY writer")).map(({ writer }) =>
        String(writer).replace(/:.*/, ""),
      );
    expect(await writers()).toEqual(["quiet", "reaper"]);
    await db.query(
      "UPDATE sluice_ledger SET updated_at = now() - interval '9 days' WHERE writer = 'quiet'",
    );
    batcher.tryAdd({ k: "a", n: 1 });
    await batcher.close();
    expect(await writers()).toEqual(["quiet", "reaper"]);
    expect(await reapLedger(db.driver)).toBe(1);
    await expect(reapLedger(db.driver, { olderThanMs: 3_599_999 })).rejects.toMatchObject({
      code: "SLUICE_ERR_POSTGRES_OPTION",
    });
  });

  it("a table that is missing is waited for: nothing is dead-lettered, and all lands once it is there", async () => {
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(db.driver, { table: "late_table", ledger: "late_ledger" }),
      maxDelayMs: 0,
      retry: { baseDelayMs: 20, maxDelayMs: 20 },
      observe: (event) => events.push(event),
    });
    const retriesOf = (text: string) =>
      events.filter((event) => event.type === "retried" && String(event.error).includes(text))
        .length;
    const until = async (holds: () => boolean): Promise<void> => {
      while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    for (let i = 0; i < 10; i += 1) batcher.tryAdd({ k: `k${i}`, n: 1 });
    await until(() => retriesOf("late_ledger") > 0 || retriesOf("late_table") > 0);
    const { lastError } = batcher.stats();
    expect(sqlstateOf(lastError instanceof Error && lastError.cause)).toBe("42P01");
    await migrate(db.owner, ledgerDdl("late_ledger"));
    await until(() => retriesOf("late_table") > 0);
    await migrate(db.owner, sumsDdl({ table: "late_table", key: ["k"], sum: ["n"] }));
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 10, deadLettered: 0, unknown: 0 });
    expect(stats.lastError).toBeUndefined();
    expect(await db.query("SELECT sum(n)::int AS n FROM late_table")).toEqual([{ n: 10 }]);
  });

  it("migrate changes nothing the second time, and ten at once do no harm", async () => {
    const ddl = sumsDdl({ table: "many", key: ["k"], sum: ["n"] });
    await Promise.all(Array.from({ length: 10 }, () => migrate(db.owner, ddl)));
    await migrate(db.owner, ddl);
    const rows = await db.query(
      "SELECT relname, reloptions FROM pg_class WHERE relname IN ('many', 'sluice_ledger') ORDER BY 1",
    );
    expect(rows).toEqual([
      { relname: "many", reloptions: ["fillfactor=50"] },
      { relname: "sluice_ledger", reloptions: ["fillfactor=50"] },
    ]);
  });
});

it("ten processes that migrate an empty database at once do no harm", async () => {
  const url = await freshDatabase();
  const pools = Array.from({ length: 10 }, () => connectors.pg(url, 1));
  await Promise.all(pools.map(({ driver }) => migrate(driver, usageDdl)));
  await Promise.all(pools.map(({ end }) => end()));
  const eye = await openEye(url);
  expect(await eye.query("SELECT count(*)::int AS n FROM usage")).toEqual([{ n: 0 }]);
  await eye.close();
});

it("with the shipped DDL, at least 95 % of updates are HOT", async () => {
  // On a server of its own: an older transaction in any database of a server keeps dead rows in place.
  const { url, stop } = await startPostgres();
  onTestFinished(stop);
  const { driver, end } = connectors.pg(url, 1);
  const options = { key: ["k"], sum: ["n"], last: ["at"] } as const;
  await migrate(driver, sumsDdl({ ...options, table: "usage", updatedAt: "updated_at" }));
  const batcher = createBatcher({
    shape: sums(options),
    sink: upsertSums(driver, { table: "usage", updatedAt: "updated_at" }),
  });
  for (let round = 0; round < 12; round += 1) {
    for (let i = 0; i < 500; i += 1) batcher.tryAdd({ k: `client-${i}`, n: 1, at: round });
    await batcher.flush();
  }
  await batcher.close();
  await end();
  const eye = await openEye(url);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const rows = await eye.query(
    "SELECT relname, n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot FROM pg_stat_user_tables WHERE n_tup_upd > 0",
  );
  await eye.close();
  const [usage] = rows.filter(({ relname }) => relname === "usage");
  expect(usage?.["updates"]).toBe(11 * 500);
  expect(Number(usage?.["hot"]) / Number(usage?.["updates"])).toBeGreaterThanOrEqual(0.95);
});
