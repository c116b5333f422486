import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { calls } from "../shapes/calls.ts";
import { list } from "../shapes/list.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import type { Limits } from "./options.ts";

const BASE = { shape: list<string>(), sink: (): undefined => undefined };
/** Calls `createBatcher` as JavaScript may: with anything. */
const loosely = (options: unknown): unknown => createBatcher(options as typeof BASE);

function refusal(call: () => unknown): { readonly code: string; readonly message: string } {
  try {
    call();
  } catch (error) {
    if (isSluiceError(error)) return error;
    return expect.fail(`not a SluiceError: ${String(error)}`);
  }
  return expect.fail("nothing was refused");
}

describe("createBatcher refuses", () => {
  const counts = ["maxEntries", "maxBytes", "maxBufferedEntries", "maxBufferedBytes", "lanes"];
  const times = ["maxDelayMs", "deliveryTimeoutMs", "writeTimeoutMs", "closeTimeoutMs"];
  const wrong: [string, unknown][] = [
    ...counts.flatMap((name) =>
      [0, -1, 1.5, Number.NaN, Infinity, 2 ** 41, "5", null, 5n, {}].map(
        (value): [string, unknown] => [name, value],
      ),
    ),
    ...times.flatMap((name) =>
      [-1, Number.NaN, -Infinity, "5", null, 5n, {}].map((value): [string, unknown] => [
        name,
        value,
      ]),
    ),
    ["maxDelayMs", Infinity],
    ["closeTimeoutMs", Infinity],
    ["lanes", 1_025],
    ["overflow", "block"],
    ["overflow", null],
    ["overflow", "toString"],
    ["retry", 5],
    ["retry", null],
    ["retry", "often"],
    ["retry", []],
    ["name", ""],
    ["name", 5],
    ["name", null],
    ["name", "a".repeat(201)],
    ["name", "a\0"],
    ["name", "\ud800"],
    ["shape", null],
    ["shape", {}],
    ["shape", "list"],
    ["sink", null],
    ["sink", {}],
    ["sink", { write: 5 }],
    ["deadLetter", {}],
    ["deadLetter", null],
    ["observe", "all"],
    ["random", 0.5],
    ["clock", {}],
    ["clock", null],
    ["clock", 5],
  ];
  it.each(wrong)("%s: %o", (name, value) => {
    const { code, message } = refusal(() => loosely({ ...BASE, [name]: value }));
    expect(code).toBe("SLUICE_ERR_OPTION_INVALID");
    expect(message).toContain(name);
    expect(message).toMatch(/received /);
  });

  it("whatever is no object of options", () => {
    for (const value of [undefined, null, 5, "x", [], () => 1, Symbol("s")]) {
      expect(refusal(() => loosely(value)).code).toBe("SLUICE_ERR_OPTION_INVALID");
    }
  });

  it("options that do not exist, by name, inside retry too", () => {
    for (const name of ["maxItems", "MaxEntries", "__proto__x", "toString"]) {
      const { code, message } = refusal(() => loosely({ ...BASE, [name]: 1 }));
      expect(code).toBe("SLUICE_ERR_OPTION_UNKNOWN");
      expect(message).toContain(`"${name}"`);
    }
    expect(refusal(() => loosely({ ...BASE, retry: { base: 1 } })).message).toContain(
      '"retry.base"',
    );
  });

  it.each([
    [{ maxEntries: 11, maxBufferedEntries: 10 }, /maxEntries \(11\).*maxBufferedEntries \(10\)/],
    [{ maxBytes: 11, maxBufferedBytes: 10 }, /maxBytes \(11\).*maxBufferedBytes \(10\)/],
    [{ writeTimeoutMs: 11, deliveryTimeoutMs: 10 }, /writeTimeoutMs \(11\).*\(10\)/],
    [{ retry: { baseDelayMs: 11, maxDelayMs: 10 } }, /baseDelayMs \(11\).*\(10\)/],
  ] satisfies [Limits, RegExp][])("the contradiction %j", (limits, message) => {
    const error = refusal(() => loosely({ ...BASE, ...limits }));
    expect(error.code).toBe("SLUICE_ERR_OPTION_CONFLICT");
    expect(error.message).toMatch(message);
  });

  it("or takes anything at all, and throws nothing but a SluiceError", () => {
    const names = [...counts, ...times, "overflow", "retry", "name", "sink", "shape", "clock", "x"];
    const options = fc.dictionary(fc.constantFrom(...names), fc.anything(), { maxKeys: 4 });
    fc.assert(
      fc.property(options, (given) => {
        try {
          loosely({ ...BASE, ...given });
        } catch (error) {
          expect(isSluiceError(error), String(error)).toBe(true);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

it("the options of a call are refused like any others", async () => {
  const batcher = createBatcher(BASE);
  const unknown = {
    code: "SLUICE_ERR_OPTION_UNKNOWN",
    message: expect.stringContaining("timeout"),
  };
  const invalid = { code: "SLUICE_ERR_OPTION_INVALID" };
  const given = (options: unknown) => options as Record<string, never>;
  await expect(batcher.close(given({ timeout: 5 }))).rejects.toMatchObject(unknown);
  await expect(batcher.flush(given({ timeout: 5 }))).rejects.toMatchObject(unknown);
  await expect(batcher.flush(given(null))).rejects.toMatchObject(invalid);
  await expect(batcher.add("a", given(null))).rejects.toMatchObject(invalid);
  await expect(batcher.deliver("a", given(5))).rejects.toMatchObject(invalid);
  expect(batcher.stats().accepted).toBe(0);
});

it("a sink is asked, with an empty batch, whether it can write the shape", () => {
  const asked: unknown[] = [];
  const sink = {
    write: async () => undefined,
    check: (empty: readonly string[]) => {
      asked.push(empty);
      throw new Error("not this shape");
    },
  };
  expect(() => createBatcher({ shape: list<string>(), sink })).toThrow("not this shape");
  expect(asked).toEqual([[]]);
});

describe("a default", () => {
  it.each([
    { maxBufferedEntries: 100 },
    { maxBufferedBytes: 100 },
    { maxEntries: 200_000 },
    { maxBytes: 2 ** 30 },
    { retry: { maxDelayMs: 20 } },
    { retry: { baseDelayMs: 60_000 } },
    { deliveryTimeoutMs: 100 },
  ] satisfies Limits[])("gives way to the stated %j", (limits) => {
    expect(() => createBatcher({ ...BASE, ...limits })).not.toThrow();
  });
});

describe("an option that is undefined", () => {
  it("is an option that is absent", () => {
    const every = [
      ...Object.keys(BASE),
      "maxEntries",
      "overflow",
      "retry",
      "name",
      "clock",
      "lanes",
    ];
    const absent = Object.fromEntries(every.map((name) => [name, undefined]));
    expect(() => loosely({ ...absent, ...BASE })).not.toThrow();
  });
});

/** A batcher of texts before a store that answers when the test says so. */
function running(limits: Limits = {}) {
  const clock = manualClock();
  const events: SluiceEvent[] = [];
  const answers: (() => void)[] = [];
  const batcher = createBatcher({
    shape: list<string>(),
    sink: () => new Promise<void>((resolve) => answers.push(resolve)),
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    ...limits,
  });
  const sealed = (): unknown[] =>
    events.flatMap((event) => (event.type === "sealed" ? [[event.entries, event.reason]] : []));
  return { batcher, clock, sealed, answers };
}

describe("configure, while it runs", () => {
  it("raises and lowers the limits of what is gathered", async () => {
    const { batcher, clock, sealed } = running({ maxEntries: 3 });
    batcher.tryAdd("a");
    batcher.configure({ maxEntries: 5 });
    for (const text of "bcd") batcher.tryAdd(text);
    await clock.settle();
    expect(sealed()).toEqual([]);
    batcher.configure({ maxEntries: 4 });
    await clock.settle();
    expect(sealed()).toEqual([[4, "entries"]]);
  });

  it("re-arms maxDelayMs, counted from the first item as ever", async () => {
    const { batcher, clock, sealed } = running({ maxDelayMs: 1_000 });
    batcher.tryAdd("a");
    await clock.advance(100);
    batcher.configure({ maxDelayMs: 300 });
    await clock.advance(199);
    expect(sealed()).toEqual([]);
    batcher.configure({ maxDelayMs: 500 });
    await clock.advance(199);
    expect(sealed()).toEqual([]);
    await clock.advance(2);
    expect(sealed()).toEqual([[1, "delay"]]);
    batcher.tryAdd("b");
    expect(clock.timers).toBeLessThanOrEqual(1);
  });

  it("sends at once what is older than a lowered maxDelayMs", async () => {
    const { batcher, clock, sealed } = running({ maxDelayMs: 1_000 });
    batcher.tryAdd("a");
    await clock.advance(100);
    batcher.configure({ maxDelayMs: 50 });
    await clock.advance(0);
    expect(sealed()).toEqual([[1, "delay"]]);
  });

  it("lets waiting producers in when there is more room, and turns away what cannot fit", async () => {
    const { batcher, clock } = running({ maxEntries: 1, maxBufferedEntries: 1, maxBytes: 9 });
    batcher.tryAdd("a");
    const waiting = [batcher.add("b"), batcher.add("123456789")];
    await clock.settle();
    expect(batcher.stats().waiting).toBe(2);
    batcher.configure({ maxBufferedEntries: 2 });
    await waiting[0];
    batcher.configure({ maxBytes: 8, maxBufferedBytes: 8 });
    await expect(waiting[1]).rejects.toMatchObject({ code: "SLUICE_ERR_ITEM_TOO_LARGE" });
    expect(batcher.stats()).toMatchObject({ waiting: 0, held: 2 });
  });

  it("to less room lets nothing in until there is less than that, also where there are groups", async () => {
    const clock = manualClock();
    const answers: (() => void)[] = [];
    const batcher = createBatcher({
      shape: calls<string>(),
      sink: () => new Promise<void>((resolve) => void answers.push(resolve)),
      clock,
      lanes: 4,
      maxEntries: 1,
      maxBufferedEntries: 4,
      overflow: "reject",
    });
    for (const text of "abcd") expect(batcher.tryAdd(text)).toBe(true);
    await clock.settle();
    expect(answers).toHaveLength(4);
    batcher.configure({ maxBufferedEntries: 1 });
    for (let left = 3; left >= 0; left -= 1) {
      answers.shift()?.();
      await clock.settle();
      expect(batcher.stats().held).toBe(left);
      expect(batcher.tryAdd("e"), `${left} held`).toBe(left === 0);
    }
    void batcher.close({ timeoutMs: 0 });
    await clock.advance(0);
  });

  it("changes nothing when it is refused", async () => {
    const { batcher, clock, sealed } = running({ maxEntries: 2, maxBufferedEntries: 10 });
    for (const changes of [
      { maxEntries: 11 },
      { maxEntries: 5, maxDelayMs: -1 },
      { maxEntries: 5, lanes: 2 },
      { maxEntries: 5, name: "other" },
      { maxEntries: 5, retry: { base: 1 } },
      { maxEntries: 5, retry: 5 },
      null,
      undefined,
      5,
      [],
    ]) {
      expect(refusal(() => batcher.configure(changes as Limits)).code).toMatch(
        /^SLUICE_ERR_OPTION_/,
      );
    }
    for (const text of "ab") batcher.tryAdd(text);
    await clock.settle();
    expect(sealed()).toEqual([[2, "entries"]]);
  });

  it("keeps what is not given, or given as undefined, and is not moved by its own options later", async () => {
    const options: { maxEntries: number; maxBufferedEntries: number } = {
      maxEntries: 2,
      maxBufferedEntries: 10,
    };
    const clock = manualClock();
    const seen: number[] = [];
    const all = {
      shape: list<string>(),
      sink: (batch: readonly string[]) => void seen.push(batch.length),
      clock,
    };
    const given = { ...all, ...options };
    const batcher = createBatcher(given);
    given.maxEntries = 7;
    batcher.configure({ maxEntries: undefined, retry: { maxDelayMs: undefined } });
    batcher.configure({ maxDelayMs: 100 });
    for (const text of "abcd") batcher.tryAdd(text);
    await clock.settle();
    expect(seen).toEqual([2, 2]);
  });
});
