/** The short form of `npm run chaos`: seconds of what it does for minutes. */
import { describe, expect, it } from "vitest";
import { seededRandom } from "sluice/testing";
import { insertThroughFaults } from "../chaos/clickhouse.ts";
import { killWriters } from "../chaos/kill-writers.ts";
import { parseChaosOptions } from "../chaos/options.ts";
import { drawPlan } from "../chaos/plan.ts";
import { storm } from "../chaos/storm.ts";
import { openChdb } from "./chdb.ts";
import { freshDatabase } from "./database.ts";
import { describePgbouncer } from "./pgbouncer.ts";

const chdb = openChdb();

/** Far more than they need: servers are started and restarted, and other tests have the same cores. */
const PATIENCE = { timeout: 180_000 };

describe("the command", () => {
  it("draws the same plan of faults from the same seed", () => {
    const plan = drawPlan(500, seededRandom(7));
    expect(drawPlan(500, seededRandom(7))).toEqual(plan);
    expect(drawPlan(500, seededRandom(8))).not.toEqual(plan);
    expect(drawPlan(10_000, seededRandom(7)).kill.length).toBeGreaterThan(1_000);
  });

  it.each([
    { argv: ["--seed", "one"], message: '--seed takes a whole number from 1 on; received "one"' },
    { argv: ["--batches", "0"], message: '--batches takes a whole number from 1 on; received "0"' },
    {
      argv: ["--only", "mysql"],
      message: '--only takes postgres, kill, clickhouse; received "mysql"',
    },
    { argv: ["--seeds", "3"], message: "Unknown option '--seeds'" },
  ])("refuses $argv and says what it received", ({ argv, message }) => {
    expect(() => parseChaosOptions(argv)).toThrow(message);
  });
});

describePgbouncer("PostgreSQL that is killed, cut, restarted, slow and full", () => {
  it(
    "the database equals the tally exactly, by two drivers, straight and pooled",
    PATIENCE,
    async () => {
      const report = await storm({ seed: 1, batches: 200 });
      expect(report.drift).toEqual([]);
      expect(report.batches).toBeGreaterThanOrEqual(200);
      // Every kind of fault has struck, and writers have met it.
      const { struck, timeouts, refusals, duplicates } = report;
      expect(struck).toMatchObject({
        kill: 25,
        loss: 17,
        delay: 2,
        timeout: 1,
        full: 1,
        restart: 1,
      });
      for (const n of [struck.cut, timeouts, refusals, duplicates]) expect(n).toBeGreaterThan(0);
    },
  );

  it("without the ledger the same faults make it drift", PATIENCE, async () => {
    const report = await storm({ seed: 1, batches: 200, ledger: false });
    expect(report.duplicates).toBe(0);
    expect(report.drift.length).toBeGreaterThan(0);
    for (const finding of report.drift) expect(finding).toMatch(/^(?:usage|rows|both_usage): /);
  });
});

describe("a writing process that is killed by SIGKILL", () => {
  it("what deliver acknowledged is there, and nothing twice", PATIENCE, async () => {
    const report = await killWriters({ url: await freshDatabase(), chdb, seed: 1, rounds: 6 });
    expect(report.drift).toEqual([]);
    expect(report.killed).toBe(6);
    expect(report.acknowledged).toBeGreaterThan(report.killed);
    expect(report.losses).toBeGreaterThan(0);
  });
});

describe("ClickHouse whose answers are cut, late and lost", () => {
  it("holds every row exactly once, from many writers", PATIENCE, async () => {
    const report = await insertThroughFaults({ chdb, seed: 1, batches: 60 });
    expect(report.drift).toEqual([]);
    for (const n of [...Object.values(report.struck), report.cuts]) expect(n).toBeGreaterThan(0);
  });
});
