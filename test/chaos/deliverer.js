// Gives numbered items to four tables of PostgreSQL and one of ClickHouse, and asks an API about them,
// until it is ended, and says on stdout what it does:
//     node deliverer.js '{ "postgres": url, "clickhouse": url, "api": url, "driver": name, … }'
// A line `item <id>` before an item is given away, and `<table> <id> <held>` once it has been delivered
// or, where `how` is "add", accepted; a question once it has been answered. Lines are written at once and
// whole, so that none is lost with the process. SIGTERM makes it close, and say what `closed` reports.
import { writeSync } from "node:fs";
import { createClient } from "@clickhouse/client";
import pg from "pg";
import postgres from "postgres";
import {
  createBatcher,
  createCoalescer,
  distinct,
  isSluiceError,
  latest,
  list,
  sums,
} from "sluice";
import { createRowBatcher, String as Text } from "sluice/clickhouse";
import { insertRows, touch, upsertSums, writeLatest } from "sluice/postgres";
import { answerTo, itemsOf, MOST_ITEMS } from "./delivered-items.js";

/** @type {import("./writer-process.ts").Task} */
const task = JSON.parse(process.argv[2] ?? "{}");
const AT_A_TIME = 24;
/** What each item leaves behind for good where the process is to run out of memory. */
const LEAK_NUMBERS = 32_768;

const say = (/** @type {string} */ line) => writeSync(1, `${line}\n`);

function connect() {
  if (task.driver === "postgres") {
    const sql = postgres(task.postgres, { max: 8, fetch_types: false });
    return { driver: sql, end: () => sql.end() };
  }
  const pool = new pg.Pool({ connectionString: task.postgres, max: 8 });
  pool.on("error", () => undefined);
  return { driver: pool, end: () => pool.end() };
}

const { driver, end } = connect();
const client = createClient({ url: task.clickhouse, log: { level: 127 } });
const pauses = { baseDelayMs: 1, maxDelayMs: 20 };
const options = {
  lanes: 2,
  maxEntries: 8,
  maxDelayMs: task.how === "add" ? 500 : 2,
  writeTimeoutMs: 1_000,
  retry: { ...pauses, circuitAfter: 1_000 },
};
const batchers = {
  usage: createBatcher({
    ...options,
    shape: sums({ key: ["k"], sum: ["n"] }),
    sink: upsertSums(driver, { table: "usage" }),
  }),
  people: createBatcher({
    ...options,
    shape: distinct({ key: ["k"], last: ["seen"] }),
    sink: touch(driver, { table: "people" }),
  }),
  newest: createBatcher({
    ...options,
    shape: latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" }),
    sink: writeLatest(driver, { table: "newest", onMissing: "insert" }),
  }),
  entries: createBatcher({
    ...options,
    shape: list(),
    sink: insertRows(driver, { table: "entries", columns: { id: "text", v: "text" } }),
  }),
};
const visits = createRowBatcher(client, {
  ...options,
  table: "visits",
  columns: { id: Text, v: Text },
  strict: true,
});
const answers = createCoalescer({
  key: (/** @type {string} */ question) => question,
  resolve: async (_group, keys, { signal }) => {
    const response = await fetch(task.api, { method: "POST", body: JSON.stringify(keys), signal });
    return await response.json();
  },
  retry: pauses,
});

const all = { ...batchers, visits };

async function ask(/** @type {string} */ question) {
  const answer = await answers.load(question);
  if (answer !== answerTo(question)) throw new Error(`${question} was answered with ${answer}`);
}

/** Resolves once the item is delivered, accepted or answered. */
function give(table, item) {
  if (table === "answers") return ask(item);
  if (task.how === "deliver") return all[table].deliver(item);
  return table === "visits" ? visits.insert(item) : all[table].add(item);
}

const heldBy = (table) => (table === "answers" ? 0 : all[table].stats().held);

let next = task.from;
let closing = false;
const leaked = [];
async function work() {
  while (!closing && next < MOST_ITEMS) {
    const id = next;
    next += 1;
    say(`item ${id}`);
    const taken = Object.entries(itemsOf(task.round, id)).map(async ([table, item]) => {
      try {
        await give(table, item);
        say(`${table} ${id} ${heldBy(table)}`);
      } catch (error) {
        // It was not accepted: it waited for room as the batcher was closed.
        if (!isSluiceError(error) || error.code !== "SLUICE_ERR_BATCHER_CLOSED") throw error;
      }
    });
    await Promise.all(taken);
    if (task.leak) leaked.push(Array.from({ length: LEAK_NUMBERS }, () => id));
  }
}

async function close() {
  closing = true;
  const reports = Object.entries({ ...all, answers }).map(async ([table, taker]) => [
    table,
    await taker.close({ timeoutMs: 30_000 }),
  ]);
  say(`closed ${JSON.stringify(Object.fromEntries(await Promise.all(reports)))}`);
  await Promise.all([end(), client.close()]);
}
process.once("SIGTERM", () => void close());

await Promise.all(Array.from({ length: AT_A_TIME }, work));
