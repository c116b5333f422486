// Counters into PostgreSQL, exactly once. A Pool of pg can stand where PGlite stands here.
import { PGlite } from "@electric-sql/pglite";
import { createBatcher, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";

const pool = new PGlite();
const fields = { key: ["client"], sum: ["requests", "failures"] };
await migrate(pool, sumsDdl({ table: "usage_by_client", ...fields }));

const usage = createBatcher({
  name: "usage",
  shape: sums(fields),
  sink: upsertSums(pool, { table: "usage_by_client" }),
});

for (let i = 0; i < 10_000; i += 1) usage.tryAdd({ client: `client-${i % 3}`, requests: 1 });
const { items, entries, batches } = await usage.flush();
console.log(`${items} items, ${entries} entries, ${batches} batch`);
await usage.close();
await pool.close();
