import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createClient } from "@clickhouse/client";
import { expect, it } from "vitest";
import { describeServer } from "./chdb.ts";

const ROWS = 10_000_000;
const MIB = 1_048_576;
const BUFFERED = 32 * MIB;

describeServer("10 million rows into a server that is slower than their producer", (url) => {
  it("need no more memory than their buffers do", async () => {
    const client = createClient({ url, log: { level: 127 } });
    await client.command({
      query: "CREATE TABLE streamed (id UInt64, text String) ENGINE = MergeTree ORDER BY id",
    });
    const script = fileURLToPath(new URL("stream-rows.js", import.meta.url));
    const args = [script, url, "streamed", String(ROWS), String(BUFFERED)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const told: { committed: number; blocked: number; maxRssBytes: number } = JSON.parse(stdout);
    const result = await client.query({
      query: "SELECT count() AS rows, uniqExact(id) AS ids, sum(id) AS sum FROM streamed",
      format: "JSONEachRow",
    });
    const sum = (BigInt(ROWS) * BigInt(ROWS - 1)) / 2n;
    expect(await result.json()).toEqual([
      { rows: String(ROWS), ids: String(ROWS), sum: String(sum) },
    ]);
    await client.close();
    expect(told.committed).toBe(ROWS);
    // The producer was the faster one: it had to wait, again and again.
    expect(told.blocked).toBeGreaterThan(10);
    expect(told.maxRssBytes).toBeLessThan(4 * BUFFERED + 100 * MIB);
  });
});
