/** How a writing process may end, and what is in the tables then. */
import { describe, expect, it, onTestFinished } from "vitest";
import { reapLedger } from "sluice/postgres";
import { flood } from "../chaos/flood.ts";
import { openTargets } from "../chaos/targets.ts";
import { nothingSaid, runWriter, type Said, type Task } from "../chaos/writer-process.ts";
import { openChdb } from "./chdb.ts";
import { connectors, freshDatabase } from "./database.ts";

const chdb = openChdb();

/** Far more than they need: processes are started, and other tests have the same cores. */
const PATIENCE = { timeout: 120_000 };

const NOTHING = { lost: [], wrong: [] };
const TERM = { signal: "SIGTERM", after: 900, ms: 0 } as const;
const LANES = 2;
const LEDGER_TABLES = 4;

/** Tables, an API, and a process's task with them. */
async function open() {
  const url = await freshDatabase();
  const targets = await openTargets({ url, chdb, seed: 1 }, 1);
  onTestFinished(targets.close);
  const { postgres, clickhouse, api } = targets;
  const task: Task = {
    postgres,
    clickhouse,
    api,
    driver: "pg",
    round: 0,
    from: 0,
    how: "add",
  };
  return { url, targets, task };
}

const sizesOf = ({ acknowledged }: Said): Record<string, number> =>
  Object.fromEntries([...acknowledged].map(([table, { size }]) => [table, size]));

describe("SIGTERM and close()", () => {
  it(
    "everything accepted is there once, every question is answered, and the report says so",
    PATIENCE,
    async () => {
      const { targets, task } = await open();
      const said = nothingSaid();
      const { code, complaints, closed } = await runWriter(task, said, TERM);
      expect(code, complaints).toBe(0);
      expect(await targets.compare(said)).toEqual(NOTHING);
      expect(targets.losses()).toBeGreaterThan(0);
      const { answers, ...batchers } = closed;
      const accepted = Object.entries(batchers).map(([table, { stats }]) => [
        table,
        stats.accepted,
      ]);
      expect({ ...Object.fromEntries(accepted), answers: said.given.size }).toEqual(sizesOf(said));
      for (const { items, committed, undelivered, stats } of Object.values(batchers)) {
        expect({ committed, undelivered }).toEqual({ committed: items, undelivered: [] });
        expect(stats.committed).toBe(stats.accepted);
      }
      const asked = said.given.size;
      expect(answers?.stats).toMatchObject({ loads: asked, answered: asked, pending: 0 });
      // They had not landed by themselves.
      const drained = Object.values(batchers).reduce((n, { items }) => n + items, 0);
      expect(drained).toBeGreaterThan(0);
      expect(answers?.answered).toBeGreaterThan(0);
    },
  );
});

describe("SIGKILL and another process after it", () => {
  it(
    "what is lost is at most what was held, and the next process goes on beside the dead writers",
    PATIENCE,
    async () => {
      const { url, targets, task } = await open();
      const said = nothingSaid();
      const { signal } = await runWriter(task, said, { signal: "SIGKILL", after: 1_500, ms: 3 });
      expect(signal).toBe("SIGKILL");
      const first = await targets.compare(said);
      expect(first.wrong).toEqual([]);
      expect(first.lost.length).toBeGreaterThan(0);
      for (const [table, held] of said.held) {
        const lost = first.lost.filter((item) => item.table === table);
        expect(lost.length, table).toBeLessThanOrEqual(held);
      }
      const { query } = targets;
      const writers = async () => (await query("SELECT writer FROM sluice_ledger")).length;
      const dead = await writers();
      expect(dead).toBeGreaterThan(0);
      await query("UPDATE sluice_ledger SET updated_at = now() - interval '6 days'");

      const next = { ...task, driver: "postgres", from: said.given.size } as const;
      const { code } = await runWriter(next, said, TERM);
      expect(code).toBe(0);
      const second = await targets.compare(said);
      expect(second.wrong).toEqual([]);
      expect(first.lost).toEqual(expect.arrayContaining([...second.lost]));
      expect(await writers()).toBe(dead + LEDGER_TABLES * LANES);

      await query(
        "UPDATE sluice_ledger SET updated_at = now() - interval '8 days' WHERE updated_at < now() - interval '5 days'",
      );
      const { driver, end } = connectors.pg(url, 1);
      expect(await reapLedger(driver)).toBe(dead);
      await end();
    },
  );
});

describe("out of memory", () => {
  it("what was acknowledged is there, and nothing twice", PATIENCE, async () => {
    const { targets, task } = await open();
    const said = nothingSaid();
    const { signal, complaints } = await runWriter({ ...task, how: "deliver", leak: true }, said);
    expect(complaints).toContain("heap out of memory");
    expect(signal).toBe("SIGABRT");
    expect(await targets.compare(said)).toEqual(NOTHING);
    for (const [table, size] of Object.entries(sizesOf(said))) {
      expect(size, table).toBeGreaterThan(0);
    }
  });

  it(
    "does not come of batchers: millions of items and no store leave them within their limits",
    PATIENCE,
    async () => {
      const { targets } = await open();
      const { postgres, clickhouse, api, query } = targets;
      const [adds, keys, room] = [500_000, 1_000, 1_000];
      const { code, complaints, bufferBytes, closed } = await flood({
        postgres,
        clickhouse,
        api,
        adds,
        keys,
        room,
      });
      expect(code, complaints).toBe(0);
      expect(bufferBytes).toBeLessThan(32 * 1_048_576);
      // What has a key is absorbed and lands; of the rest lands what there was room for.
      expect(closed).toMatchObject({
        usage: { accepted: adds, committed: adds },
        newest: { accepted: adds, committed: adds },
        entries: { accepted: adds, committed: room, dropped: adds - room },
        visits: { accepted: room, committed: room, refused: adds - room },
        answers: { answered: room, failed: adds / 50 - room },
        full: adds / 50 - room,
      });
      expect(await query("SELECT sum(n)::int AS n, count(*)::int AS keys FROM usage")).toEqual([
        { n: adds, keys },
      ]);
      expect(await query("SELECT min(rev)::int, count(*)::int AS keys FROM newest")).toEqual([
        { min: adds - keys, keys },
      ]);
      const names = Array.from({ length: room }, (_, n) => `0-${n}`).toSorted();
      expect(
        (await query("SELECT id FROM entries")).map(({ id }) => String(id)).toSorted(),
      ).toEqual(names);
      expect(
        (await chdb.query("SELECT id FROM visits")).map(({ id }) => String(id)).toSorted(),
      ).toEqual(names);
    },
  );
});
