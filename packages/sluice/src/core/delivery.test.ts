import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import { rejected, retryable, SluiceError } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { list } from "../shapes/list.ts";
import { sums } from "../shapes/sums.ts";
import type { BatchId, Sink, WriteResult } from "../sinks/sink.ts";
import { manualClock, seededRandom } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import { backoffMs } from "./circuit.ts";
import type { DeadLetter, Limits } from "./options.ts";

interface Call {
  readonly at: number;
  readonly batch: readonly string[];
  readonly id: BatchId;
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  resolve(result?: WriteResult): void;
  reject(error: unknown): void;
}

interface ScriptOptions extends Limits {
  readonly lanes?: number;
  readonly random?: () => number;
  readonly deadLetter?: (letter: DeadLetter<string>) => unknown;
}

/** A batcher of texts before a sink that answers each call when and how the test says. */
function scripted(options: ScriptOptions = {}) {
  const clock = manualClock();
  const calls: Call[] = [];
  const events: SluiceEvent[] = [];
  const sink: Sink<readonly string[]> = {
    write: (batch, { id, attempt, timeoutMs, signal }) =>
      new Promise((resolve, reject) => {
        calls.push({ at: clock.now(), batch, id, attempt, timeoutMs, signal, resolve, reject });
      }),
  };
  const batcher = createBatcher({
    shape: list<string>(),
    sink,
    clock,
    random: () => 0.5,
    observe: (event) => events.push(event),
    ...options,
  });
  return { batcher, clock, calls, events };
}

/** A sink that fails at once with what `answer` throws, or succeeds with what it returns. */
function answering(
  answer: (call: number, batch: readonly string[]) => unknown,
  options: ScriptOptions = {},
) {
  const clock = manualClock();
  const at: number[] = [];
  const events: SluiceEvent[] = [];
  const batcher = createBatcher({
    shape: list<string>(),
    sink: {
      write: (batch) => {
        at.push(clock.now());
        return answer(at.length, batch) as Promise<WriteResult>;
      },
    },
    clock,
    random: () => 0.5,
    observe: (event) => events.push(event),
    ...options,
  });
  return { batcher, clock, at, events };
}

describe("a sealed batch", () => {
  it("is frozen, and the same object with the same id on every attempt", async () => {
    const { batcher, clock, calls } = scripted({ maxEntries: 2 });
    for (const text of "ab") batcher.tryAdd(text);
    await clock.settle();
    batcher.tryAdd("c");
    for (let attempt = 1; attempt < 4; attempt += 1) {
      calls[attempt - 1]?.reject(retryable("down"));
      await clock.advance(1_000);
      expect(calls).toHaveLength(attempt + 1);
    }
    expect(Object.isFrozen(calls[0]?.batch)).toBe(true);
    for (const { batch, id } of calls) {
      expect(batch).toBe(calls[0]?.batch);
      expect(batch).toEqual(["a", "b"]);
      expect(id).toEqual(calls[0]?.id);
    }
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(calls[0]?.id.seq).toBe(1);
  });

  it("of keys is frozen through and through: a sink cannot change what the next attempt sends", async () => {
    const clock = manualClock();
    const shape = sums({ key: ["k"], sum: ["n"], last: ["at"] });
    const bytes: string[] = [];
    const batcher = createBatcher({
      shape,
      clock,
      sink: (batch, { id }) => {
        bytes.push(JSON.stringify([id, new TextDecoder().decode(shape.encode(batch))]));
        const touch = (change: () => void): void => expect(change).toThrow(TypeError);
        const [entry] = batch.entries;
        touch(() => Object.assign(batch.entries, { 0: undefined }));
        touch(() => Object.assign(entry ?? {}, { items: 7 }));
        touch(() => Object.assign(entry?.sums ?? {}, { 0: 7 }));
        touch(() => Object.assign(entry?.key ?? {}, { 0: "other" }));
        touch(() => Object.assign(entry?.last ?? {}, { 0: 7 }));
        touch(() => Object.assign(batch.fields, { key: [] }));
        touch(() => Object.assign(id, { seq: 9 }));
        if (bytes.length < 3) throw new Error("again");
      },
    });
    for (const k of "cab") batcher.tryAdd({ k, n: 1, at: 5 });
    const flushed = batcher.flush();
    await clock.advance(1_000);
    await flushed;
    expect(bytes).toHaveLength(3);
    expect(new Set(bytes).size).toBe(1);
    expect(bytes[0]).toContain(String.raw`[\"a\"]`);
  });
});

describe("retries", () => {
  it("pause exponentially with full jitter, capped", () => {
    const retry = { baseDelayMs: 100, maxDelayMs: 1_000, circuitAfter: 5 };
    const most = [1, 2, 3, 4, 5, 6, 5_000].map((n) => backoffMs(n, retry, () => 0.999_999));
    expect(most.map(Math.round)).toEqual([100, 200, 400, 800, 1_000, 1_000, 1_000]);
    const random = seededRandom(5);
    const drawn = Array.from({ length: 2_000 }, () => backoffMs(3, retry, random));
    expect(Math.min(...drawn)).toBeLessThan(10);
    expect(Math.max(...drawn)).toBeGreaterThan(390);
    expect(Math.max(...drawn)).toBeLessThanOrEqual(400);
    expect(drawn.reduce((a, b) => a + b) / drawn.length).toBeCloseTo(200, -1);
  });

  it("come at those times, and each is told", async () => {
    const { batcher, clock, at, events } = answering(
      (call) => {
        if (call <= 3) throw retryable("down");
      },
      { deliveryTimeoutMs: 10_000 },
    );
    const delivered = batcher.deliver("a");
    void batcher.flush();
    await clock.advance(1_000);
    expect(at).toEqual([0, 50, 150, 350]);
    expect(await delivered).toEqual({ attempts: 4, items: 1, entries: 1 });
    const retried = events.flatMap((event) =>
      event.type === "retried" ? [[event.attempt, event.delayMs, event.ambiguous]] : [],
    );
    expect(retried).toEqual([
      [1, 50, true],
      [2, 100, true],
      [3, 200, true],
    ]);
    expect(batcher.stats()).toMatchObject({ attempts: 4, retries: 3, statements: 1, batches: 1 });
    expect(batcher.stats()).not.toHaveProperty("lastError");
  });

  it("never come sooner than the store's retryAfterMs asks", async () => {
    const { batcher, clock, at } = answering((call) => {
      if (call === 1) throw retryable("slow down", { retryAfterMs: 7_000 });
      if (call === 2) throw retryable("slow down", { retryAfterMs: 1 });
    });
    batcher.tryAdd("a");
    void batcher.flush();
    await clock.advance(10_000);
    expect(at).toEqual([0, 7_000, 7_100]);
  });

  it("heed a retryAfterMs up to ten minutes", async () => {
    const { batcher, clock, at } = answering(
      (call) => {
        if (call === 1) throw retryable("next year", { retryAfterMs: 31_536_000_000 });
      },
      { deliveryTimeoutMs: Infinity },
    );
    batcher.tryAdd("a");
    void batcher.flush();
    await clock.advance(700_000);
    expect(at).toEqual([0, 600_000]);
  });

  it("pay no heed to a retryAfterMs that is no duration", async () => {
    const odd = [Number.NaN, Infinity, -Infinity, -5];
    const { batcher, clock, at } = answering(
      (call) => {
        const retryAfterMs = odd[call - 1];
        if (retryAfterMs !== undefined) throw retryable("odd", { retryAfterMs });
      },
      { deliveryTimeoutMs: Infinity, retry: { maxDelayMs: 100 } },
    );
    batcher.tryAdd("a");
    void batcher.flush();
    await clock.advance(1_000);
    expect(at).toEqual([0, 50, 100, 150, 200]);
    expect(batcher.stats().committed).toBe(1);
  });

  it("never spin, even if chance always says 0", async () => {
    const { batcher, clock, at } = answering(
      () => {
        throw retryable("down");
      },
      { random: () => 0, deliveryTimeoutMs: 50, retry: { circuitAfter: 1_000 } },
    );
    batcher.tryAdd("a");
    void batcher.flush().catch(() => undefined);
    await clock.advance(60);
    expect(at.length).toBeGreaterThan(1);
    expect(at.length).toBeLessThanOrEqual(51);
  });

  it("are what any unclassified error gets: strings, undefined, null, errors of others", async () => {
    const thrown = ["text", undefined, null, 5, new TypeError("x"), Object.create(null), () => 1];
    const { batcher, clock } = answering(
      (call) => {
        if (call <= thrown.length) throw thrown[call - 1];
      },
      { retry: { maxDelayMs: 100 } },
    );
    const delivered = batcher.deliver("a");
    void batcher.flush();
    await clock.advance(5_000);
    expect(await delivered).toMatchObject({ attempts: thrown.length + 1 });
  });

  it("are what a sink gets that throws before it returns a promise", async () => {
    const clock = manualClock();
    let calls = 0;
    const batcher = createBatcher({
      shape: list<string>(),
      sink: () => {
        calls += 1;
        if (calls === 1) throw new Error("at once");
      },
      clock,
    });
    const delivered = batcher.deliver("a");
    void batcher.flush();
    await clock.advance(200);
    expect(await delivered).toMatchObject({ attempts: 2 });
  });
});

describe("time", () => {
  it("of an attempt ends at writeTimeoutMs: its signal is aborted and the batch tried again", async () => {
    const { batcher, clock, calls, events } = scripted({ writeTimeoutMs: 200 });
    batcher.tryAdd("a");
    const flushed = batcher.flush();
    await clock.settle();
    expect(calls[0]?.timeoutMs).toBe(200);
    await clock.advance(199);
    expect(calls[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(calls[0]?.signal.reason).toMatchObject({ code: "SLUICE_ERR_WRITE_TIMEOUT" });
    await clock.advance(50);
    expect(calls).toHaveLength(2);
    expect(calls[1]?.signal.aborted).toBe(false);
    calls[1]?.resolve();
    expect(await flushed).toMatchObject({ committed: 1, attempts: 2 });
    expect(events.find(({ type }) => type === "retried")).toMatchObject({ ambiguous: true });
  });

  it("of a delivery ends at deliveryTimeoutMs, all attempts together", async () => {
    const { batcher, clock, calls } = scripted({ deliveryTimeoutMs: 500, writeTimeoutMs: 400 });
    const delivered = follow(batcher.deliver("a"));
    void batcher.flush().catch(() => undefined);
    await clock.advance(450);
    expect(calls.map(({ at, timeoutMs }) => [at, timeoutMs])).toEqual([
      [0, 400],
      [450, 50],
    ]);
    await clock.advance(49);
    expect(delivered.settled).toBe("pending");
    await clock.advance(1);
    expect(delivered.error).toMatchObject({
      code: "SLUICE_ERR_DELIVERY_UNKNOWN",
      disposition: "unknown",
      cause: { code: "SLUICE_ERR_WRITE_TIMEOUT" },
    });
    expect(batcher.stats()).toMatchObject({ unknown: 1, held: 0, deadLettered: 0 });
    expect(clock.timers).toBe(0);
  });

  it("spent on failures that applied nothing makes the batch expired, and dead letters of it", async () => {
    const letters: DeadLetter<string>[] = [];
    const { batcher, clock } = answering(
      () => {
        throw retryable("cannot connect", { ambiguous: false });
      },
      { deliveryTimeoutMs: 1_000, deadLetter: (letter) => letters.push(letter) },
    );
    const delivered = follow(batcher.deliver("a"));
    batcher.tryAdd("b");
    void batcher.flush().catch(() => undefined);
    await clock.advance(1_000);
    expect(delivered.error).toMatchObject({
      code: "SLUICE_ERR_DELIVERY_EXPIRED",
      disposition: "expired",
    });
    expect(letters.map(({ entry, outcome }) => [entry, outcome])).toEqual([
      ["a", "expired"],
      ["b", "expired"],
    ]);
    expect(letters[0]?.cause).toMatchObject({ message: "cannot connect" });
    expect(batcher.stats()).toMatchObject({ deadLettered: 2, unknown: 0 });
  });

  it("spent on a batch of 200,000 is told 200,000 times, and each once", async () => {
    let letters = 0;
    const { batcher, clock, events } = answering(
      () => {
        throw retryable("cannot connect", { ambiguous: false });
      },
      {
        maxEntries: 200_000,
        deliveryTimeoutMs: 10,
        deadLetter: () => {
          letters += 1;
        },
      },
    );
    for (let added = 0; added < 200_000; added += 1) batcher.tryAdd("a");
    const flushed = follow(batcher.flush());
    await clock.advance(10);
    expect(flushed.error).toMatchObject({ report: { items: 200_000, deadLettered: 200_000 } });
    expect(letters).toBe(200_000);
    expect(events.filter(({ type }) => type === "unknown")).toEqual([]);
  });

  it("spent with one ambiguous failure among others makes it unknown, and no dead letter", async () => {
    const letters: unknown[] = [];
    const { batcher, clock, events } = answering(
      (call) => {
        throw retryable("down", { ambiguous: call === 2 });
      },
      { deliveryTimeoutMs: 1_000, deadLetter: (letter) => letters.push(letter) },
    );
    batcher.tryAdd("a");
    const flushed = follow(batcher.flush());
    await clock.advance(1_000);
    expect(flushed.error).toMatchObject({ report: { unknown: 1, deadLettered: 0 } });
    expect(letters).toEqual([]);
    expect(events.find(({ type }) => type === "unknown")).toMatchObject({ batch: ["a"], items: 1 });
  });

  it("has no end for keyed shapes unless it is given one", async () => {
    const clock = manualClock();
    let down = true;
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: () => {
        if (down) throw retryable("down");
      },
      clock,
    });
    const delivered = follow(batcher.deliver({ k: "a", n: 1 }));
    void batcher.flush();
    await clock.advance(3_600_000);
    expect(delivered.settled).toBe("pending");
    down = false;
    await clock.advance(60_000);
    expect(delivered.settled).toBe("resolved");
  });
});

describe("a late answer", () => {
  it("after a timeout changes nothing, good or bad; it is told as late", async () => {
    const { batcher, clock, calls, events } = scripted({ writeTimeoutMs: 100 });
    batcher.tryAdd("a");
    void batcher.flush();
    await clock.advance(400);
    expect(calls.length).toBeGreaterThan(2);
    const before = batcher.stats();
    calls[0]?.resolve();
    calls[1]?.reject(rejected("late poison"));
    await clock.settle();
    expect(batcher.stats()).toEqual(before);
    const late = events.filter(({ type }) => type === "late");
    expect(late).toMatchObject([{ attempt: 1 }, { attempt: 2, error: { message: "late poison" } }]);
    calls.at(-1)?.resolve();
    await clock.settle();
    expect(batcher.stats()).toMatchObject({ committed: 1, held: 0 });
  });
});

describe("a sink that returns garbage", () => {
  const garbage: [string, unknown][] = [
    ["a number", 5],
    ["text", "done"],
    ["null", null],
    ["false", false],
    ["an array", []],
    ["rejected: a number", { rejected: 5 }],
    ["rejected: text", { rejected: "none" }],
    ["rejected: null", { rejected: null }],
    ["rejected: an object", { rejected: {} }],
    ["rejected: [null]", { rejected: [null, undefined, 3, "x"] }],
    [
      "rejected out of range",
      { rejected: [-1, 2, 0.5, Number.NaN, "0"].map((index) => ({ index })) },
    ],
    ["statements: text", { statements: "many" }],
    ["statements: NaN", { statements: Number.NaN }],
    ["statements: negative", { statements: -1 }],
    ["duplicate: text", { duplicate: "yes" }],
    [
      "a getter that throws",
      {
        get rejected(): never {
          throw new Error("boo");
        },
      },
    ],
    ["a function", () => 1],
  ];
  it.each(garbage)("is believed to have applied the batch: %s", async (_, result) => {
    const { batcher, clock } = answering((call) =>
      Promise.resolve(call === 1 ? result : undefined),
    );
    const delivered = follow(batcher.deliver("a"));
    batcher.tryAdd("b");
    const flushed = follow(batcher.flush());
    await clock.settle();
    expect([delivered.settled, flushed.settled]).toEqual(["resolved", "resolved"]);
    batcher.tryAdd("c");
    await batcher.flush();
    expect(batcher.stats()).toMatchObject({ committed: 3, held: 0, batches: 2, duplicates: 0 });
    expect(batcher.stats().statements).toBe(2);
  });

  it("may return a thenable, even one that answers twice", async () => {
    const { batcher } = answering(() => ({
      then: (resolve: (value: unknown) => void, reject: (error: unknown) => void) => {
        resolve(undefined);
        reject(new Error("second"));
      },
    }));
    batcher.tryAdd("a");
    expect(await batcher.flush()).toMatchObject({ committed: 1 });
  });

  it("as a plain function says nothing about entries: a driver's own result is not read", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: list<string>(),
      sink: () => ({ rejected: [{ index: 0, cause: "x" }], duplicate: true }),
      clock,
    });
    batcher.tryAdd("a");
    expect(await batcher.flush()).toMatchObject({ committed: 1 });
    expect(batcher.stats().duplicates).toBe(0);
  });
});

describe("a partial result", () => {
  it("commits the others and dead-letters the named entries, each with its cause", async () => {
    const letters: DeadLetter<string>[] = [];
    const cause = new Error("too long");
    const { batcher, clock, events } = answering(
      () =>
        Promise.resolve({
          rejected: [
            { index: 2, cause },
            { index: 0, cause },
            { index: 2, cause },
          ],
        }),
      { deadLetter: (letter) => letters.push(letter) },
    );
    const all = [..."abcd"].map((text) => follow(batcher.deliver(text)));
    const flushed = follow(batcher.flush());
    await clock.settle();
    expect(all.map(({ settled }) => settled)).toEqual([
      "rejected",
      "resolved",
      "rejected",
      "resolved",
    ]);
    expect(all[0]?.error).toMatchObject({ code: "SLUICE_ERR_DELIVERY_REJECTED", cause });
    expect(flushed.error).toMatchObject({ report: { items: 4, committed: 2, deadLettered: 2 } });
    expect(letters.map(({ entry }) => entry).sort()).toEqual(["a", "c"]);
    expect(letters[0]).toMatchObject({ items: 1, outcome: "rejected", cause, attempts: 1 });
    expect(events.find(({ type }) => type === "committed")).toMatchObject({ items: 2, entries: 2 });
    expect(batcher.stats()).toMatchObject({ committed: 2, deadLettered: 2, held: 0, attempts: 1 });
  });

  it("that names implausible entries costs a warning each and upsets no books", async () => {
    const { batcher, events } = answering(() =>
      Promise.resolve({
        rejected: [
          { index: 9, cause: 1 },
          { index: -1, cause: 1 },
        ],
      }),
    );
    for (const text of "ab") batcher.tryAdd(text);
    await batcher.flush();
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(2);
    expect(batcher.stats()).toMatchObject({ committed: 2, deadLettered: 0 });
  });

  it("of a keyed batch finds the right callers, though the batch is sorted", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: {
        write: async ({ entries }) => ({
          rejected: entries.flatMap(({ key }, index) =>
            key[0]?.startsWith("bad") === true ? [{ index, cause: new Error(key[0]) }] : [],
          ),
        }),
      },
      clock,
      maxEntries: 3,
    });
    const keys = ["z", "bad m", "a", "y", "bad b", "bad a", "c"];
    const delivered = keys.map((k) => follow(batcher.deliver({ k, n: 1 })));
    void batcher.flush().catch(() => undefined);
    await clock.settle();
    for (const [index, key] of keys.entries()) {
      const bad = key.startsWith("bad");
      expect(delivered[index]?.settled, key).toBe(bad ? "rejected" : "resolved");
      if (bad) expect(delivered[index]?.error).toMatchObject({ cause: { message: key } });
    }
  });
});

describe("deadLetter", () => {
  it("that throws, rejects or hangs costs a warning and nothing else", async () => {
    const { batcher, clock, events } = answering(
      (call) =>
        Promise.resolve(
          call === 1 ? { rejected: [0, 1, 2].map((index) => ({ index, cause: 1 })) } : {},
        ),
      {
        writeTimeoutMs: 100,
        deadLetter: ({ entry }) => {
          if (entry === "a") throw new Error("thrown");
          if (entry === "b") return Promise.reject(new Error("rejected"));
          return new Promise(() => undefined);
        },
      },
    );
    for (const text of "abc") batcher.tryAdd(text);
    const flushed = follow(batcher.flush());
    await clock.advance(100);
    expect(flushed.settled).toBe("rejected");
    const warnings = events.flatMap((event) => (event.type === "warning" ? [event.error] : []));
    expect(warnings.map((error) => (error as Error).message)).toEqual([
      "thrown",
      "rejected",
      "deadLetter took longer than writeTimeoutMs",
    ]);
    batcher.tryAdd("d");
    expect(await batcher.flush()).toMatchObject({ committed: 1 });
  });

  it("that hangs for many entries holds their lane for one writeTimeoutMs; the others follow one by one", async () => {
    let letters = 0;
    const { batcher, clock } = answering(
      (_, batch) =>
        Promise.resolve({ rejected: batch.map((__, index) => ({ index, cause: index })) }),
      {
        writeTimeoutMs: 100,
        deadLetter: () => {
          letters += 1;
          return new Promise(() => undefined);
        },
      },
    );
    for (let added = 0; added < 50; added += 1) batcher.tryAdd("a");
    const flushed = follow(batcher.flush());
    await clock.advance(100);
    expect([letters, flushed.settled]).toEqual([2, "rejected"]);
    await clock.advance(4_800);
    expect(letters).toBe(50);
  });

  it("that hangs holds a batch that is halved for one writeTimeoutMs in all", async () => {
    let letters = 0;
    const { batcher, clock } = answering(
      (_, batch) => {
        if (batch.some((text) => text.startsWith("bad"))) throw rejected("bad");
      },
      {
        writeTimeoutMs: 100,
        deliveryTimeoutMs: 250,
        deadLetter: () => {
          letters += 1;
          return new Promise(() => undefined);
        },
      },
    );
    for (const text of ["bad 1", "a", "bad 2", "b", "bad 3", "c", "bad 4", "d"])
      batcher.tryAdd(text);
    const flushed = follow(batcher.flush());
    await clock.advance(100);
    expect(flushed.error).toMatchObject({ report: { committed: 4, deadLettered: 4 } });
    expect(letters).toBe(2);
    await clock.advance(200);
    expect(letters).toBe(4); // one by one, as those of a batch that is not halved
  });

  it("that is missing or fails loses no entry: the event carries it", async () => {
    const { batcher, events } = answering(() => {
      throw rejected("poison");
    });
    for (const text of "ab") batcher.tryAdd(text);
    await expect(batcher.flush()).rejects.toMatchObject({ report: { deadLettered: 2 } });
    const buried = events.flatMap((event) => (event.type === "dead-lettered" ? [event.entry] : []));
    expect(buried).toEqual(["a", "b"]);
  });
});

describe("a batch refused as a whole", () => {
  it("is not halved, and every entry reaches deadLetter", async () => {
    const letters: unknown[] = [];
    const { batcher, at } = answering(
      () => {
        throw rejected("no such table", { whole: true });
      },
      { deadLetter: ({ entry }) => letters.push(entry) },
    );
    for (const text of "abc") batcher.tryAdd(text);
    await expect(batcher.flush()).rejects.toMatchObject({ report: { deadLettered: 3 } });
    expect(at).toHaveLength(1);
    expect(letters).toEqual([..."abc"]);
  });
});

describe("a rejection after an attempt that may have been applied", () => {
  const failing = (first: Error, second: Error) => (call: number) => {
    if (call === 1) throw first;
    throw second;
  };

  it.each([
    ["is unknown: the sink speaks for this attempt only", new Error("lost"), {}, "unknown"],
    [
      "is a rejection if the sink speaks for all",
      new Error("lost"),
      { ambiguous: false },
      "deadLettered",
    ],
    [
      "is a rejection if that attempt applied nothing",
      retryable("no", { ambiguous: false }),
      {},
      "deadLettered",
    ],
  ] as const)("%s", async (_, first, details, account) => {
    const letters: unknown[] = [];
    const { batcher, clock } = answering(failing(first, rejected("duplicate key", details)), {
      deadLetter: (letter) => letters.push(letter),
    });
    for (const text of "ab") batcher.tryAdd(text);
    void batcher.flush().catch(() => undefined);
    await clock.advance(1_000);
    expect(batcher.stats()).toMatchObject({ [account]: 2, held: 0 });
    expect(letters).toHaveLength(account === "unknown" ? 0 : 2);
  });

  it("never halves the batch: its halves would land beside what landed then", async () => {
    const fail = failing(new Error("lost"), rejected("no"));
    const { batcher, clock, at, events } = answering(fail);
    for (const text of "abcd") batcher.tryAdd(text);
    const flushed = follow(batcher.flush());
    await clock.advance(1_000);
    expect(at).toHaveLength(2);
    expect(flushed.error).toMatchObject({ report: { items: 4, unknown: 4, deadLettered: 0 } });
    expect(events.some(({ type }) => type === "bisected")).toBe(false);
  });

  it("of a usage error is not one: nothing was sent", async () => {
    const { batcher, clock } = answering(() => {
      throw new SluiceError("SLUICE_ERR_OPTION_INVALID", "wrong");
    });
    batcher.tryAdd("a");
    const closed = batcher.close({ timeoutMs: 100 });
    await clock.advance(100);
    expect(await closed).toMatchObject({ abandoned: 1, unknown: 0 });
  });
});

describe("the circuit", () => {
  const RETRY = { baseDelayMs: 100, maxDelayMs: 1_000, circuitAfter: 3 };

  it("opens after circuitAfter failures in a row over all lanes, and tells", async () => {
    const { batcher, clock, events } = answering(
      () => {
        throw retryable("down");
      },
      { lanes: 3, retry: RETRY, deliveryTimeoutMs: Infinity },
    );
    for (const text of "abc") batcher.tryAdd(text);
    expect(batcher.stats().circuit).toBe("closed");
    void batcher.flush();
    await clock.settle();
    expect(batcher.stats()).toMatchObject({ circuit: "open", attempts: 3 });
    expect(batcher.stats().lastError).toMatchObject({ message: "down" });
    const circuit = events.filter(({ type }) => type === "circuit");
    expect(circuit).toMatchObject([{ state: "open", error: { message: "down" } }]);
  });

  it("lets one probe at a time through, over many lanes, with capped pauses, then closes", async () => {
    const { batcher, clock, calls, events } = scripted({
      lanes: 16,
      maxEntries: 1,
      retry: RETRY,
      deliveryTimeoutMs: Infinity,
      writeTimeoutMs: 20,
      random: seededRandom(11),
    });
    for (let item = 0; item < 64; item += 1) batcher.tryAdd(`${item}`);
    await clock.settle();
    expect(calls).toHaveLength(16);
    await clock.advance(30);
    const first = calls.length;
    await clock.advance(60_000);
    const probes = calls.slice(first).map(({ at }) => at);
    expect(probes.length).toBeGreaterThan(55);
    for (const [index, at] of probes.entries()) {
      const before = probes[index - 1];
      if (before === undefined) continue;
      expect(at - before).toBeGreaterThanOrEqual(20);
      expect(at - before).toBeLessThanOrEqual(20 + 1_000 + 1_000);
    }
    expect(batcher.stats().circuit).toBe("open");
    // The store comes back: the next probe is answered, and everybody may go.
    for (let turn = 0; turn < 400 && batcher.stats().held > 0; turn += 1) {
      await clock.next();
      for (const { resolve } of calls.slice(first + probes.length)) resolve();
    }
    await clock.settle();
    expect(batcher.stats()).toMatchObject({ circuit: "closed", committed: 64, held: 0 });
    const states = events.flatMap((event) => (event.type === "circuit" ? [event.state] : []));
    expect(states).toEqual(["open", "closed"]);
    expect(clock.timers).toBe(0);
  });

  it("counts a rejection as an answer: poison opens no circuit", async () => {
    const { batcher, clock } = answering(
      () => {
        throw rejected("poison");
      },
      { maxEntries: 1, retry: { circuitAfter: 1 } },
    );
    for (const text of "abcdef") batcher.tryAdd(text);
    await clock.settle();
    expect(batcher.stats()).toMatchObject({ circuit: "closed", deadLettered: 6, attempts: 6 });
  });

  it("lets a batch expire whose time ends before its probe comes", async () => {
    const { batcher, clock } = answering(
      () => {
        throw retryable("down", { ambiguous: false });
      },
      { maxEntries: 1, retry: RETRY, deliveryTimeoutMs: 2_000, lanes: 4 },
    );
    const delivered = [..."abcdefgh"].map((text) => follow(batcher.deliver(text)));
    await clock.advance(10_000);
    expect(delivered.map(({ settled }) => settled)).toEqual(delivered.map(() => "rejected"));
    for (const { error } of delivered) {
      expect(error).toMatchObject({
        code: "SLUICE_ERR_DELIVERY_EXPIRED",
        cause: { message: "down" },
      });
    }
    expect(batcher.stats()).toMatchObject({ deadLettered: 8, unknown: 0, held: 0 });
    expect(clock.timers).toBe(0);
  });
});

describe("an engine", () => {
  it("survives a shape whose own functions throw: the batch is unknown, the next one lands", async () => {
    const clock = manualClock();
    const events: SluiceEvent[] = [];
    let broken = false;
    const batcher = createBatcher({
      shape: list<string>({
        bytes: (text) => {
          if (broken) throw new Error("bytes() broke");
          return text.length;
        },
      }),
      sink: () => undefined,
      clock,
      observe: (event) => events.push(event),
    });
    const delivered = follow(batcher.deliver("a"));
    const flushed = follow(batcher.flush());
    broken = true;
    await clock.settle();
    broken = false;
    expect([delivered.settled, flushed.settled]).not.toContain("pending");
    batcher.tryAdd("b");
    expect(await batcher.flush()).toMatchObject({ committed: 1 });
    const { accepted, committed, unknown, held } = batcher.stats();
    expect([accepted, committed + unknown, held]).toEqual([2, 2, 0]);
  });

  it("survives a shape that cannot seal: nobody waits for ever, and close() returns", async () => {
    const clock = manualClock();
    const events: SluiceEvent[] = [];
    const shape = list<string>();
    const batcher = createBatcher({
      shape: {
        ...shape,
        accumulator: () => {
          const accumulator = shape.accumulator();
          const broken = (entries: number): never => {
            throw new Error(`cannot seal ${entries}`);
          };
          const seal = (entries: number) => (entries === 0 ? accumulator.seal(0) : broken(entries));
          return new Proxy(accumulator, {
            get: (target, name) => {
              if (name === "seal") return seal;
              const value: unknown = Reflect.get(target, name, target);
              return typeof value === "function" ? value.bind(target) : value;
            },
          });
        },
      },
      sink: () => undefined,
      clock,
      observe: (event) => events.push(event),
    });
    const delivered = follow(batcher.deliver("a"));
    const flushed = follow(batcher.flush());
    await clock.settle();
    expect(delivered.error).toMatchObject({ code: "SLUICE_ERR_DELIVERY_UNKNOWN" });
    expect(flushed.error).toMatchObject({ code: "SLUICE_ERR_FLUSH_INCOMPLETE" });
    expect(events.map(({ type }) => type)).toContain("warning");
    expect((await batcher.close()).stats).toMatchObject({ accepted: 1, held: 1 });
  });
});
