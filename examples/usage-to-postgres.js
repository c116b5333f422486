// Counters into PostgreSQL, exactly once. A Pool of pg goes where PGlite stands here.
import { PGlite } from "@electric-sql/pglite";
import { createBatcher, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";

const pool = new PGlite();
const columns = { key: ["client"], sum: ["requests", "failures"] };
await migrate(pool, sumsDdl({ table: "usage_by_client", ...columns }));

const usage = createBatcher({
  name: "usage",
  shape: sums(columns),
  sink: upsertSums(pool, { table: "usage_by_client" }),
  maxEntries: 2_000,
  maxDelayMs: 250,
});

for (let i = 0; i < 10_000; i += 1) usage.tryAdd({ client: `client-${i % 3}`, requests: 1 });
console.log(await usage.flush());
console.table((await pool.query("SELECT * FROM usage_by_client")).rows);
await usage.close();
