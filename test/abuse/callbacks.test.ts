/** Callbacks that call back, throw, never end or answer nonsense: nothing accepted is lost by it. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  type Batcher,
  type BatcherOptions,
  createBatcher,
  isSluiceError,
  list,
  rejected,
  type SluiceEvent,
} from "sluice";
import { type ManualClock, manualClock } from "sluice/testing";
import { type Followed, follow } from "../support/follow.ts";

type Texts = Batcher<string, readonly string[]>;
type Options = Partial<BatcherOptions<string, readonly string[], string>>;

// A callback that throws becomes a process warning, which need not be printed.
beforeEach(() => void vi.spyOn(process, "emitWarning").mockImplementation(() => undefined));
afterEach(() => void vi.restoreAllMocks());

/** Runs until nothing happens any more, or for so many steps. */
async function run(clock: ManualClock, until: () => boolean): Promise<void> {
  for (let step = 0; step < 2_000 && !until(); step += 1) {
    if (!(await clock.next())) await clock.settle();
  }
}

/** Adds ten texts, closes, and expects that every promise has settled and the books balance. */
async function expectSound(options: Options, during?: (batcher: Texts) => unknown) {
  const clock = manualClock();
  const promises: Followed<unknown>[] = [];
  const batcher: Texts = createBatcher({
    shape: list<string>(),
    sink: async () => undefined,
    clock,
    random: () => 0.5,
    maxEntries: 3,
    deliveryTimeoutMs: 1_000,
    writeTimeoutMs: 100,
    closeTimeoutMs: 5_000,
    retry: { baseDelayMs: 1, maxDelayMs: 10 },
    ...options,
  });
  for (let n = 0; n < 10; n += 1) {
    const added: Promise<unknown> = n % 2 === 0 ? batcher.deliver(`${n}`) : batcher.add(`${n}`);
    promises.push(follow(added));
  }
  promises.push(follow(batcher.flush()));
  await clock.advance(1);
  during?.(batcher);
  const closing = follow(batcher.close());
  await run(clock, () => closing.settled !== "pending");
  await clock.settle();
  const stats = batcher.stats();
  const { accepted, committed, deadLettered, dropped, unknown, held } = stats;
  expect(closing).toMatchObject({ settled: "resolved" });
  expect(accepted).toBeGreaterThanOrEqual(1);
  expect({ held, left: committed + deadLettered + dropped + unknown }).toEqual({
    held: 0,
    left: accepted,
  });
  for (const { settled, error } of promises) {
    expect(settled).not.toBe("pending");
    if (settled === "rejected") expect(isSluiceError(error), String(error)).toBe(true);
  }
  expect(clock.timers).toBe(0);
  return stats;
}

/** What a callback may do with the batcher that calls it. */
const CALLS: Readonly<Record<string, (batcher: Texts) => unknown>> = {
  tryAdd: (batcher) => batcher.tryAdd("again"),
  add: (batcher) => batcher.add("again").catch(() => undefined),
  addMany: (batcher) => batcher.addMany(["a", "b", "c", "d"]).catch(() => undefined),
  deliver: (batcher) => void batcher.deliver("again").catch(() => undefined),
  flush: (batcher) => void batcher.flush().catch(() => undefined),
  "a flush it waits for": (batcher) => batcher.flush({ timeoutMs: 50 }).catch(() => undefined),
  close: (batcher) => void batcher.close(),
  "a close it waits for": (batcher) => batcher.close({ timeoutMs: 50 }),
  configure: (batcher) => batcher.configure({ maxEntries: 1, maxBufferedEntries: 1 }),
  stats: (batcher) => batcher.stats(),
};

describe.each(Object.entries(CALLS))("called back with %s", (_, call) => {
  /** A callback that calls back the first few times. */
  function reentrant() {
    let [left, own]: [number, Texts | undefined] = [4, undefined];
    const callBack = (): unknown => {
      left -= 1;
      if (left < 0 || own === undefined) return undefined;
      try {
        return call(own);
      } catch (error) {
        if (!isSluiceError(error)) throw error;
        return undefined;
      }
    };
    const into = (batcher: Texts): void => {
      own = batcher;
    };
    return { callBack, into };
  }
  const ways: Readonly<Record<string, (callBack: () => unknown) => Options>> = {
    sink: (callBack) => ({
      sink: async () => {
        await callBack();
      },
    }),
    observe: (callBack) => ({ observe: () => void callBack() }),
    deadLetter: (callBack) => ({
      sink: () => {
        throw rejected("no", { ambiguous: false });
      },
      deadLetter: callBack,
    }),
    check: (callBack) => ({ shape: list<string>({ check: () => void callBack() }) }),
    random: (callBack) => ({
      sink: () => {
        throw new Error("again");
      },
      random: () => {
        void callBack();
        return 0.5;
      },
    }),
  };
  it.each(Object.entries(ways))("%s: all is accounted for", async (_name, way) => {
    const { callBack, into } = reentrant();
    const later = way(callBack);
    await expectSound({ ...later, maxEntries: 2 }, into);
    // And from the first item on.
    const first = reentrant();
    const clock = manualClock();
    const batcher = createBatcher({
      shape: list<string>(),
      sink: async () => undefined,
      maxDelayMs: 1,
      closeTimeoutMs: 500,
      deliveryTimeoutMs: 400,
      writeTimeoutMs: 100,
      ...way(first.callBack),
      clock,
    });
    first.into(batcher);
    const added = follow(Promise.resolve().then(() => batcher.tryAdd("a")));
    await clock.advance(10);
    const closing = follow(batcher.close());
    await run(clock, () => closing.settled !== "pending");
    expect(closing.settled).toBe("resolved");
    expect(added.settled).not.toBe("pending");
    // Chance that closes is drawn as an item is taken, which leaves by itself after that.
    await clock.advance(1_000);
    expect(batcher.stats().held).toBe(0);
  });
});

describe("a callback that is broken costs nobody else anything:", () => {
  const boom = (): never => {
    throw new Error("boom");
  };
  const never = (): Promise<never> => new Promise(() => undefined);
  const nonsense: readonly (readonly [string, unknown])[] = [
    ["null", null],
    ["a number", 7],
    ["text", "done"],
    ["a symbol", Symbol("s")],
    ["a function", () => 1],
    ["a list", []],
    ["text for what is rejected", { rejected: "all" }],
    ["a rejected entry before the first", { rejected: [{ index: -1 }] }],
    ["a rejected entry behind the last", { rejected: [{ index: 99, cause: "x" }] }],
    ["half a rejected entry", { rejected: [{ index: 0.5 }] }],
    ["no rejected entry", { rejected: [null] }],
    ["an entry that is rejected twice", { rejected: [{ index: 0 }, { index: 0 }] }],
    ["figures that are none", { statements: "many", duplicate: 1, details: 5 }],
    ["NaN for a figure", { statements: Number.NaN }],
    ["a Proxy that throws", new Proxy({}, { get: (_, name) => (name === "then" ? 5 : boom()) })],
  ];
  it.each(nonsense)("a sink that resolves with %s", async (_, answer) => {
    const write = async () => answer as never;
    await expectSound({ sink: { write } });
  });

  it.each([
    ["undefined", undefined],
    ["null", null],
    ["text", "no"],
    ["a Proxy", new Proxy({}, { get: boom, has: boom, getPrototypeOf: boom })],
    ["a frozen object", Object.freeze({ code: 5 })],
    ["what has a getter that throws", Object.defineProperty({}, "message", { get: boom })],
    [
      "an error whose message throws",
      Object.defineProperty(new Error("x"), "message", { get: boom }),
    ],
  ])("a sink that rejects with %s", async (_, reason: unknown) => {
    const events: SluiceEvent[] = [];
    const observe = (event: SluiceEvent): void => void events.push(event);
    const error = reason as Error; // as far as the types go
    const sink = () => Promise.reject(error);
    await expectSound({ sink, observe });
    expect(events.filter(({ type }) => type === "retried" || type === "unknown")).not.toEqual([]);
    await expectSound({ sink });
  });

  it.each([
    ["a sink that throws at once", { sink: boom }],
    ["a sink that never ends", { sink: never }],
    ["an observer that throws", { observe: boom }],
    ["an observer that never ends", { observe: never }],
    ["an observer that rejects", { observe: async () => boom() }],
  ] satisfies [string, object][])("%s", async (_, options: object) => {
    await expectSound(options);
  });

  it.each([
    ["throws", boom],
    ["never ends", never],
    ["rejects", async () => boom()],
  ])("a deadLetter that %s", async (_, deadLetter) => {
    const sink = (): never => {
      throw rejected("no", { ambiguous: false });
    };
    const { deadLettered, accepted } = await expectSound({ sink, deadLetter });
    expect(deadLettered).toBe(accepted);
  });

  it.each([Number.NaN, 1, -1, 1e300, Infinity, "0.5", undefined, null, {}])(
    "a random that gives %o",
    async (value) => {
      let failures = 5;
      const sink = async (): Promise<void> => {
        failures -= 1;
        if (failures > 0) throw new Error("again");
      };
      const random = () => value as number;
      const { accepted, committed } = await expectSound({ sink, random });
      expect(committed).toBe(accepted);
    },
  );

  it("a clock that goes back, and one that leaps", async () => {
    for (const leap of [-1e9, -1, 1e9]) {
      const manual = manualClock();
      let offset = 0;
      const clock = {
        ...manual,
        now: () => manual.now() + offset,
        epochMs: () => manual.epochMs() + offset,
      };
      const batcher = createBatcher({ shape: list<string>(), sink: () => undefined, clock });
      batcher.tryAdd("a");
      offset = leap;
      batcher.tryAdd("b");
      const closing = follow(batcher.close());
      await run(manual, () => closing.settled !== "pending");
      expect(closing.settled).toBe("resolved");
      expect(batcher.stats()).toMatchObject({ accepted: 2, held: 0 });
    }
  });
});

describe("calls that come too late, or twice:", () => {
  const CLOSED = { code: "SLUICE_ERR_BATCHER_CLOSED" };

  it("everything but looking is refused after close, and closing twice is closing once", async () => {
    const clock = manualClock();
    const batcher = createBatcher({ shape: list<string>(), sink: () => undefined, clock });
    batcher.tryAdd("a");
    const [first, second] = [batcher.close(), batcher.close()];
    expect(await first).toEqual(await second);
    expect(() => batcher.tryAdd("b")).toThrow(expect.objectContaining(CLOSED));
    await expect(batcher.add("b")).rejects.toMatchObject(CLOSED);
    await expect(batcher.deliver("b")).rejects.toMatchObject(CLOSED);
    await expect(batcher.addMany(["b"])).rejects.toMatchObject({ cause: CLOSED });
    await batcher.flush();
    await batcher[Symbol.asyncDispose]();
    expect(batcher.stats()).toMatchObject({ accepted: 1, committed: 1, held: 0 });
  });
});
