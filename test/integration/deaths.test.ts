/** How a writing process may end, and what is in the tables then. */
import { describe, expect, it, onTestFinished } from "vitest";
import type { CloseReport } from "sluice";
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
const TERM = { signal: "SIGTERM", after: 1_500, ms: 0 } as const;
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
      // Answers were lost, and their batches sent again.
      const total = (of: (report: CloseReport) => number): number =>
        Object.values(batchers).reduce((n, report) => n + of(report), 0);
      expect(total(({ stats }) => stats.duplicates)).toBeGreaterThan(0);
      const asked = said.given.size;
      expect(answers?.stats).toMatchObject({ loads: asked, answered: asked, pending: 0 });
      // They had not landed by themselves.
      expect(total(({ items }) => items)).toBeGreaterThan(0);
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
      const { code, complaints, closed } = await runWriter(next, said, TERM);
      expect(code, complaints).toBe(0);
      expect(closed.answers?.stats).toMatchObject({ failed: 0, pending: 0 });
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
      const [adds, keys, room] = [2_000_000, 1_000, 1_000];
      const task = { postgres, clickhouse, api, adds, keys, room };
      const { code, complaints, bufferBytes, closed } = await flood(task);
      expect(code, complaints).toBe(0);
      expect(bufferBytes).toBeLessThan(32 * 1_048_576);
      const { usage, newest, entries, visits, answers, full = 0 } = closed ?? {};
      // What has a key is absorbed, and lands.
      expect(usage).toMatchObject({ accepted: adds, committed: adds });
      expect(newest).toMatchObject({ refused: 0, committed: newest?.accepted });
      expect(newest?.accepted).toBeGreaterThan(adds / 10);
      // Of the rest lands what there was room for.
      const items = newest?.accepted ?? 0;
      expect(entries).toMatchObject({ accepted: items, committed: room, dropped: items - room });
      expect(visits).toMatchObject({ accepted: room, committed: room, refused: items - room });
      expect(answers).toMatchObject({ answered: room, failed: full });
      expect(full).toBeGreaterThan(room);
      expect(await query("SELECT sum(n)::int AS n, count(*)::int AS keys FROM usage")).toEqual([
        { n: adds, keys },
      ]);
      expect(
        await query(
          "SELECT count(*)::int AS keys FROM newest WHERE rev > $1 AND v LIKE 'text of ' || rev || ' %'",
          [adds - 10 * keys],
        ),
      ).toEqual([{ keys }]);
      const landed = await query("SELECT id FROM entries ORDER BY id::int");
      expect(landed).toHaveLength(room);
      expect(await chdb.query("SELECT id FROM visits ORDER BY toUInt32(id)")).toEqual(landed);
    },
  );
});
