/** A store that is away for ten minutes while items keep coming, whatever they are. */
import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import { scriptedCoalescer } from "../../../../test/support/scripted-coalescer.ts";
import { isSluiceError, retryable } from "../errors.ts";
import { UInt32 } from "../shapes/row-binary/numbers.ts";
import { latest } from "../shapes/latest.ts";
import { list } from "../shapes/list.ts";
import { rows } from "../shapes/rows.ts";
import type { Shape } from "../shapes/shape.ts";
import { sums } from "../shapes/sums.ts";
import { manualClock, seededRandom } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import type { DeadLetter, Overflow } from "./options.ts";

const AWAY_MS = 600_000;
const TICK_MS = 1_000;
const PER_TICK = 100;
const ITEMS = (AWAY_MS / TICK_MS) * PER_TICK;

/** No pause between probes is longer, so that everything lands within as much of the store's return. */
const LONGEST_PAUSE_MS = 30_000;

/** With the default pauses: those before a circuit opens, and then one probe after each pause. */
const PROBES = 120;

const away = (): Error => retryable("connection refused", { ambiguous: false });

/** Adds items all the time while the store is away, and lets it come back. */
async function throughOutage<Item, Batch, Entry>(
  shape: Shape<Item, Batch, Entry>,
  itemAt: (n: number) => Item,
  options: { maxBufferedEntries: number; overflow?: Overflow },
) {
  const clock = manualClock();
  const landed: Entry[] = [];
  const letters: DeadLetter<Entry>[] = [];
  let [down, attempts] = [true, 0];
  const batcher = createBatcher<Item, Batch, Entry>({
    shape,
    sink: (batch) => {
      attempts += 1;
      if (down) throw away();
      const { entries } = shape.size(batch);
      for (let at = 0; at < entries; at += 1) landed.push(shape.entryAt(batch, at));
    },
    clock,
    random: seededRandom(1),
    deadLetter: (letter) => letters.push(letter),
    ...options,
  });
  const taken: number[] = [];
  let most = { entries: 0, bytes: 0 };
  for (let n = 0; n < ITEMS; ) {
    for (const until = n + PER_TICK; n < until; n += 1) {
      if (batcher.tryAdd(itemAt(n))) taken.push(n);
    }
    const { heldEntries, heldBytes } = batcher.stats();
    most = {
      entries: Math.max(most.entries, heldEntries),
      bytes: Math.max(most.bytes, heldBytes),
    };
    await clock.advance(TICK_MS);
  }
  const during = batcher.stats();
  const probes = attempts;
  down = false;
  await clock.advance(LONGEST_PAUSE_MS + 1_000);
  const { stats } = await batcher.close();
  expect(during.circuit).toBe("open");
  expect(probes).toBeLessThan(PROBES);
  expect(most.entries).toBeLessThanOrEqual(options.maxBufferedEntries);
  expect(stats).toMatchObject({ circuit: "closed", held: 0, unknown: 0 });
  expect(stats.accepted).toBe(stats.committed + stats.deadLettered + stats.dropped);
  return { stats, during, landed, letters, taken, most };
}

describe("a store that is away for ten minutes", () => {
  const KEYS = 500;
  const keyed = { maxBufferedEntries: 2 * KEYS, overflow: "reject" } as const;

  it("costs counters nothing, and memory for their keys", async () => {
    const shape = sums({ key: ["k"], sum: ["n"] });
    const itemAt = (n: number) => ({ k: `key ${n % KEYS}`, n: 1 });
    const { stats, during, landed, most } = await throughOutage(shape, itemAt, keyed);
    expect(during).toMatchObject({ accepted: ITEMS, held: ITEMS });
    expect(stats).toMatchObject({ committed: ITEMS, refused: 0 });
    const counts = new Map<unknown, number>();
    for (const { k, n } of landed) counts.set(k, (counts.get(k) ?? 0) + Number(n));
    expect([...counts.values()]).toEqual(Array.from({ length: KEYS }, () => ITEMS / KEYS));
    expect(most.bytes).toBeLessThan(100 * KEYS);
  });

  it("costs no newest value, and memory for their keys", async () => {
    const shape = latest({ key: ["k"], value: ["v"], version: "at", versionType: "number" });
    const itemAt = (n: number) => ({ k: `key ${n % KEYS}`, v: `value ${n}`, at: n });
    const { stats, during, landed, most } = await throughOutage(shape, itemAt, keyed);
    expect(during).toMatchObject({ accepted: ITEMS, held: ITEMS });
    expect(stats).toMatchObject({ committed: ITEMS, refused: 0 });
    const newest = new Map(landed.map(({ k, v }) => [k, v]));
    expect(newest).toEqual(
      new Map(Array.from({ length: KEYS }, (_, k) => [`key ${k}`, `value ${ITEMS - KEYS + k}`])),
    );
    expect(most.bytes).toBeLessThan(100 * KEYS);
  });

  describe.each(["reject", "drop-newest", "drop-oldest"] as const)(
    "with overflow %s",
    (overflow) => {
      const BATCH = 1_000;
      const ROOM = 5 * BATCH;
      /** The default; a batch that waits for the store to come back may run out of time as it does. */
      const DELIVERY_TIMEOUT_MS = 120_000;
      const EXPIRED = Math.floor((AWAY_MS + LONGEST_PAUSE_MS) / DELIVERY_TIMEOUT_MS);

      const through = async <Batch>(
        shape: Shape<{ readonly id: number }, Batch, { readonly id: number }>,
      ): Promise<void> => {
        const options = { maxBufferedEntries: ROOM, overflow };
        const { stats, landed, letters, taken } = await throughOutage(
          shape,
          (id) => ({ id }),
          options,
        );
        expect(letters.length).toBe(stats.deadLettered);
        expect(letters.length).toBeGreaterThan(0);
        expect(letters.length).toBeLessThanOrEqual(EXPIRED * BATCH);
        expect(letters.every(({ outcome }) => outcome === "expired")).toBe(true);
        // What was full when the store came back has landed.
        expect(landed.length).toBeGreaterThanOrEqual(ROOM - BATCH);
        const settled = [...landed, ...letters.map(({ entry }) => entry)].map(({ id }) => id);
        expect(new Set(settled).size).toBe(settled.length);
        expect(stats.refused + stats.dropped).toBe(ITEMS - settled.length);
        if (overflow === "reject") expect(settled.toSorted((a, b) => a - b)).toEqual(taken);
      };

      it("costs a list a batch for each deliveryTimeoutMs, handed back, and what finds no room", () =>
        through(list<{ readonly id: number }>()));

      it("costs rows a batch for each deliveryTimeoutMs, handed back, and what finds no room", () =>
        through(rows({ id: UInt32 })));
    },
  );

  it("fails callers within deliveryTimeoutMs, and answers the first who asks when it is back", async () => {
    const DELIVERY_TIMEOUT_MS = 30_000;
    let [down, calls] = [true, 0];
    const { clock, coalescer } = scriptedCoalescer({
      resolve: async (group, keys) => {
        calls += 1;
        if (down) throw away();
        return keys.map((key) => `${group}/${key}`);
      },
      random: seededRandom(1),
    });
    const ends: { readonly code: unknown; readonly afterMs: number }[] = [];
    for (let key = 0; key < AWAY_MS / 1_000; key += 1) {
      const asked = clock.now();
      coalescer.load({ group: `user ${key % 7}`, key }).catch((error: unknown) => {
        const code = isSluiceError(error) ? error.code : error;
        ends.push({ code, afterMs: clock.now() - asked });
      });
      await clock.advance(1_000);
    }
    const callsMade = calls;
    await clock.advance(DELIVERY_TIMEOUT_MS);
    expect(ends).toHaveLength(AWAY_MS / 1_000);
    expect(new Set(ends.map(({ code }) => code))).toEqual(new Set(["SLUICE_ERR_CALL_UNANSWERED"]));
    expect(Math.max(...ends.map(({ afterMs }) => afterMs))).toBeLessThanOrEqual(
      DELIVERY_TIMEOUT_MS,
    );
    // There is no circuit between calls: each of them is tried again after growing pauses.
    expect(callsMade).toBeLessThan(12 * ends.length);
    down = false;
    const answer = follow(coalescer.load({ group: "user 1", key: 1 }));
    await clock.advance(DELIVERY_TIMEOUT_MS);
    expect(answer.value).toBe("user 1/1");
    expect(coalescer.stats()).toMatchObject({
      answered: 1,
      failed: AWAY_MS / 1_000,
      pending: 0,
      held: 0,
    });
    expect(clock.timers).toBe(0);
  });
});
