/** The real drivers are what the structural types of sluice/clickhouse ask for. */
import { createClient } from "@clickhouse/client";
import { Session } from "chdb";
import {
  createRowBatcher,
  insertRows,
  String as Text,
  type Transport,
  toTransport,
  UInt64,
} from "sluice/clickhouse";

const client = createClient({ url: "http://localhost:8123" });
const columns = { id: UInt64, name: Text };

createRowBatcher(client, { table: "t", columns });
createRowBatcher(new Session(), { table: { database: "d", table: "t" }, columns });
insertRows(client, { table: "d.t" });
const transport: Transport = toTransport(client);
createRowBatcher(transport, { table: "t", columns });

// @ts-expect-error a pool of another store is none
createRowBatcher({ query: () => Promise.resolve([]) }, { table: "t", columns });
// @ts-expect-error there is no table without a name
insertRows(client, {});

const batcher = createRowBatcher(client, {
  table: "t",
  columns,
  deadLetter: ({ entry }) => entry.id satisfies bigint,
});
batcher.tryInsert({ id: 1n, name: "a" });
// @ts-expect-error a column is missing
batcher.tryInsert({ id: 1n });
// @ts-expect-error there is no such column
batcher.tryInsert({ id: 1n, name: "a", nome: "b" });
