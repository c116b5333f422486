import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { list } from "../shapes/list.ts";
import { sums } from "../shapes/sums.ts";
import type { Sink, WriteContext, WriteResult } from "../sinks/sink.ts";
import { manualClock, memorySink, seededRandom } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";

type Sealed = Extract<SluiceEvent, { type: "sealed" }>;

/** A batcher of texts, each of which counts for its length in bytes, and what it seals. */
function gather(options: Record<string, unknown> = {}) {
  const clock = manualClock();
  const sealed: Sealed[] = [];
  const sink = memorySink<readonly string[]>();
  const batcher = createBatcher({
    shape: list<string>(),
    sink,
    clock,
    random: () => 0,
    observe: (event) => {
      if (event.type === "sealed") sealed.push(event);
    },
    ...options,
  });
  const landed = (): string[] => sink.applied.map(({ batch }) => batch.join(""));
  const reasons = (): string[] => sealed.map(({ reason }) => reason);
  return { batcher, clock, sealed, sink, landed, reasons };
}

describe("a batch leaves for one of five reasons", () => {
  it("entries: as soon as it holds maxEntries", async () => {
    const { batcher, clock, landed, reasons } = gather({ maxEntries: 3 });
    for (const text of "abcdefg") expect(batcher.tryAdd(text)).toBe(true);
    await clock.settle();
    expect(landed()).toEqual(["abc", "def"]);
    expect(reasons()).toEqual(["entries", "entries"]);
    expect(batcher.stats()).toMatchObject({ held: 1, heldEntries: 1, committed: 6 });
  });

  it("bytes: before it would hold more than maxBytes", async () => {
    const { batcher, clock, landed, sealed } = gather({ maxBytes: 5 });
    for (const text of ["aa", "bb", "cc"]) batcher.tryAdd(text);
    await clock.settle();
    expect(landed()).toEqual(["aabb"]);
    expect(sealed[0]).toMatchObject({ reason: "bytes", bytes: 4, entries: 2, items: 2 });
  });

  it("bytes: at once when it holds exactly maxBytes", async () => {
    const { batcher, clock, landed, reasons } = gather({ maxBytes: 4 });
    for (const text of ["aa", "bb"]) batcher.tryAdd(text);
    await clock.settle();
    expect(landed()).toEqual(["aabb"]);
    expect(reasons()).toEqual(["bytes"]);
  });

  it("delay: when its first item is maxDelayMs old", async () => {
    const { batcher, clock, landed, sealed } = gather({ maxDelayMs: 100 });
    batcher.tryAdd("a");
    await clock.advance(99);
    expect(landed()).toEqual([]);
    await clock.advance(1);
    expect(landed()).toEqual(["a"]);
    expect(sealed[0]).toMatchObject({ reason: "delay", ageMs: 100 });
  });

  it("flush: when somebody asks", async () => {
    const { batcher, landed, reasons } = gather();
    batcher.tryAdd("a");
    await batcher.flush();
    expect(landed()).toEqual(["a"]);
    expect(reasons()).toEqual(["flush"]);
  });

  it("close: when it is the last", async () => {
    const { batcher, landed, reasons } = gather();
    batcher.tryAdd("a");
    await batcher.close();
    expect(landed()).toEqual(["a"]);
    expect(reasons()).toEqual(["close"]);
  });
});

describe("the age of a batch", () => {
  it("runs from its first item and is not restarted by later ones", async () => {
    const { batcher, clock, landed, sealed } = gather({ maxDelayMs: 100 });
    for (const text of "abcde") {
      batcher.tryAdd(text);
      await clock.advance(24);
    }
    await clock.advance(4);
    expect(landed()).toEqual(["abcde"]);
    expect(sealed[0]?.ageMs).toBe(100);
  });

  it("runs from its own first item, not from that of the batch before", async () => {
    const { batcher, clock, sealed } = gather({ maxDelayMs: 100, maxEntries: 2 });
    batcher.tryAdd("a");
    await clock.advance(60);
    batcher.tryAdd("b");
    batcher.tryAdd("c");
    await clock.advance(99);
    expect(sealed.map(({ ageMs }) => ageMs)).toEqual([60]);
    await clock.advance(1);
    expect(sealed.map(({ ageMs }) => ageMs)).toEqual([60, 100]);
  });

  it("goes on while another batch is in flight", async () => {
    const clock = manualClock();
    const answers: (() => void)[] = [];
    const batcher = createBatcher({
      shape: list<string>(),
      sink: () => new Promise<void>((resolve) => answers.push(resolve)),
      clock,
      random: () => 0,
      maxDelayMs: 100,
    });
    batcher.tryAdd("a");
    await clock.advance(100);
    batcher.tryAdd("b");
    await clock.advance(500);
    expect(answers).toHaveLength(1);
    answers[0]?.();
    await clock.settle();
    expect(answers).toHaveLength(2);
  });

  it("of the oldest gathered item is in the stats", async () => {
    const { batcher, clock } = gather({ maxDelayMs: 100 });
    expect(batcher.stats().oldestAgeMs).toBe(0);
    batcher.tryAdd("a");
    await clock.advance(30);
    batcher.tryAdd("b");
    await clock.advance(10);
    expect(batcher.stats().oldestAgeMs).toBe(40);
  });

  it("ends up to a tenth early by chance, and never later than maxDelayMs", async () => {
    const ages: number[] = [];
    const random = seededRandom(7);
    for (let run = 0; run < 100; run += 1) {
      const { batcher, clock, sealed } = gather({ maxDelayMs: 1_000, random });
      batcher.tryAdd("a");
      batcher.tryAdd("b");
      await clock.next();
      ages.push(sealed[0]?.ageMs ?? Number.NaN);
    }
    expect(Math.min(...ages)).toBeGreaterThanOrEqual(900);
    expect(Math.max(...ages)).toBeLessThanOrEqual(1_000);
    expect(Math.max(...ages) - Math.min(...ages)).toBeGreaterThan(80);
  });

  it("with maxDelayMs 0 ends with the running code: items of one turn share a batch", async () => {
    const { batcher, clock, landed, reasons } = gather({ maxDelayMs: 0 });
    batcher.tryAdd("a");
    batcher.tryAdd("b");
    expect(landed()).toEqual([]);
    await clock.settle();
    batcher.tryAdd("c");
    await clock.settle();
    expect(landed()).toEqual(["ab", "c"]);
    expect(reasons()).toEqual(["delay", "delay"]);
    expect(clock.now()).toBe(0);
    expect(clock.timers).toBe(0);
  });
});

describe("idle means no timers", () => {
  it("before the first item, after the last batch and after close", async () => {
    const { batcher, clock } = gather({ maxDelayMs: 100 });
    expect(clock.timers).toBe(0);
    batcher.tryAdd("a");
    batcher.tryAdd("b");
    expect(clock.timers).toBe(1);
    await clock.advance(100);
    expect(clock.timers).toBe(0);
    batcher.tryAdd("c");
    await batcher.flush();
    expect(clock.timers).toBe(0);
    await batcher.close();
    expect(clock.timers).toBe(0);
  });
});

describe("an item that is large", () => {
  it("goes alone when it is larger than maxBytes", async () => {
    const { batcher, clock, landed } = gather({ maxBytes: 4 });
    for (const text of ["a", "bbbbbbbb", "c", "d"]) expect(batcher.tryAdd(text)).toBe(true);
    await clock.settle();
    expect(landed()).toEqual(["a", "bbbbbbbb"]);
    await batcher.flush();
    expect(landed()).toEqual(["a", "bbbbbbbb", "cd"]);
  });

  it("is refused when it is larger than maxBufferedBytes, and nothing is touched", async () => {
    const { batcher } = gather({ maxBytes: 4, maxBufferedBytes: 8 });
    batcher.tryAdd("a");
    const before = batcher.stats();
    const tooLarge = expect.objectContaining({ code: "SLUICE_ERR_ITEM_TOO_LARGE" });
    expect(() => batcher.tryAdd("123456789")).toThrow(tooLarge);
    await expect(batcher.add("123456789")).rejects.toEqual(tooLarge);
    await expect(batcher.deliver("123456789")).rejects.toEqual(tooLarge);
    expect(batcher.stats()).toEqual(before);
  });

  it("is refused at once though others wait for room, and costs nobody a place", async () => {
    for (const overflow of ["wait", "drop-oldest"] as const) {
      const clock = manualClock();
      const batcher = createBatcher({
        shape: list<string>(),
        sink: () => new Promise(() => undefined),
        clock,
        maxBytes: 4,
        maxBufferedBytes: 8,
      });
      batcher.tryAdd("1234");
      await clock.settle();
      batcher.tryAdd("5678");
      const waiting = batcher.add("w");
      waiting.catch(() => undefined);
      batcher.configure({ overflow });
      const before = batcher.stats();
      const tooLarge = expect.objectContaining({ code: "SLUICE_ERR_ITEM_TOO_LARGE" });
      expect(() => batcher.tryAdd("123456789")).toThrow(tooLarge);
      await expect(batcher.add("123456789")).rejects.toEqual(tooLarge);
      expect(batcher.stats()).toEqual(before);
      await Promise.all([batcher.close({ timeoutMs: 0 }), clock.advance(0)]);
    }
  });
});

describe("a lane", () => {
  it("has at most one batch in flight, and keeps the order", async () => {
    const clock = manualClock();
    const landed: string[] = [];
    let inFlight = 0;
    const answers: (() => void)[] = [];
    const batcher = createBatcher({
      shape: list<string>(),
      sink: async (batch) => {
        inFlight += 1;
        expect(inFlight).toBe(1);
        await new Promise<void>((resolve) => answers.push(resolve));
        landed.push(...batch);
        inFlight -= 1;
      },
      clock,
      maxEntries: 2,
    });
    for (const text of "abcdefgh") batcher.tryAdd(text);
    for (let call = 0; call < 4; call += 1) {
      await clock.settle();
      expect(answers).toHaveLength(call + 1);
      answers[call]?.();
    }
    await clock.settle();
    expect(landed.join("")).toBe("abcdefgh");
  });

  it("numbers its batches 1, 2, 3, … under a writer that no other lane has", async () => {
    const { batcher, clock, sink } = gather({ maxEntries: 1, lanes: 3, name: "usage" });
    for (const text of "abcdef") batcher.tryAdd(text);
    await clock.settle();
    const writers = new Map<string, number[]>();
    for (const { id } of sink.applied) {
      writers.set(id.writer, [...(writers.get(id.writer) ?? []), id.seq]);
      expect(id.writer.startsWith("usage:")).toBe(true);
    }
    expect(writers.size).toBe(3);
    expect([...writers.values()]).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    const other = gather({ maxEntries: 1, name: "usage" });
    other.batcher.tryAdd("a");
    await other.clock.settle();
    expect(writers.has(other.sink.applied[0]?.id.writer ?? "")).toBe(false);
  });

  it("always gets the same keys, whatever the order", async () => {
    const clock = manualClock();
    const laneOf = new Map<string, string>();
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: (batch, { id }) => {
        for (const { key } of batch.entries) {
          const [k = ""] = key;
          expect(laneOf.get(k) ?? id.writer).toBe(id.writer);
          laneOf.set(k, id.writer);
        }
      },
      clock,
      lanes: 4,
    });
    const random = seededRandom(3);
    for (let round = 0; round < 20; round += 1) {
      for (let add = 0; add < 50; add += 1) {
        batcher.tryAdd({ k: `key ${Math.floor(random() * 40)}`, n: 1 });
      }
      await batcher.flush();
    }
    expect(new Set(laneOf.values()).size).toBe(4);
    expect(batcher.stats().committed).toBe(1_000);
  });

  it("flushes independently of the others", async () => {
    const clock = manualClock();
    const calls: { writer: string; resolve: () => void }[] = [];
    const sink: Sink<readonly string[]> = {
      write: (_batch: readonly string[], { id }: WriteContext<readonly string[]>) =>
        new Promise<WriteResult | undefined>((resolve) => {
          calls.push({ writer: id.writer, resolve: () => resolve(undefined) });
        }),
    };
    const batcher = createBatcher({ shape: list<string>(), sink, clock, lanes: 2, maxEntries: 1 });
    for (const text of "abcd") batcher.tryAdd(text);
    await clock.settle();
    expect(calls).toHaveLength(2);
    calls[1]?.resolve();
    await clock.settle();
    expect(calls.map(({ writer }) => writer)).toEqual([
      calls[0]?.writer,
      calls[1]?.writer,
      calls[1]?.writer,
    ]);
  });
});

describe("for any items and limits", () => {
  it("batches keep to maxEntries and maxBytes, keep the order and lose nothing", async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 20 }),
        async (lengths, maxEntries, maxBytes) => {
          const { batcher, landed, sink, sealed } = gather({ maxEntries, maxBytes });
          const texts = lengths.map((length, index) =>
            String.fromCharCode(97 + (index % 26)).repeat(length),
          );
          for (const text of texts) batcher.tryAdd(text);
          await batcher.close();
          expect(sink.applied.flatMap(({ batch }) => batch)).toEqual(texts);
          expect(landed().join("")).toBe(texts.join(""));
          for (const { entries, bytes } of sealed) {
            expect(entries).toBeLessThanOrEqual(maxEntries);
            if (entries > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
          }
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  });
});
