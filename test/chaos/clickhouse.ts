/** Many writers into chDB behind its HTTP interface, where answers are cut, come late or not at all. */
import { createClient } from "@clickhouse/client";
import { createRowBatcher, String as Text, UInt64 } from "sluice/clickhouse";
import type { Random } from "sluice";
import { seededRandom } from "sluice/testing";
import type { Chdb } from "../integration/chdb.ts";
import { openClickHouseFace } from "../integration/clickhouse-face.ts";
import { openProxy } from "../integration/proxy.ts";
import { rowDifferences, textOf } from "./tally.ts";

const WRITERS = 6;
const LANES = 2;
const ROWS_PER_BATCH = 5;
const WRITE_TIMEOUT_MS = 1_000;

/**
 * What becomes of an insert. `lost`: it is done, and its answer is not sent. `never`: it does not arrive.
 * `late`: it is done when its writer has given it up. The others: it is done, and a connection is cut
 * within the next bytes of what servers answer, or of what clients ask.
 */
const FATES = ["pass", "lost", "never", "late", "answer cut", "request cut"] as const;
type Fate = (typeof FATES)[number];

export interface InsertOptions {
  readonly chdb: Chdb;
  readonly seed: number;
  /** How many batches all writers write together. */
  readonly batches: number;
  readonly onProgress?: (inserts: number) => void;
}

export interface InsertReport {
  readonly writers: number;
  readonly batches: number;
  readonly rows: number;
  readonly retries: number;
  readonly struck: Readonly<Record<Fate, number>>;
  /** Connections that were cut. */
  readonly cuts: number;
  readonly drift: readonly string[];
  readonly durationMs: number;
}

export async function insertThroughFaults(options: InsertOptions): Promise<InsertReport> {
  const { chdb, seed, batches, onProgress } = options;
  const started = performance.now();
  await chdb.query(
    `CREATE TABLE chaos (id UInt64, v String) ENGINE = MergeTree ORDER BY id
     SETTINGS non_replicated_deduplication_window = 10000`,
  );
  const face = await openClickHouseFace(chdb);
  const proxy = await openProxy(face.url);
  // One for each insert that arrives while there are any; repeated ones that come later get through.
  const random = seededRandom(seed);
  const fates = Array.from({ length: batches }, () => drawFate(random));
  const struck = Object.fromEntries(FATES.map((fate) => [fate, 0])) as Record<Fate, number>;
  let inserts = 0;
  face.fault = ({ query }) => {
    if (!query.startsWith("INSERT")) return undefined;
    const { fate, amount } = fates[inserts] ?? { fate: "pass", amount: 0 };
    inserts += 1;
    struck[fate] += 1;
    onProgress?.(inserts);
    switch (fate) {
      case "lost":
        return "drop-after";
      case "never":
        return "drop-before";
      case "late":
        return `delay:${Math.round(WRITE_TIMEOUT_MS * (1 + amount / 2))}`;
      case "answer cut":
        proxy.tear("server", Math.floor(amount * 300));
        return undefined;
      case "request cut":
        proxy.tear("client", Math.floor(amount * 2_000));
        return undefined;
      case "pass":
        return undefined;
    }
  };

  const tally = new Map<string, string>();
  const write = async (writer: number): Promise<{ batches: number; retries: number }> => {
    const client = createClient({ url: proxy.url, log: { level: 127 } });
    const batcher = createRowBatcher(client, {
      name: `writer ${writer}`,
      table: "chaos",
      columns: { id: UInt64, v: Text },
      strict: true,
      lanes: LANES,
      maxEntries: ROWS_PER_BATCH,
      maxDelayMs: 1_000,
      writeTimeoutMs: WRITE_TIMEOUT_MS,
      retry: { baseDelayMs: 1, maxDelayMs: 20, circuitAfter: 100_000 },
    });
    for (let added = 0; added < (batches / WRITERS) * ROWS_PER_BATCH; added += 1) {
      const id = added * WRITERS + writer;
      await batcher.insert({ id, v: textOf(id) });
      tally.set(String(id), textOf(id));
    }
    const { stats } = await batcher.close({ timeoutMs: 120_000 });
    await client.close();
    return stats;
  };
  const all = await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  await proxy.close();
  await face.close(); // also waits for what comes late
  const landed = await chdb.query("SELECT toString(id) AS id, v FROM chaos");
  const rows = landed.map(({ id, v }) => [String(id), String(v)] as const);
  return {
    writers: WRITERS,
    batches: all.reduce((n, stats) => n + stats.batches, 0),
    rows: tally.size,
    retries: all.reduce((n, stats) => n + stats.retries, 0),
    struck,
    cuts: proxy.struck.torn,
    drift: rowDifferences(rows, tally),
    durationMs: Math.round(performance.now() - started),
  };
}

/** What an insert suffers, and how much of it: from 0 to 1. */
function drawFate(random: Random): { readonly fate: Fate; readonly amount: number } {
  const [chance, amount] = [random(), random()];
  const fates = [0.2, 0.3, 0.32, 0.47, 0.55].findIndex((limit) => chance < limit);
  return { fate: FATES[fates + 1] ?? "pass", amount };
}
