/** The short form of `npm run chaos`. */
import { expect, it } from "vitest";
import { killWriters } from "../chaos/kill-writers.ts";
import { insertThroughFaults } from "../chaos/clickhouse.ts";
import { openChdb } from "./chdb.ts";
import { freshDatabase } from "./database.ts";

it("what was acknowledged by deliver is there, and nothing twice, when the writing process is killed", async () => {
  const report = await killWriters({ url: await freshDatabase(), seed: 1, rounds: 6 });
  console.log(report);
  expect(report.drift).toEqual([]);
});

const chdb = openChdb();

it("rows land once, whatever becomes of the answers", async () => {
  const report = await insertThroughFaults({ chdb, seed: 1, batches: 150 });
  console.log(report);
  expect(report.drift).toEqual([]);
});
