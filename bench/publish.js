/**
 * What telling readers costs the writers: 32 of them, a row per transaction, against the same without
 * publishing. Each has a publisher of its own, as 32 processes would. "At once" gathers nothing: every
 * flush has a second transaction, and most of its cost is that of this one process.
 */
import pg from "pg";
import { createBatcher, latest } from "sluice";
import { migrate, postgresPubsub, publishing, writeLatest } from "sluice/postgres";
import { createPublisher } from "sluice/pubsub";
import { startPostgres } from "../scripts/postgres-server.js";
import { median } from "./compare.js";

const WRITERS = 32;
const ROUNDS = 5;
const ROUND_MS = 2_000;

const server = await startPostgres({ durable: true });
const pool = new pg.Pool({ connectionString: server.url, max: 2 * WRITERS });
pool.on("error", (error) => console.error(error.message));
await migrate(
  pool,
  "CREATE TABLE latest (k text PRIMARY KEY, v text, rev bigint) WITH (fillfactor = 50)",
);
const pubsub = postgresPubsub(pool);
const shape = latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" });

/** @typedef {"off" | "on" | "on, at once" | "atomic"} Mode */

/**
 * How many transactions per second all writers commit together.
 * @param {Mode} mode
 */
async function rate(mode) {
  let committed = 0;
  let over = false;
  const writers = Array.from({ length: WRITERS }, async (_, writer) => {
    const publisher = createPublisher(pubsub, {
      channel: "latest",
      ...(mode === "on, at once" ? { maxDelayMs: 0 } : {}),
    });
    const plain = writeLatest(pool, { table: "latest", onMissing: "insert" });
    const batcher = createBatcher({
      shape,
      sink:
        mode === "off"
          ? plain
          : publishing(plain, {
              publisher,
              keys: ({ entries }) => entries.map(({ key }) => key[0] ?? ""),
              atomic: mode === "atomic",
            }),
      maxDelayMs: 0,
    });
    for (let rev = 0; !over; rev += 1) {
      await batcher.deliver({ k: `writer-${writer}`, v: "x", rev: Date.now() * 1_000 + rev });
      committed += 1;
    }
    await batcher.close();
    await publisher.close();
  });
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
  over = true;
  const perSecond = committed / ((performance.now() - startedAt) / 1_000);
  await Promise.all(writers);
  return perSecond;
}

/** @type {readonly Mode[]} */
const MODES = ["off", "on", "on, at once", "atomic"];
/** @type {Map<Mode, number[]>} */
const rates = new Map(MODES.map((mode) => [mode, []]));
await rate("off"); // warm
for (let round = 0; round < ROUNDS; round += 1) {
  for (const mode of MODES) rates.get(mode)?.push(await rate(mode));
}
const off = rates.get("off") ?? [];
console.log(`${WRITERS} writers, a row per transaction; medians of ${ROUNDS} rounds\n`);
for (const [mode, each] of rates) {
  const share = median(each.map((value, round) => value / (off[round] ?? Number.NaN)));
  const goal = mode === "on" ? "   (goal: at least 0.60)" : "";
  console.log(
    `  ${mode.padEnd(12)} ${Math.round(median(each)).toString().padStart(6)} tx/s   ${share.toFixed(2)} of off${goal}`,
  );
}

await pubsub.close();
await pool.end();
await server.stop();
