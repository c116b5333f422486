// Adds far more than it may hold while every store is away, says so, and closes, however long that takes:
//     node flooder.js '{ "postgres": url, "clickhouse": url, "api": url, "adds": n, "keys": n, "room": n }'
// A line `flooded <bytes>` when it has added everything, with what its buffers outside of the heap take,
// and a line `closed <report>`.
import { writeSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { createClient } from "@clickhouse/client";
import pg from "pg";
import {
  createBatcher,
  createCoalescer,
  isSluiceError,
  latest,
  list,
  retryable,
  sums,
} from "sluice";
import { createRowBatcher, String as Text } from "sluice/clickhouse";
import { insertRows, upsertSums, writeLatest } from "sluice/postgres";

/** @type {import("./flood.ts").FloodTask} */
const { postgres, clickhouse, api, adds, keys, room } = JSON.parse(process.argv[2] ?? "{}");
/** Items and questions cost more than counts: there is one for so many of these. */
const COUNTS_PER_ITEM = 9;
const COUNTS_PER_QUESTION = 200;
const COUNTS_PER_TURN = 5_000;
const TEXT_LENGTH = 200;
/** No end of the attempts that may come before the stores are back. */
const FOREVER_MS = 600_000;

const say = (/** @type {string} */ line) => writeSync(1, `${line}\n`);

const pool = new pg.Pool({ connectionString: postgres, max: 8 });
pool.on("error", () => undefined);
const client = createClient({ url: clickhouse, log: { level: 127 } });
const pauses = { baseDelayMs: 200, maxDelayMs: 400 };
const observe = () => undefined;
const keyed = { maxBufferedEntries: 2 * keys, retry: pauses, observe };
const listed = {
  maxEntries: room / 2,
  maxBufferedEntries: room,
  deliveryTimeoutMs: FOREVER_MS,
  retry: pauses,
  observe,
};
const usage = createBatcher({
  ...keyed,
  shape: sums({ key: ["k"], sum: ["n"] }),
  sink: upsertSums(pool, { table: "usage" }),
});
const newest = createBatcher({
  ...keyed,
  shape: latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" }),
  sink: writeLatest(pool, { table: "newest", onMissing: "insert" }),
});
const entries = createBatcher({
  ...listed,
  shape: list(),
  sink: insertRows(pool, { table: "entries", columns: { id: "text", v: "text" } }),
  overflow: "drop-newest",
});
const visits = createRowBatcher(client, {
  ...listed,
  table: "visits",
  columns: { id: Text, v: Text },
  overflow: "reject",
});
const answers = createCoalescer({
  key: (/** @type {string} */ question) => question,
  resolve: async (_group, questions, { signal }) => {
    const body = JSON.stringify(questions);
    const response = await fetch(api, { method: "POST", body, signal }).catch((cause) => {
      throw retryable("the API is away", { cause });
    });
    return await response.json();
  },
  maxEntries: room / 2,
  maxBufferedEntries: room,
  deliveryTimeoutMs: FOREVER_MS,
  overflow: "reject",
  retry: pauses,
});

let full = 0;
async function ask(/** @type {string} */ question) {
  try {
    await answers.load(question);
  } catch (error) {
    if (!isSluiceError(error) || error.code !== "SLUICE_ERR_BATCHER_FULL") throw error;
    full += 1;
  }
}

const names = Array.from({ length: keys }, (_, n) => `key ${n}`);
for (let n = 0; n < adds; n += 1) {
  const k = names[n % keys] ?? "";
  usage.tryAdd({ k, n: 1 });
  if (n % COUNTS_PER_ITEM === 0) {
    const [id, v] = [String(n), `text of ${n}`.padEnd(TEXT_LENGTH)];
    newest.tryAdd({ k, v, rev: n });
    entries.tryAdd({ id, v });
    visits.tryInsert({ id, v });
  }
  if (n % COUNTS_PER_QUESTION === 0) void ask(String(n));
  if (n % COUNTS_PER_TURN === 0) await turn();
}
say(`flooded ${process.memoryUsage().arrayBuffers}`);

const closing = { timeoutMs: FOREVER_MS };
const batchers = Object.entries({ usage, newest, entries, visits }).map(
  async ([table, batcher]) => [table, (await batcher.close(closing)).stats],
);
const reports = Object.fromEntries(await Promise.all(batchers));
const { stats } = await answers.close(closing);
say(`closed ${JSON.stringify({ ...reports, answers: stats, full })}`);
await Promise.all([pool.end(), client.close()]);
