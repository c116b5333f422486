// Streams rows into a table as fast as it can, and prints what it took as one line of JSON:
//     node stream-rows.js <url> <table> <rows> <maxBufferedBytes>
import { createClient } from "@clickhouse/client";
import { createRowBatcher, String as Text, UInt64 } from "sluice/clickhouse";

const [url = "", table = "", rows = "", buffered = ""] = process.argv.slice(2);
const [count, maxBufferedBytes] = [Number(rows), Number(buffered)];
const client = createClient({ url, log: { level: 127 } });
let blocked = 0;

const batcher = createRowBatcher(client, {
  table,
  columns: { id: UInt64, text: Text },
  maxEntries: count,
  maxBytes: maxBufferedBytes / 4,
  maxBufferedEntries: count,
  maxBufferedBytes,
  observe: (event) => {
    if (event.type === "blocked") blocked += 1;
  },
});

function* stream() {
  for (let id = 0; id < count; id += 1) yield { id, text: `row number ${id}` };
}

await batcher.insertMany(stream());
const { committed } = (await batcher.close()).stats;
await client.close();
const { maxRSS } = process.resourceUsage();
console.log(JSON.stringify({ committed, blocked, maxRssBytes: maxRSS * 1_024 }));
