// Delivers numbered items to four tables until it is killed, and says on stdout what it does:
//     node deliverer.js <url> <driver> <round>
// A line `item <id>` before an item is given away, and `<table> <id>` once it has been delivered. Lines
// are written at once and whole, so that none is lost with the process.
import { writeSync } from "node:fs";
import pg from "pg";
import postgres from "postgres";
import { createBatcher, distinct, latest, list, sums } from "sluice";
import { insertRows, touch, upsertSums, writeLatest } from "sluice/postgres";
import { itemsOf } from "./delivered-items.js";

const [url = "", driverName = "", round = ""] = process.argv.slice(2);
const AT_A_TIME = 24;

const say = (/** @type {string} */ line) => writeSync(1, `${line}\n`);

function connect() {
  if (driverName === "postgres") return postgres(url, { max: 8, fetch_types: false });
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on("error", () => undefined);
  return pool;
}

const driver = connect();
const options = {
  lanes: 2,
  maxEntries: 8,
  maxDelayMs: 2,
  writeTimeoutMs: 1_000,
  retry: { baseDelayMs: 1, maxDelayMs: 20, circuitAfter: 1_000 },
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

let next = 0;
async function deliver() {
  for (;;) {
    const id = next;
    next += 1;
    const items = itemsOf(Number(round), id);
    say(`item ${id}`);
    const delivering = Object.entries(batchers).map(async ([table, batcher]) => {
      await batcher.deliver(items[table]);
      say(`${table} ${id}`);
    });
    await Promise.all(delivering);
  }
}
await Promise.all(Array.from({ length: AT_A_TIME }, deliver));
