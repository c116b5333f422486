/** The access log of `sluice demo`: its sums on the newest ClickHouse and on the oldest, where it is installed. */
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openRowStore, type RowStore } from "../../packages/server/src/cli/clickhouse.ts";
import { openLanding, prepareRows } from "../../packages/server/src/cli/landing.ts";
import { main } from "../../packages/server/src/cli/main.ts";
import { generateTraffic } from "../../packages/server/src/traffic/generate.ts";
import {
  type AccessRow,
  accessRowOf,
  createRowTally,
} from "../../packages/server/src/traffic/row-tally.ts";
import { readRowSums, verifyRows } from "../../packages/server/src/traffic/verify-rows.ts";
import { copyPglite, openPglite } from "../support/pglite.ts";
import { describeServer } from "./chdb.ts";

copyPglite();

const EVENTS = 2_000;
const ROWS = [...generateTraffic({ seed: 5, events: EVENTS })].map(accessRowOf);
const ODD: AccessRow = {
  at: 0,
  client: "",
  method: "'; DROP TABLE access_log; --",
  path: "\\ \t\n 🦥 \u0301",
  status: 599,
  bytes: 999_999_999_999_999,
  referrer: "\ufffd",
  user_agent: "x".repeat(70_000),
};
const LAST: AccessRow = { ...ODD, at: 2 ** 32 - 1, bytes: Number.MAX_SAFE_INTEGER };

async function connect(url?: string): Promise<RowStore> {
  const store = await openRowStore(url);
  if ("skipped" in store) throw new Error(store.skipped);
  return store;
}

/** Lands rows as the demo does, and answers what it said meanwhile. */
async function land(store: RowStore, rows: readonly AccessRow[]): Promise<string[]> {
  const pool = await openPglite();
  const said: string[] = [];
  const landing = openLanding({
    pool,
    listen: undefined,
    rowClient: store.client,
    warn: (words) => void said.push(words),
  });
  for (const row of rows) await landing.log?.(row);
  await landing.close(30_000);
  await pool.close();
  expect(landing.figures().accessRows).toEqual({
    items: rows.length,
    batches: 1,
    bytes: expect.any(Number),
    committed: rows.length,
    deadLettered: 0,
    dropped: 0,
    unknown: 0,
  });
  return said;
}

/** Runs the demo to its end. */
async function demo(
  ...argv: string[]
): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const exitCode = await main(["demo", ...argv], {
    stdin: () => new PassThrough().end(),
    stdout,
    stderr,
    now: () => 0,
    onInterrupt: () => () => undefined,
  });
  const textOf = (stream: PassThrough): string => String(stream.read() ?? "");
  return { exitCode, stdout: textOf(stdout), stderr: textOf(stderr) };
}

/** What has to hold on every ClickHouse. */
function testsOf(open: () => Promise<RowStore>): void {
  let store: RowStore;
  beforeAll(async () => {
    store = await open();
    await store.query("DROP TABLE IF EXISTS access_log", []);
    await prepareRows(store.client);
  });
  afterAll(() => store.close());

  it("says the same sums of a table as the tally, whatever its texts hold", async () => {
    const tally = createRowTally();
    expect(await readRowSums(store.query)).toEqual(tally.sums);
    const rows = [...ROWS, ODD, LAST];
    for (const row of rows) tally.add(row);
    await land(store, rows);
    expect(await readRowSums(store.query)).toEqual(tally.sums);
  });

  it("counts what was there before, and finds a row that is there twice", async () => {
    const before = await readRowSums(store.query);
    const nothing = createRowTally().sums;
    expect(await verifyRows(store.query, before, nothing)).toMatchObject({
      verified: true,
      rows: ROWS.length + 2,
    });
    await land(store, [ODD]);
    expect(await verifyRows(store.query, before, nothing)).toMatchObject({
      verified: false,
      examples: [
        `count() is ${ROWS.length + 3}, should be ${ROWS.length + 2}`,
        expect.stringContaining("sum(toUInt64(status)) is "),
        expect.anything(),
      ],
    });
  });
}

describe("on chDB", () => {
  testsOf(() => connect());
});

describeServer("on the oldest server", (url) => {
  testsOf(() => connect(url));

  it("says once that a batch could land twice", async () => {
    const store = await connect(url);
    const said = await land(store, ROWS.slice(0, 10));
    await store.close();
    expect(said).toEqual([expect.stringContaining("written twice")]);
  });

  it("takes the whole demo, again and again", async () => {
    for (const seed of ["1", "2"]) {
      const traffic = ["--events", String(EVENTS), "--seed", seed];
      const { exitCode, stdout } = await demo("--json", ...traffic, "--clickhouse", url);
      expect(exitCode).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        events: EVENTS,
        systems: { accessRows: { items: EVENTS, batches: 1, committed: EVENTS } },
        verified: true,
      });
    }
  });

  it("refuses a table of another shape in one line", async () => {
    const store = await connect(url);
    await store.query("CREATE DATABASE IF NOT EXISTS other", []);
    await store.query("DROP TABLE IF EXISTS other.access_log", []);
    await store.query("CREATE TABLE other.access_log (at DateTime) ENGINE = Memory", []);
    await store.close();
    const { exitCode, stdout, stderr } = await demo("--clickhouse", `${url}/other`);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^sluice: the database .*\/other failed: table "access_log" is not .*\n$/,
    );
    expect(stderr).toContain('; column "user_agent": ');
  });
});
