/**
 * The cost of an add: a three-part key with two sums, against a hand-written loop over nested maps
 * that checks nothing, bounds nothing and delivers nothing.
 */
import { createBatcher, sums } from "sluice";
import { compare } from "./compare.js";

const CLIENTS = 50;
const ITEMS = 100_000;
const OPERATIONS = ["GET", "HEAD", "POST", "PUT", "DELETE"];

const items = Array.from({ length: ITEMS }, (_, index) => ({
  client: `client-${(index * 7_919) % CLIENTS}`,
  table: `table-${(index * 31) % 8}`,
  operation: OPERATIONS[(index * 17) % 5] ?? "",
  total: 1,
  errors: index % 7 === 0 ? 1 : 0,
}));

const batcher = createBatcher({
  shape: sums({ key: ["client", "table", "operation"], sum: ["total", "errors"] }),
  sink: async () => undefined,
  maxEntries: 10_000,
  maxDelayMs: 60_000,
});

/** @type {Map<string, Map<string, Map<string, { total: number, errors: number }>>>} */
const root = new Map();

await compare(
  `tryAdd, ${CLIENTS * 8 * 5} keys`,
  {
    name: "sluice tryAdd",
    units: ITEMS,
    run: () => {
      for (const item of items) batcher.tryAdd(item);
    },
  },
  {
    name: "nested maps by hand",
    units: ITEMS,
    run: () => {
      for (const { client, table, operation, total, errors } of items) {
        let tables = root.get(client);
        if (tables === undefined) root.set(client, (tables = new Map()));
        let operations = tables.get(table);
        if (operations === undefined) tables.set(table, (operations = new Map()));
        const entry = operations.get(operation);
        if (entry === undefined) operations.set(operation, { total, errors });
        else {
          entry.total += total;
          entry.errors += errors;
        }
      }
    },
  },
  "at least 0.5",
);
await batcher.close();
