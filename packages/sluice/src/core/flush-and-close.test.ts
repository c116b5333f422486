import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import { rejected, retryable } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { calls } from "../shapes/calls.ts";
import { list } from "../shapes/list.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import type { Limits } from "./options.ts";

const CLOSED = expect.objectContaining({
  code: "SLUICE_ERR_BATCHER_CLOSED",
  disposition: "closed",
});

interface Call {
  readonly batch: readonly string[];
  readonly signal: AbortSignal;
  resolve(): void;
  reject(error: unknown): void;
}

/** A batcher of texts before a store that answers each call when and how the test says. */
function scripted(
  options: Limits & { lanes?: number; deadLetter?: (letter: unknown) => unknown } = {},
) {
  const clock = manualClock();
  const calls: Call[] = [];
  const events: SluiceEvent[] = [];
  const batcher = createBatcher({
    shape: list<string>(),
    sink: (batch, { signal }) =>
      new Promise<void>((resolve, reject) => calls.push({ batch, signal, resolve, reject })),
    clock,
    random: () => 0.5,
    observe: (event) => events.push(event),
    ...options,
  });
  return { batcher, clock, calls, events };
}

describe("flush", () => {
  it("of nothing resolves at once, with figures of nothing", async () => {
    const { batcher, clock } = scripted();
    const zeros = { items: 0, entries: 0, bytes: 0, batches: 0, committed: 0, attempts: 0 };
    expect(await batcher.flush()).toMatchObject({ ...zeros, durationMs: 0, batchAgeMs: 0 });
    expect(clock.timers).toBe(0);
  });

  it("waits for what is in flight, what is gathered and every retry, and gives the figures", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 2 });
    for (const text of "abc") batcher.tryAdd(text);
    await clock.advance(10);
    const flushed = batcher.flush();
    const state = follow(flushed);
    calls[0]?.reject(retryable("down"));
    await clock.settle();
    await clock.advance(50);
    expect(calls).toHaveLength(2);
    calls[1]?.resolve();
    await clock.settle();
    expect(state.settled).toBe("pending");
    calls[2]?.resolve();
    expect(await flushed).toEqual({
      items: 3,
      entries: 3,
      bytes: 3,
      batches: 2,
      committed: 3,
      deadLettered: 0,
      dropped: 0,
      unknown: 0,
      attempts: 3,
      durationMs: 50,
      batchAgeMs: 60,
    });
  });

  it("covers what was accepted before and nothing that came later", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 10 });
    batcher.tryAdd("a");
    const flushed = batcher.flush();
    batcher.tryAdd("later");
    await clock.settle();
    calls[0]?.resolve();
    expect(await flushed).toMatchObject({ items: 1, committed: 1, batches: 1 });
    expect(calls.map(({ batch }) => batch)).toEqual([["a"]]);
    expect(batcher.stats().held).toBe(1);
  });

  it("covers every lane", async () => {
    const { batcher, clock, calls } = scripted({ lanes: 3 });
    for (const text of "abc") batcher.tryAdd(text);
    const flushed = batcher.flush();
    await clock.settle();
    expect(calls).toHaveLength(3);
    for (const { resolve } of calls) resolve();
    expect(await flushed).toMatchObject({ items: 3, batches: 3 });
  });

  it("may be called many times at once; each is told the same", async () => {
    const { batcher, clock, calls } = scripted();
    for (const text of "ab") batcher.tryAdd(text);
    const flushes = [batcher.flush(), batcher.flush(), batcher.flush()];
    await clock.settle();
    calls[0]?.resolve();
    const stats = await Promise.all(flushes);
    expect(stats.map(({ items }) => items)).toEqual([2, 2, 2]);
    expect(calls).toHaveLength(1);
  });

  it("rejects with the figures when something it covered did not land", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 1 });
    for (const text of "ab") batcher.tryAdd(text);
    const flushed = follow(batcher.flush());
    await clock.settle();
    calls[0]?.reject(rejected("poison"));
    await clock.settle();
    calls[1]?.resolve();
    await clock.settle();
    expect(flushed.error).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      disposition: "incomplete",
      message: "1 of 2 items did not land: 1 dead-lettered",
      report: { items: 2, committed: 1, deadLettered: 1, batches: 2 },
      cause: { code: "SLUICE_ERR_DELIVERY_REJECTED" },
    });
  });

  it("stops waiting after timeoutMs, with figures; delivery goes on", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 1 });
    for (const text of "ab") batcher.tryAdd(text);
    const flushed = follow(batcher.flush({ timeoutMs: 20 }));
    await clock.settle();
    calls[0]?.resolve();
    await clock.advance(19);
    expect(flushed.settled).toBe("pending");
    await clock.advance(1);
    expect(flushed.error).toMatchObject({
      code: "SLUICE_ERR_FLUSH_TIMEOUT",
      report: { items: 1, committed: 1, durationMs: 20 },
    });
    calls[1]?.resolve();
    await clock.settle();
    expect(batcher.stats().committed).toBe(2);
    expect(clock.timers).toBe(0);
  });

  it("with a bad timeoutMs changes nothing", async () => {
    const { batcher, clock, calls } = scripted();
    batcher.tryAdd("a");
    for (const timeoutMs of [-1, Number.NaN]) {
      await expect(batcher.flush({ timeoutMs })).rejects.toMatchObject({
        code: "SLUICE_ERR_OPTION_INVALID",
        message: `timeoutMs must be milliseconds from 0 to Infinity; received ${timeoutMs}`,
      });
      await expect(batcher.close({ timeoutMs })).rejects.toThrow(/timeoutMs must be/);
    }
    await clock.settle();
    expect(calls).toHaveLength(0);
    expect(batcher.tryAdd("b")).toBe(true);
  });

  it("after close has nothing left to do", async () => {
    const { batcher } = scripted();
    await batcher.close();
    expect(await batcher.flush()).toMatchObject({ items: 0 });
  });
});

describe("deliver", () => {
  it("resolves when the item has landed, not before, with a receipt", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 2 });
    const [a, b] = [batcher.deliver("a"), batcher.deliver("b")];
    const state = follow(a);
    await clock.settle();
    expect(state.settled).toBe("pending");
    calls[0]?.resolve();
    expect(await a).toEqual({ attempts: 1, items: 2, entries: 2 });
    expect(await b).toEqual({ attempts: 1, items: 2, entries: 2 });
  });
});

describe("close", () => {
  it("of an idle batcher resolves at once and emits one closed event", async () => {
    const { batcher, clock, events } = scripted();
    const report = await batcher.close();
    expect(report).toMatchObject({ items: 0, committed: 0, undelivered: [], durationMs: 0 });
    expect(events).toEqual([{ name: "list", type: "closed", durationMs: 0 }]);
    expect(clock.timers).toBe(0);
  });

  it("refuses add, tryAdd and deliver from then on, loudly", async () => {
    const { batcher, clock, calls } = scripted();
    batcher.tryAdd("a");
    const closing = batcher.close();
    const refuse = async (): Promise<void> => {
      expect(() => batcher.tryAdd("x")).toThrow(CLOSED);
      await expect(batcher.add("x")).rejects.toEqual(CLOSED);
      await expect(batcher.deliver("x")).rejects.toEqual(CLOSED);
    };
    await refuse();
    await clock.settle();
    calls[0]?.resolve();
    expect((await closing).stats).toMatchObject({ accepted: 1, committed: 1, refused: 0 });
    await refuse();
  });

  it("is idempotent: every call gets the report of the first", async () => {
    const { batcher, clock, calls, events } = scripted();
    batcher.tryAdd("a");
    const closes = [batcher.close(), batcher.close({ timeoutMs: 1 })];
    await clock.advance(5);
    calls[0]?.resolve();
    const [first, second] = await Promise.all(closes);
    expect(second).toBe(first);
    expect(await batcher.close()).toBe(first);
    expect(first).toMatchObject({ items: 1, committed: 1 });
    expect(events.filter(({ type }) => type === "closed")).toHaveLength(1);
  });

  it("rejects producers that wait for room", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 1, maxBufferedEntries: 1 });
    batcher.tryAdd("a");
    const waiting = [batcher.add("b"), batcher.deliver("c")];
    const closing = batcher.close();
    for (const wait of waiting) await expect(wait).rejects.toEqual(CLOSED);
    await clock.settle();
    calls[0]?.resolve();
    expect((await closing).stats).toMatchObject({ accepted: 1, waiting: 0 });
  });

  it("with a full buffer, a flush in flight and a store that answers late accounts for all", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 2, maxBufferedEntries: 6 });
    for (const text of "abcdef") batcher.tryAdd(text);
    const delivered = follow(batcher.deliver("g"));
    await clock.settle();
    const flushed = batcher.flush();
    const closing = batcher.close({ timeoutMs: 10_000 });
    for (let call = 0; call < 3; call += 1) {
      await clock.advance(3_000);
      calls[call]?.resolve();
      await clock.settle();
    }
    const report = await closing;
    expect(await flushed).toMatchObject({ items: 6, committed: 6, batches: 3 });
    expect(report).toMatchObject({
      items: 6,
      committed: 6,
      unknown: 0,
      abandoned: 0,
      rejected: 0,
      durationMs: 9_000,
    });
    expect(delivered.error).toEqual(CLOSED);
    expect(report.stats).toMatchObject({ accepted: 6, committed: 6, held: 0 });
    expect(clock.timers).toBe(0);
  });

  it("with a store that never answers returns at its deadline with an exact report", async () => {
    const { batcher, clock, calls, events } = scripted({ maxEntries: 2 });
    const [a, e] = [follow(batcher.deliver("a")), follow(Promise.resolve())];
    for (const text of "bcd") batcher.tryAdd(text);
    const last = follow(batcher.deliver("e"));
    await clock.settle();
    const flushed = follow(batcher.flush());
    const closing = batcher.close({ timeoutMs: 5_000 });
    const state = follow(closing);
    await clock.advance(4_999);
    expect(state.settled).toBe("pending");
    await clock.advance(1);
    expect(state.settled).toBe("resolved");
    const report = await closing;
    expect(report).toMatchObject({
      items: 5,
      committed: 0,
      rejected: 0,
      unknown: 2,
      abandoned: 3,
      durationMs: 5_000,
      undelivered: [
        { batch: ["a", "b"], outcome: "unknown", items: 2 },
        { batch: ["c", "d"], outcome: "abandoned", items: 2 },
        { batch: ["e"], outcome: "abandoned", items: 1 },
      ],
    });
    expect(report.stats).toMatchObject({ accepted: 5, unknown: 2, dropped: 3, held: 0 });
    expect(report.stats.droppedByReason.close).toBe(3);
    expect(calls).toHaveLength(1);
    expect(calls[0]?.signal.aborted).toBe(true);
    expect(e.settled).toBe("resolved");
    expect(a.error).toMatchObject({ code: "SLUICE_ERR_DELIVERY_UNKNOWN" });
    expect(last.error).toMatchObject({ code: "SLUICE_ERR_DELIVERY_DROPPED" });
    expect(flushed.error).toMatchObject({ report: { items: 5, unknown: 2, dropped: 3 } });
    expect(clock.timers).toBe(0);

    const before = batcher.stats();
    calls[0]?.resolve();
    await clock.settle();
    expect(batcher.stats()).toEqual(before);
    expect(events.at(-1)).toMatchObject({ type: "late", attempt: 1 });
  });

  it("takes closeTimeoutMs when no other deadline is given", async () => {
    const { batcher, clock } = scripted({ closeTimeoutMs: 70 });
    batcher.tryAdd("a");
    const state = follow(batcher.close());
    await clock.advance(69);
    expect(state.settled).toBe("pending");
    await clock.advance(1);
    expect(state.settled).toBe("resolved");
  });

  it("ends a pause between attempts and an open circuit at its deadline", async () => {
    const { batcher, clock, calls } = scripted({
      retry: { baseDelayMs: 10_000, maxDelayMs: 10_000, circuitAfter: 1 },
    });
    batcher.tryAdd("a");
    void batcher.flush().catch(() => undefined);
    await clock.settle();
    calls[0]?.reject(retryable("down", { ambiguous: false }));
    await clock.settle();
    const closing = batcher.close({ timeoutMs: 100 });
    await clock.advance(100);
    expect(await closing).toMatchObject({ abandoned: 1, unknown: 0, durationMs: 100 });
    expect(calls).toHaveLength(1);
    expect(clock.timers).toBe(0);
  });

  it("hands an ambiguous batch back as unknown though its last attempt applied nothing", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 1 });
    batcher.tryAdd("a");
    await clock.settle();
    calls[0]?.reject(retryable("connection lost"));
    await clock.advance(200);
    calls[1]?.reject(retryable("cannot connect", { ambiguous: false }));
    await clock.settle();
    const closing = batcher.close({ timeoutMs: 0 });
    await clock.advance(0);
    expect(await closing).toMatchObject({ unknown: 1, abandoned: 0 });
  });

  it("is not held past its deadline by a deadLetter handler that hangs", async () => {
    const letters: unknown[] = [];
    const { batcher, clock, calls } = scripted({
      maxEntries: 8,
      deadLetter: (letter) => {
        letters.push(letter);
        return new Promise(() => undefined);
      },
    });
    for (const text of "abcdefgh") batcher.tryAdd(text);
    const closing = batcher.close({ timeoutMs: 1_000 });
    const state = follow(closing);
    await clock.settle();
    for (let call = 0; call < 40 && letters.length < 1; call += 1) {
      calls[call]?.reject(rejected("poison"));
      await clock.settle();
    }
    expect(letters).toHaveLength(1);
    await clock.advance(1_000);
    expect(state.settled).toBe("resolved");
    expect((await closing).stats).toMatchObject({ accepted: 8, held: 0, deadLettered: 1 });
    expect(clock.timers).toBe(0);
  });

  it.each([
    ["a list", list<string>()],
    ["calls, whose lane has ended", calls<string>()],
  ])(
    "waits for dead letters that follow their batch, and at its deadline hands over all: %s",
    async (_, shape) => {
      for (const [timeoutMs, handed] of [
        [20_000, 8_500],
        [4_000, 4_000],
      ] as const) {
        const letters: unknown[] = [];
        const warnings: unknown[] = [];
        let [underWay, most] = [0, 0];
        const clock = manualClock();
        const batcher = createBatcher<string, readonly string[], string>({
          shape,
          sink: () => {
            throw rejected("no", { whole: true });
          },
          clock,
          writeTimeoutMs: 2_000,
          observe: (event) => event.type === "warning" && warnings.push(event.error),
          deadLetter: async ({ entry }) => {
            letters.push(entry);
            most = Math.max(most, (underWay += 1));
            await new Promise<void>((resolve) => void clock.schedule(resolve, 1_500));
            underWay -= 1;
          },
        });
        for (const text of "abcdefg") batcher.tryAdd(text);
        const flushed = follow(batcher.flush());
        await clock.advance(2_000);
        expect(flushed.settled).toBe("rejected"); // the batch waits for no more
        const closing = follow(batcher.close({ timeoutMs }));
        await clock.advance(handed - 1);
        expect(closing.settled).toBe("pending");
        expect({ most, warnings }).toEqual({ most: 1, warnings: [] });
        await clock.advance(1);
        expect(closing.settled).toBe("resolved");
        expect(letters).toEqual([..."abcdefg"]);
      }
    },
  );

  it("is not held by a handler that hangs for each of many entries refused at once", async () => {
    const letters: unknown[] = [];
    const clock = manualClock();
    const batcher = createBatcher({
      shape: list<string>(),
      sink: {
        write: async (batch) => ({
          rejected: batch.map((_, index) => ({ index, cause: new Error("no") })),
        }),
      },
      clock,
      deadLetter: (letter) => {
        letters.push(letter);
        return new Promise(() => undefined);
      },
    });
    for (const text of "abcdefgh") batcher.tryAdd(text);
    const state = follow(batcher.close({ timeoutMs: 1_000 }));
    await clock.advance(1_000);
    expect(state.settled).toBe("resolved");
    expect(letters).toHaveLength(8);
    expect(clock.timers).toBe(0);
  });

  it("Symbol.asyncDispose is close, and rejects when something did not land", async () => {
    const good = scripted();
    good.batcher.tryAdd("a");
    const disposed = good.batcher[Symbol.asyncDispose]();
    await good.clock.settle();
    good.calls[0]?.resolve();
    await expect(disposed).resolves.toBeUndefined();

    const bad = scripted({ closeTimeoutMs: 10 });
    bad.batcher.tryAdd("a");
    const failed = follow(bad.batcher[Symbol.asyncDispose]());
    await bad.clock.advance(10);
    expect(failed.error).toMatchObject({
      code: "SLUICE_ERR_CLOSE_INCOMPLETE",
      message: "list: 1 of 1 items did not land: 1 unknown",
      report: { items: 1, unknown: 1 },
    });
  });

  it("is safe to call from an observer", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: list<string>(),
      sink: () => undefined,
      clock,
      maxEntries: 1,
      observe: ({ type }) => {
        if (type === "sealed") void batcher.close();
      },
    });
    for (const text of "abc") batcher.tryAdd(text);
    await clock.settle();
    expect(await batcher.close()).toMatchObject({ stats: { committed: 3 } });
  });
});
