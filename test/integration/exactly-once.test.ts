/** Exactly once, whatever happens to connections and whenever it happens. */
import { describe, expect, it } from "vitest";
import { createBatcher, type Stats, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { connectors, freshDatabase, openEye } from "./database.ts";
import { openProxy, startKilling } from "./proxy.ts";

const WRITERS = 4;
const LANES = 2;
const KEYS = 200;

interface Outcome {
  /** Items in the table beyond those that were added; negative: lost. */
  readonly drift: number;
  /** Keys whose sum is not what was added. */
  readonly wrongKeys: number;
  readonly faults: number;
  readonly batches: number;
  readonly committed: number;
  readonly duplicates: number;
  readonly retries: number;
}

/** Writes `batches` batches while connections are killed, cut and deafened. */
async function storm(
  connector: keyof typeof connectors,
  { batches, ledger, seed }: { batches: number; ledger: boolean; seed: number },
): Promise<Outcome> {
  const url = await freshDatabase();
  const eye = await openEye(url);
  const proxy = await openProxy(url);
  const random = seededRandom(seed);
  const direct = connectors[connector](url, 2);
  await migrate(direct.driver, sumsDdl({ table: "usage", key: ["client"], sum: ["n"] }));
  await direct.end();

  proxy.fate = ({ from, commit }) => {
    const chance = random();
    if (from === "server") return commit && chance < 0.08 ? "cut" : "pass";
    if (commit) return chance < 0.05 ? "deafen" : chance < 0.08 ? "cut" : "pass";
    return chance < 0.005 ? "cut" : chance < 0.01 ? "deafen" : "pass";
  };
  const stopKilling = startKilling(eye.query, random, 15);

  const expected = new Map<string, number>();
  const run = async (writer: number): Promise<Stats> => {
    const { driver, end } = connectors[connector](proxy.url, LANES);
    const pick = seededRandom(seed * 100 + writer);
    const batcher = createBatcher({
      name: `writer-${writer}`,
      shape: sums({ key: ["client"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "usage", ...(ledger ? {} : { ledger: false }) }),
      lanes: LANES,
      maxEntries: 8,
      maxDelayMs: 0,
      maxBufferedEntries: 32,
      writeTimeoutMs: 2_000,
      retry: { baseDelayMs: 1, maxDelayMs: 20, circuitAfter: 1_000 },
    });
    while (batcher.stats().batches < batches / WRITERS) {
      const client = `client-${Math.floor(pick() * KEYS)}`;
      const n = 1 + Math.floor(pick() * 9);
      // Some at once and then a pause: batches of one entry and of many.
      if (pick() < 0.75) {
        if (!batcher.tryAdd({ client, n })) continue;
      } else {
        await batcher.add({ client, n });
      }
      expected.set(client, (expected.get(client) ?? 0) + n);
    }
    const { stats } = await batcher.close();
    expect(stats.accepted).toBe(stats.committed);
    await end();
    return stats;
  };
  const all = await Promise.all(Array.from({ length: WRITERS }, (_, writer) => run(writer)));
  const killed = await stopKilling();
  await proxy.close();

  const rows = await eye.query("SELECT client, n::int FROM usage");
  const ledgerRows = await eye.query("SELECT writer, seq::int FROM sluice_ledger");
  await eye.close();
  const landed = new Map(rows.map(({ client, n }) => [String(client), Number(n)]));
  const total = (sums: Map<string, number>): number =>
    [...sums.values()].reduce((a, b) => a + b, 0);
  const sum = (field: "batches" | "committed" | "duplicates" | "retries"): number =>
    all.reduce((n, stats) => n + stats[field], 0);
  // One row per lane, whatever happened, and its seq is the number of its batches.
  if (ledger) {
    expect(ledgerRows).toHaveLength(WRITERS * LANES);
    expect(ledgerRows.reduce((n, { seq }) => n + Number(seq), 0)).toBe(sum("batches"));
  }
  return {
    drift: total(landed) - total(expected),
    wrongKeys: [...expected].filter(([client, n]) => landed.get(client) !== n).length,
    faults: killed + proxy.struck.cut + proxy.struck.deafen,
    batches: sum("batches"),
    committed: sum("committed"),
    duplicates: sum("duplicates"),
    retries: sum("retries"),
  };
}

describe.each(["pg", "postgres"] as const)("with %s, under kills", (connector) => {
  it("2,000 batches land exactly once", async () => {
    const outcome = await storm(connector, { batches: 2_000, ledger: true, seed: 1 });
    expect(outcome).toMatchObject({ drift: 0, wrongKeys: 0 });
    expect(outcome.batches).toBeGreaterThanOrEqual(2_000);
    expect(outcome.faults).toBeGreaterThan(300);
    expect(outcome.duplicates).toBeGreaterThan(20);
  });

  it("without the ledger the same faults make the sums drift", async () => {
    const outcome = await storm(connector, { batches: 400, ledger: false, seed: 2 });
    expect(outcome.drift).toBeGreaterThan(0);
    expect(outcome.duplicates).toBe(0);
  });
});
