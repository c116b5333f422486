import { describe, expect, it } from "vitest";
import { resolveLimits } from "../core/options.ts";
import { manualClock } from "../testing/index.ts";
import { createCoalescer } from "./coalescer.ts";
import { batcherLimits } from "./options.ts";

const parts = {
  key: (key: string): string => key,
  resolve: (_group: undefined, keys: readonly string[]): readonly string[] => keys,
};

/** Makes a coalescer of options that are wrong on purpose. */
const make = (options: object): unknown => createCoalescer({ ...parts, ...options });

const INVALID = "SLUICE_ERR_OPTION_INVALID";
const CONFLICT = "SLUICE_ERR_OPTION_CONFLICT";

describe("an option that is wrong", () => {
  const notCounts = [0, -1, 1.5, Number.NaN, Infinity, "10", null, 2 ** 41];
  const notTimes = [-1, Number.NaN, "10", null];
  const rows: [option: string, values: readonly unknown[]][] = [
    ["name", ["", "a\0b", "x".repeat(201), 5, null]],
    ["group", [5, "g", null, {}]],
    ["key", [undefined, 5, "k", null]],
    ["resolve", [undefined, 5, null, { resolve: 1 }]],
    ["missing", ["ignore", null, true]],
    ["maxEntries", notCounts],
    ["maxDelayMs", [...notTimes, Infinity, 2 ** 31]],
    ["dispatchWhenIdle", [1, "true", null]],
    ["maxInFlight", [...notCounts, 1_025]],
    ["maxBufferedEntries", notCounts],
    ["overflow", ["drop-oldest", "drop-newest", null]],
    ["callTimeoutMs", [...notTimes, 0, Infinity, 2 ** 31]],
    ["deliveryTimeoutMs", [...notTimes, 0, 0.5]],
    ["retry", [5, null, []]],
    ["closeTimeoutMs", [...notTimes, Infinity]],
    ["cache", [5, null, {}, new Map()]],
    ["observe", [5, null, {}]],
    ["clock", [5, null, {}, { ...manualClock(), schedule: undefined }]],
    ["random", [5, null]],
  ];
  const cases = rows.flatMap(([option, values]) => values.map((value) => [option, value] as const));

  it.for(cases)("%s: %o is refused by its name, and quoted", ([option, value]) => {
    const error = thrown(() => make({ [option]: value }));
    expect(error).toMatchObject({ code: INVALID, disposition: "usage" });
    expect(error.message).toMatch(new RegExp(`^${option} must be `));
    const shown = typeof value === "object" && value !== null ? "" : String(value).slice(0, 80);
    expect(error.message).toContain("received ");
    if (option !== "name") expect(error.message).toContain(shown);
  });

  it.for([
    ["retry.baseDelayMs", { baseDelayMs: 0 }, "0"],
    ["retry.maxDelayMs", { maxDelayMs: -1 }, "-1"],
    ["retry.maxAttempts", { maxAttempts: 0 }, "0"],
    ["retry.maxAttempts", { maxAttempts: 1.5 }, "1.5"],
  ] as const)("%s: %o as well", ([option, retry, value]) => {
    const error = thrown(() => make({ retry }));
    expect(error).toMatchObject({ code: INVALID });
    expect(error.message).toMatch(new RegExp(`^${option} must be .*received ${value}$`));
  });

  it.for([
    [{ maxBytes: 5 }, "maxBytes"],
    [{ lanes: 5 }, "lanes"],
    [{ writeTimeoutMs: 5 }, "writeTimeoutMs"],
    [{ batchSize: 5 }, "batchSize"],
    [{ retry: { circuitAfter: 5 } }, "retry.circuitAfter"],
  ] as const)("%j is unknown, be it known to a batcher", ([options, name]) => {
    const error = thrown(() => make(options));
    expect(error).toMatchObject({ code: "SLUICE_ERR_OPTION_UNKNOWN" });
    expect(error.message).toContain(`there is no option "${name}"`);
  });

  it.for([
    [
      { callTimeoutMs: 200, deliveryTimeoutMs: 100 },
      "callTimeoutMs (200)",
      "deliveryTimeoutMs (100)",
    ],
    [{ maxEntries: 10, maxBufferedEntries: 5 }, "maxEntries (10)", "maxBufferedEntries (5)"],
    [{ retry: { baseDelayMs: 9, maxDelayMs: 5 } }, "retry.baseDelayMs (9)", "retry.maxDelayMs (5)"],
  ] as const)("%j contradicts itself", ([options, low, high]) => {
    const error = thrown(() => make(options));
    expect(error).toMatchObject({ code: CONFLICT });
    expect(error.message).toBe(`${low} must not be above ${high}`);
  });

  it.for([undefined, null, 5, []] as const)("and no options at all: %o", (options) => {
    const error = thrown(() => createCoalescer(options as never));
    expect(error).toMatchObject({ code: INVALID });
  });

  it.for(["get", "set", "delete", "clear"] as const)("a cache without %s is refused", (method) => {
    const cache = (): unknown => ({ ...methods, [method]: undefined });
    const error = thrown(() => make({ cache }));
    expect(error).toMatchObject({ code: INVALID });
    expect(error.message).toContain(`a function that makes an object with ${method}()`);
    expect(thrown(() => make({ cache: () => null })).message).toContain("received null");
  });
});

describe("an option that is not given", () => {
  const settings = (options: object) => {
    const limits = batcherLimits({ ...parts, ...options });
    return { ...resolveLimits(limits, false), lanes: limits.lanes };
  };

  it("has its default", () => {
    expect(settings({})).toMatchObject({
      maxEntries: 1_000,
      maxDelayMs: 0,
      dispatchWhenIdle: false,
      lanes: 16,
      maxBufferedEntries: 50_000,
      overflow: "wait",
      writeTimeoutMs: 10_000,
      deliveryTimeoutMs: 30_000,
      closeTimeoutMs: 15_000,
      retry: { baseDelayMs: 100, maxDelayMs: 30_000, maxAttempts: Infinity },
    });
    expect(createCoalescer(parts).name).toBe("calls");
    const all = Object.keys(settings({}));
    const undefineds = Object.fromEntries(OPTIONAL.map((option) => [option, undefined]));
    expect(Object.keys(settings(undefineds))).toEqual(all);
    expect(settings(undefineds)).toEqual(settings({}));
  });

  it("gives way to what was stated", () => {
    expect(settings({ maxEntries: 20_000 }).maxBufferedEntries).toBe(80_000);
    expect(settings({ maxBufferedEntries: 10 }).maxEntries).toBe(10);
    expect(settings({ deliveryTimeoutMs: 500 }).writeTimeoutMs).toBe(500);
    expect(settings({ deliveryTimeoutMs: Infinity }).writeTimeoutMs).toBe(10_000);
    expect(settings({ callTimeoutMs: 60_000 }).deliveryTimeoutMs).toBe(60_000);
    expect(settings({ callTimeoutMs: 5 }).deliveryTimeoutMs).toBe(30_000);
  });

  it("of bytes has no limit that anybody could meet: questions are limited by number", () => {
    const { maxBytes, maxBufferedBytes, maxBufferedEntries } = settings({
      maxBufferedEntries: 2 ** 40,
    });
    expect([maxBytes, maxBufferedBytes]).toEqual([maxBufferedEntries, maxBufferedEntries]);
  });
});

describe("overflow", () => {
  const full = (overflow?: "wait" | "reject", maxBufferedEntries = 1) => {
    const clock = manualClock();
    const answers: (() => void)[] = [];
    const coalescer = createCoalescer<string, string, string>({
      key: (key) => key,
      resolve: (_, keys) => new Promise((resolve) => answers.push(() => resolve(keys))),
      maxBufferedEntries,
      overflow,
      maxDelayMs: 1_000,
      dispatchWhenIdle: true,
      clock,
    });
    return { clock, coalescer, answers };
  };

  it("reject turns a new question away, and lets an open one be joined", async () => {
    const { clock, coalescer, answers } = full("reject");
    const asked = [coalescer.load("a")];
    await expect(coalescer.load("b")).rejects.toMatchObject({ code: "SLUICE_ERR_BATCHER_FULL" });
    asked.push(coalescer.load("a"));
    await clock.settle();
    answers[0]?.();
    expect(await Promise.all(asked)).toEqual(["a", "a"]);
    await clock.settle();
    const again = coalescer.load("b");
    await clock.settle();
    answers[1]?.();
    expect(await again).toBe("b");
    expect(coalescer.stats()).toMatchObject({ loads: 4, answered: 3, failed: 1, shared: 1 });
  });

  it("wait lets a new question wait, and others join it meanwhile", async () => {
    const { clock, coalescer, answers } = full();
    const asked = ["a", "b", "b"].map((key) => coalescer.load(key));
    await clock.settle();
    expect(coalescer.stats()).toMatchObject({ held: 1, waiting: 1, pending: 3, shared: 1 });
    answers[0]?.();
    await clock.settle();
    asked.push(coalescer.load("b")); // it has its room, and is in flight
    answers[1]?.();
    expect(await Promise.all(asked)).toEqual(["a", "b", "b", "b"]);
    await clock.settle();
    expect(coalescer.stats()).toMatchObject({ calls: 2, shared: 2, held: 0, waiting: 0 });
  });

  it("leaves no trace: who waited and had its answer leaves an idle coalescer behind", async () => {
    for (const overflow of ["wait", "reject"] as const) {
      const { clock, coalescer, answers } = full(overflow, 2);
      for (const key of ["a", "b", "c", "d"]) coalescer.load(key).catch(() => undefined);
      for (let call = 0; call < 3; call += 1) {
        await clock.settle();
        answers[call]?.();
      }
      await clock.settle();
      const [asked, calls] = [coalescer.load("e"), answers.length];
      await clock.settle();
      expect([answers.length - calls, clock.now()]).toEqual([1, 0]);
      answers.at(-1)?.();
      expect(await asked).toBe("e");
    }
  });
});

const methods = { size: 0, get() {}, set() {}, delete() {}, clear() {} };
const OPTIONAL = `name group missing maxEntries maxDelayMs dispatchWhenIdle maxInFlight
  maxBufferedEntries overflow callTimeoutMs deliveryTimeoutMs retry cache closeTimeoutMs observe
  clock random`.split(/\s+/);

function thrown(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  return expect.fail("nothing was thrown");
}
