/** Replicas, retries and late commits against a model of the store: no version ever goes back. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBatcher } from "../core/batcher.ts";
import type { Sink } from "../sinks/sink.ts";
import { faultySink, manualClock, seededRandom } from "../testing/index.ts";
import { latest } from "./latest.ts";
import type { LatestBatch } from "./latest-batch.ts";

const shape = latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" });

interface Stored {
  readonly rev: bigint;
  readonly v: unknown;
}

/** A store that applies a batch as `writeLatest` does, and notes every step back. */
function modelStore({ guarded }: { guarded: boolean }) {
  const rows = new Map<string, Stored>();
  const back: string[] = [];
  const sink: Sink<LatestBatch> = {
    write: async ({ entries }) => {
      for (const { key, version, values } of entries) {
        const k = key.join();
        const held = rows.get(k);
        if (guarded && held !== undefined && held.rev > version) continue;
        if (held !== undefined && held.rev > version) back.push(`${k}: ${held.rev} to ${version}`);
        rows.set(k, { rev: version, v: values[0] });
      }
      return undefined;
    },
  };
  return { rows, back, sink };
}

interface Scenario {
  readonly seed: number;
  readonly replicas: number;
  readonly faults: { fail: number; loseAck: number; hang: number; zombie: number };
  readonly steps: readonly { replica: number; key: number; rev: number; waitMs: number }[];
}

const scenario: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.nat(),
  replicas: fc.integer({ min: 1, max: 4 }),
  faults: fc.record({
    fail: fc.constantFrom(0, 0.2),
    loseAck: fc.constantFrom(0, 0.2),
    hang: fc.constantFrom(0, 0.1),
    zombie: fc.constantFrom(0, 0.2),
  }),
  steps: fc.array(
    fc.record({
      replica: fc.nat(3),
      key: fc.nat(3),
      rev: fc.nat(30),
      waitMs: fc.constantFrom(0, 0, 1, 5, 50, 500),
    }),
    { minLength: 1, maxLength: 40 },
  ),
});

/** Lets replicas write to one model store. */
async function play({ seed, replicas, faults, steps }: Scenario, guarded: boolean) {
  const clock = manualClock();
  const random = seededRandom(seed);
  const store = modelStore({ guarded });
  const batchers = Array.from({ length: replicas }, () =>
    createBatcher({
      shape,
      sink: faultySink(store.sink, { random, ...faults, zombieMs: 300, clock }),
      lanes: 2,
      maxEntries: 3,
      maxDelayMs: 10,
      writeTimeoutMs: 100,
      retry: { baseDelayMs: 5, maxDelayMs: 50 },
      clock,
      random,
      observe: () => undefined,
    }),
  );
  const newest = new Map<string, bigint>();
  for (const { replica, key, rev, waitMs } of steps) {
    const k = `key-${key}`;
    batchers[replica % replicas]?.tryAdd({ k, v: `of ${rev}`, rev });
    if (BigInt(rev) >= (newest.get(k) ?? -1n)) newest.set(k, BigInt(rev));
    if (waitMs > 0) await clock.advance(waitMs);
  }
  const closing = Promise.all(batchers.map((batcher) => batcher.close({ timeoutMs: Infinity })));
  await clock.advance(60_000); // zombies included
  const reports = await closing;
  return { store, newest, reports };
}

describe("no stored version ever goes back", () => {
  it("in any interleaving of batches, retries, late commits and replicas", async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (each) => {
        const { store, newest, reports } = await play(each, true);
        expect(store.back).toEqual([]);
        for (const { items, committed } of reports) expect(committed).toBe(items);
        expect(new Map([...store.rows].map(([k, { rev }]) => [k, rev]))).toEqual(newest);
        for (const { rev, v } of store.rows.values()) expect(v).toBe(`of ${rev}`);
      }),
      { numRuns: 400, seed: 1 },
    );
  });

  it("but it does in the same interleavings where the store has no guard", async () => {
    const backs = await Promise.all(
      fc.sample(scenario, { numRuns: 20, seed: 1 }).map(async (each) => {
        const { store } = await play(each, false);
        return store.back.length;
      }),
    );
    expect(backs.filter((count) => count > 0).length).toBeGreaterThan(5);
  });
});
