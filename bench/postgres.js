/**
 * What a flush of 2,000 keys costs: against one statement per key, and with and without the ledger.
 */
import pg from "pg";
import { createBatcher, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";
import { startPostgres } from "../scripts/postgres-server.js";
import { compare } from "./compare.js";

const KEYS = 2_000;
const keys = Array.from({ length: KEYS }, (_, index) => `client-${index}`);

const server = await startPostgres({ durable: true });
const pool = new pg.Pool({ connectionString: server.url });
pool.on("error", (error) => console.error(error.message)); // idle connections, when the server stops
const columns = { key: ["client"], sum: ["requests", "failures"] };
const [ours, theirs] = ["usage_with", "usage_by_hand"];
await migrate(pool, sumsDdl({ table: ours, ...columns }), sumsDdl({ table: theirs, ...columns }));

/** @param {"sluice_ledger" | false} ledger */
function flushing(ledger) {
  const batcher = createBatcher({
    shape: sums({ key: ["client"], sum: ["requests", "failures"] }),
    sink: upsertSums(pool, { table: ours, ledger }),
    maxEntries: 10 * KEYS,
    maxDelayMs: 60_000,
  });
  return async () => {
    for (const client of keys) batcher.tryAdd({ client, requests: 1 });
    await batcher.flush();
  };
}

const client = await pool.connect();
const oneByOne = async () => {
  for (const key of keys) {
    await client.query({
      name: "one",
      text: `INSERT INTO ${theirs} AS t (client, requests, failures) VALUES ($1, $2, $3)
        ON CONFLICT (client) DO UPDATE SET
        requests = t.requests + excluded.requests, failures = t.failures + excluded.failures`,
      values: [key, 1, 0],
    });
  }
};

await compare(
  `a flush of ${KEYS} keys`,
  { name: "sluice, one statement", run: flushing("sluice_ledger") },
  { name: "one prepared statement per key", run: oneByOne },
  "at least 50 faster",
);
await compare(
  "the price of exactly once",
  { name: "with the ledger", run: flushing("sluice_ledger") },
  { name: "without the ledger", run: flushing(false) },
  "at least 0.95",
);

client.release();
await pool.end();
await server.stop();
