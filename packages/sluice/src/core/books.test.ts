import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isSluiceError } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { compose } from "../shapes/compose.ts";
import { distinct } from "../shapes/distinct.ts";
import { list } from "../shapes/list.ts";
import type { Shape } from "../shapes/shape.ts";
import { sums } from "../shapes/sums.ts";
import type { Sink } from "../sinks/sink.ts";
import { faultySink, manualClock, memorySink, seededRandom } from "../testing/index.ts";
import { type Batcher, createBatcher } from "./batcher.ts";
import type { Stats } from "./books.ts";

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => void process.on("unhandledRejection", onUnhandled));
afterEach(() => {
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled.splice(0)).toEqual([]);
});

type Random = () => number;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);
const pick = <T>(random: Random, ...values: readonly T[]): T =>
  values[below(random, values.length)] as T;

function expectBalance(stats: Stats, at: string): void {
  const { accepted, committed, deadLettered, dropped, unknown, held } = stats;
  expect(committed + deadLettered + dropped + unknown + held, at).toBe(accepted);
  for (const [account, value] of Object.entries(stats)) {
    if (typeof value === "number") expect(value, `${account} ${at}`).toBeGreaterThanOrEqual(0);
  }
}

/** One shape under test: how to draw an item, what it weighs, and what a batch weighs in the store. */
interface Subject<Item, Batch> {
  readonly shape: Shape<Item, Batch>;
  /** A positive weight is added per item; `poison` items make the store refuse them. */
  readonly item: (random: Random, weight: number, poison: boolean) => Item;
  /** How many items of the books one item is. */
  readonly items: number;
  readonly weight: (batch: Batch) => number;
  readonly poisoned: (batch: Batch) => boolean;
}

const key = (random: Random, poison: boolean): string =>
  poison ? "!" : `key ${below(random, 12)}`;
const sumShape = sums({ key: ["k"], sum: ["n"] });
const setShape = distinct({ key: ["k"], last: ["at"] });
const sumOf = (entries: readonly { readonly sums: readonly number[] }[]): number =>
  entries.reduce((sum, entry) => sum + (entry.sums[0] ?? 0), 0);
const isBad = (entries: readonly { readonly key: readonly string[] }[]): boolean =>
  entries.some((entry) => entry.key[0] === "!");

const subjectOf = {
  list: {
    shape: list<{ readonly n: number; readonly bad: boolean; readonly pad: string }>(),
    item: (random: Random, n: number, bad: boolean) => ({
      n,
      bad,
      pad: "x".repeat(below(random, 30)),
    }),
    items: 1,
    weight: (batch: readonly { readonly n: number }[]) => batch.reduce((sum, { n }) => sum + n, 0),
    poisoned: (batch: readonly { readonly bad: boolean }[]) => batch.some(({ bad }) => bad),
  },
  sums: {
    shape: sumShape,
    item: (random: Random, n: number, poison: boolean) => ({ k: key(random, poison), n }),
    items: 1,
    weight: (batch: { readonly entries: readonly { readonly sums: readonly number[] }[] }) =>
      sumOf(batch.entries),
    poisoned: (batch: { readonly entries: readonly { readonly key: readonly string[] }[] }) =>
      isBad(batch.entries),
  },
  compose: {
    shape: compose({ sum: sumShape, set: setShape, log: list<number>() }),
    item: (random: Random, n: number, poison: boolean) => ({
      sum: { k: key(random, poison), n },
      set: { k: key(random, false), at: n },
      log: n,
    }),
    items: 3,
    weight: (batch: {
      readonly sum: { readonly entries: readonly { readonly sums: readonly number[] }[] };
    }) => sumOf(batch.sum.entries),
    poisoned: (batch: {
      readonly sum: { readonly entries: readonly { readonly key: readonly string[] }[] };
    }) => isBad(batch.sum.entries),
  },
} as const;

/** Lives one random life of a batcher and checks every promise about its books on the way. */
async function live<Item, Batch>(subject: Subject<Item, Batch>, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const at = `at seed ${seed}`;
  const clock = manualClock();
  const store = memorySink<Batch>();
  const calm = random() < 0.2;
  const rate = (most: number): number => (calm ? 0 : random() * most);
  const poison = pick(random, 0, 0, 0.02, 0.3);
  const faults = {
    random,
    clock,
    fail: rate(0.3),
    loseAck: rate(0.2),
    hang: rate(0.1),
    zombie: rate(0.1),
    zombieMs: 1 + below(random, 5_000),
    poison: (batch: Batch) => (subject.poisoned(batch) ? "poison" : undefined),
  };
  const faulty = faultySink(store, faults);
  const partial = random() < 0.3;
  const sink: Sink<Batch> = {
    write: async (batch, context) => {
      // Some stores answer late, and some name entries instead of refusing the batch.
      if (random() < 0.3) {
        await new Promise<void>((resolve) => clock.schedule(resolve, below(random, 400)));
      }
      if (partial && subject.poisoned(batch) && random() < 0.5) {
        const { entries } = context.shape.size(batch);
        const refused = { index: below(random, entries + 1), cause: new Error("named") };
        return { rejected: [refused] };
      }
      return faulty.write(batch, context);
    },
  };
  const tiny = random() < 0.6;
  const maxBufferedEntries = tiny ? 3 + below(random, 20) : 50_000;
  const maxBufferedBytes = tiny ? 400 + below(random, 400) : 1_000_000;
  const limits = {
    maxEntries: 1 + below(random, tiny ? maxBufferedEntries : 60),
    maxBytes: 1 + below(random, tiny ? maxBufferedBytes : 4_000),
    maxDelayMs: pick(random, 0, 1, 50, 250, 100_000),
    maxBufferedEntries,
    maxBufferedBytes,
    overflow: pick(random, "wait", "reject", "drop-newest", "drop-oldest") as "wait",
    deliveryTimeoutMs: pick(random, 500, 5_000, 120_000, Infinity),
    writeTimeoutMs: pick(random, 50, 500),
    closeTimeoutMs: pick(random, 0, 10, 1_000, 60_000),
    retry: { baseDelayMs: pick(random, 1, 100), circuitAfter: pick(random, 1, 3, 10) },
  };
  let most = { entries: maxBufferedEntries, bytes: maxBufferedBytes };
  const check = (): void => {
    const stats = batcher.stats();
    expectBalance(stats, at);
    expect(stats.heldEntries, at).toBeLessThanOrEqual(most.entries);
    expect(stats.heldBytes, at).toBeLessThanOrEqual(most.bytes);
  };
  const letters: number[] = [];
  const events: SluiceEvent[] = [];
  const batcher: Batcher<Item, Batch> = createBatcher<Item, Batch, unknown>({
    shape: subject.shape,
    sink,
    clock,
    random,
    lanes: pick(random, 1, 1, 2, 5),
    deadLetter: ({ items }) => {
      letters.push(items);
      if (random() < 0.1) throw new Error("handler");
      return random() < 0.05 ? new Promise(() => undefined) : undefined;
    },
    observe: (event) => {
      events.push(event);
      check();
    },
    ...limits,
  });

  let weights = 0;
  const settled = new Map<Promise<unknown>, string[]>();
  const landedWeight: number[] = [];
  const track = (promise: Promise<unknown>): void => {
    const ends: string[] = [];
    settled.set(promise, ends);
    promise.then(
      () => ends.push("resolved"),
      (error: unknown) => {
        ends.push("rejected");
        expect(isSluiceError(error) || error === abortReason, `${at}: ${String(error)}`).toBe(true);
      },
    );
  };
  const abortReason = new Error("aborted by its caller");
  const signalOf = (): { signal?: AbortSignal } => {
    if (random() < 0.7) return {};
    const controller = new AbortController();
    clock.schedule(() => controller.abort(abortReason), below(random, 300));
    return { signal: controller.signal };
  };
  const steps = 20 + below(random, 120);
  for (let step = 0; step < steps; step += 1) {
    const action = random();
    const bad = random() < poison;
    const weight = 1 + below(random, 100);
    const item = subject.item(random, weight, bad);
    if (action < 0.45) {
      const burst = 1 + below(random, 6);
      for (let add = 0; add < burst; add += 1) if (batcher.tryAdd(item)) weights += weight;
    } else if (action < 0.6) {
      weights += weight;
      track(batcher.add(item, signalOf()));
    } else if (action < 0.75) {
      weights += weight;
      const delivered = batcher.deliver(item, signalOf());
      void delivered.then(
        () => landedWeight.push(weight),
        () => undefined,
      );
      track(delivered);
    } else if (action < 0.8) {
      track(batcher.flush({ ...signalOf(), timeoutMs: pick(random, 0, 100, Infinity) }));
    } else if (action < 0.84) {
      // Limits that bound what is held may fall below it; from then on only the larger one holds.
      const [entries, bytes] = [
        Math.max(3, limits.maxEntries) + below(random, 40),
        limits.maxBytes + 100 + below(random, 500),
      ];
      batcher.configure({
        maxBufferedEntries: entries,
        maxBufferedBytes: bytes,
        maxDelayMs: pick(random, 0, 10, 500),
        overflow: pick(random, "wait", "reject", "drop-newest", "drop-oldest"),
      });
      most = { entries: Math.max(most.entries, entries), bytes: Math.max(most.bytes, bytes) };
    } else {
      await clock.advance(below(random, 200));
    }
    check();
  }
  const closeTimeoutMs = limits.closeTimeoutMs;
  const startedAt = clock.now();
  const closing = batcher.close();
  track(closing);
  const ends = settled.get(closing) ?? [];
  await clock.settle();
  while (ends.length === 0 && clock.now() <= startedAt + closeTimeoutMs) {
    if (!(await clock.next())) break;
    check();
  }
  expect(ends, `close ends by its deadline ${at}`).toEqual(["resolved"]);
  const report = await closing;
  expect(report.durationMs, at).toBeLessThanOrEqual(closeTimeoutMs);
  check();
  expect(report.stats, at).toMatchObject({ held: 0, heldEntries: 0, heldBytes: 0, waiting: 0 });
  const { committed, rejected, unknown, abandoned } = report;
  expect(committed + rejected + unknown + abandoned, at).toBe(report.items);
  const handedBack = report.undelivered.reduce((sum, { items }) => sum + items, 0);
  expect(handedBack, at).toBe(unknown + abandoned);
  // What the sink left behind, zombies and stragglers, comes and changes nothing in the books.
  const { lastError: _, ...final } = batcher.stats();
  await clock.advance(1_000_000);
  expect(batcher.stats(), at).toMatchObject({ ...final, oldestAgeMs: 0 });
  expect(clock.timers, at).toBe(0);
  for (const outcomes of settled.values()) expect(outcomes, at).toHaveLength(1);
  expect(
    letters.reduce((a, b) => a + b, 0),
    at,
  ).toBe(final.deadLettered);
  // The store holds nothing invented, and all that the books call committed.
  const stored = store.applied.reduce((sum, { batch }) => sum + subject.weight(batch), 0);
  expect(stored, at).toBeLessThanOrEqual(weights);
  expect(stored, at).toBeGreaterThanOrEqual(
    landedWeight.reduce((a, b) => a + b, 0) * (partial ? 0 : 1),
  );
  const kept = store.applied.reduce((sum, { batch }) => sum + subject.shape.size(batch).items, 0);
  if (!partial && final.unknown === 0) {
    expect(kept, at).toBe(final.committed);
    if (final.deadLettered + final.dropped + final.refused === 0 && weights > 0) {
      expect(final.accepted % subject.items, at).toBe(0);
    }
  }
  if (!partial) expect(kept, at).toBeGreaterThanOrEqual(final.committed);
  const told = (type: "dropped" | "dead-lettered" | "unknown" | "committed"): number =>
    events.reduce((sum, event) => sum + (event.type === type ? event.items : 0), 0);
  expect(told("committed"), at).toBe(final.committed);
  expect(told("dropped"), at).toBe(final.dropped);
  expect(told("dead-lettered"), at).toBe(final.deadLettered);
  expect(told("unknown"), at).toBe(final.unknown);
}

describe("accepted = committed + deadLettered + dropped + unknown + held, at every instant", () => {
  const seeds = fc.integer({ min: 1, max: 2 ** 31 });
  const options = { numRuns: 30, seed: 20_261, endOnFailure: true };
  it("in any life of a list batcher", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, (seed) => live(subjectOf.list, seed)),
      options,
    );
  });
  it("in any life of a sums batcher", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, (seed) => live(subjectOf.sums, seed)),
      options,
    );
  });
  it("in any life of a composed batcher", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, (seed) => live(subjectOf.compose, seed)),
      options,
    );
  });
});

describe("with a ledger", () => {
  it("the sums in the store are the sums of what was accepted, through every passing fault", async () => {
    for (let seed = 1; seed <= 25; seed += 1) {
      const random = seededRandom(seed);
      const clock = manualClock();
      const store = memorySink<ReturnType<typeof sumShape.merge>>();
      const faults = {
        random,
        clock,
        fail: 0.2,
        loseAck: 0.2,
        hang: 0.05,
        zombie: 0.1,
        zombieMs: 3_000,
      };
      const batcher = createBatcher({
        shape: sumShape,
        sink: faultySink(store, faults),
        clock,
        random,
        lanes: 3,
        maxEntries: 4,
        writeTimeoutMs: 1_000,
      });
      const expected = new Map<string, number>();
      for (let add = 0; add < 300; add += 1) {
        const [k, n] = [`key ${below(random, 20)}`, below(random, 1_000) - 500];
        expected.set(k, (expected.get(k) ?? 0) + n);
        batcher.tryAdd({ k, n });
        if (random() < 0.1) await clock.advance(below(random, 300));
      }
      const closing = batcher.close({ timeoutMs: Infinity });
      await clock.advance(10_000_000);
      expect(await closing).toMatchObject({ unknown: 0, stats: { accepted: 300, committed: 300 } });
      const stored = new Map<string, number>();
      for (const { batch } of store.applied) {
        for (const {
          key: [k = ""],
          sums: [n = 0],
        } of batch.entries) {
          stored.set(k, (stored.get(k) ?? 0) + n);
        }
      }
      expect(stored, `seed ${seed}`).toEqual(expected);
    }
  });
});

describe("a keyed batcher through an outage of 60 s at 50,000 adds a second over 10,000 keys", () => {
  it("loses nothing, never waits, and holds memory proportional to its keys", async () => {
    const clock = manualClock();
    const keys = 10_000;
    const items = Array.from({ length: keys }, (_, index) => ({ k: `key ${index}`, n: 1 }));
    let down = true;
    let stored = 0;
    let calls = 0;
    const batcher = createBatcher({
      shape: sumShape,
      sink: (batch) => {
        calls += 1;
        if (down) throw new Error("down");
        stored += sumOf(batch.entries);
      },
      clock,
      random: seededRandom(1),
      maxEntries: 2_000,
    });
    let added = 0;
    let most = 0;
    for (let tick = 0; tick < 600; tick += 1) {
      for (let add = 0; add < 5_000; add += 1) {
        const item = items[(added * 7_919) % keys] ?? { k: "", n: 0 };
        if (!batcher.tryAdd(item)) expect.fail("an item was turned away");
        added += 1;
      }
      most = Math.max(most, batcher.stats().heldEntries);
      await clock.advance(100);
    }
    expect(batcher.stats()).toMatchObject({ accepted: added, held: added, circuit: "open" });
    expect(most).toBeLessThanOrEqual(2 * keys);
    expect(calls).toBeLessThan(60);
    down = false;
    await clock.advance(60_000);
    expect(batcher.stats()).toMatchObject({
      committed: 3_000_000,
      held: 0,
      unknown: 0,
      dropped: 0,
    });
    expect(stored).toBe(added);
  });
});
