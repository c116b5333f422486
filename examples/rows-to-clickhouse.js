// Typed rows into ClickHouse. A client of @clickhouse/client can stand where the session of chdb stands.
import { Session } from "chdb";
import { createRowBatcher, DateTime64, LowCardinality, String, UInt64 } from "sluice/clickhouse";

const client = new Session();
const visits = createRowBatcher(client, {
  table: "visits",
  columns: { id: UInt64, at: DateTime64(3), page: LowCardinality(String) },
  createTable: { orderBy: ["at"] },
});

await visits.insert({ id: 1n, at: new Date(), page: "/" }); // waits for room
visits.tryInsert({ id: 2, at: "2026-01-31T12:00:00Z", page: "/docs" }); // never waits
const { rows, batches } = await visits.flush();
const { deduplication } = await visits.ready();
console.log(`${rows} rows, ${batches} insert, deduplication by ${deduplication}`);
await visits.close();
client.close();
