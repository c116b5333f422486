import { describe, expect, expectTypeOf, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { manualClock } from "../testing/index.ts";
import { createCoalescer } from "./coalescer.ts";
import type { CallKey } from "./key.ts";
import type { CoalescerOptions } from "./options.ts";

interface Request {
  readonly group: CallKey;
  readonly key: CallKey;
}
type Options = CoalescerOptions<Request, unknown, CallKey, CallKey>;

const INVALID = { code: "SLUICE_ERR_ANSWER_INVALID", disposition: "rejected" };

/** A coalescer of what `resolve` gives, and what it warns of. */
function setup(options: Partial<Options> & Pick<Options, "resolve">) {
  const events: SluiceEvent[] = [];
  const calls: (readonly CallKey[])[] = [];
  const coalescer = createCoalescer<Request, unknown, CallKey, CallKey>({
    group: ({ group }) => group,
    key: ({ key }) => key,
    observe: (event) => events.push(event),
    ...options,
    resolve: (group, keys, context) => {
      calls.push(keys);
      return options.resolve(group, keys, context);
    },
  });
  const load = (group: CallKey, key: CallKey): Promise<unknown> => coalescer.load({ group, key });
  const warnings = (): unknown[] =>
    events.flatMap((event) => (event.type === "warning" ? [event.error] : []));
  return { calls, coalescer, events, load, warnings };
}

describe("what resolve gives", () => {
  it("may be an array in order or a Map in any, at once or later", async () => {
    const map = (keys: readonly CallKey[]) =>
      new Map([...keys].reverse().map((k) => [k, `<${k}>`]));
    const array = (keys: readonly CallKey[]) => keys.map((key) => `<${key}>`);
    for (const answers of [map, array]) {
      for (const resolve of [
        (_: unknown, keys: readonly CallKey[]) => answers(keys),
        async (_: unknown, keys: readonly CallKey[]) => answers(keys),
      ]) {
        const { load } = setup({ resolve });
        expect(await Promise.all([load("g", 2), load("g", 1)])).toEqual(["<2>", "<1>"]);
      }
    }
  });

  it("may be falsy: null, 0, an empty text and false are answers", async () => {
    const answers = [null, 0, "", false];
    const { load } = setup({ resolve: () => answers });
    expect(await Promise.all(answers.map((_, key) => load("g", key)))).toEqual(answers);
  });

  it("fails one key by an Error in its place, with that very error", async () => {
    const error = new TypeError("not this one");
    const { coalescer, load } = setup({
      resolve: () =>
        new Map<CallKey, unknown>([
          ["a", 1],
          ["b", error],
        ]),
    });
    const asked = await Promise.allSettled([load("g", "a"), load("g", "b"), load("g", "b")]);
    expect(asked.map((one) => (one.status === "fulfilled" ? one.value : one.reason))).toEqual([
      1,
      error,
      error,
    ]);
    expect((asked[1] as PromiseRejectedResult).reason).toBe(error);
    expect(coalescer.stats()).toMatchObject({ answered: 1, failed: 2, missing: 0, pending: 0 });
  });

  it("is told of by its key, also where a key before it was not asked any more", async () => {
    const { coalescer, load, events } = setup({
      resolve: (_, keys) => keys.map(() => new Error("no")),
    });
    const controller = new AbortController();
    const { signal } = controller;
    const left = coalescer.load({ group: "g", key: "left" }, { signal });
    const asked = [left, load("g", "a"), load("g", "b")];
    controller.abort("gone");
    await Promise.allSettled(asked);
    await coalescer.flush();
    const letters = events.flatMap((event) =>
      event.type === "dead-lettered" ? [event.entry] : [],
    );
    expect(letters).toMatchObject([{ key: "a" }, { key: "b" }]);
  });

  it("and is not there is SLUICE_ERR_ANSWER_MISSING, or undefined by option; never another's", async () => {
    const named = new Map([
      ["a", "A"],
      ["b", undefined],
    ]);
    for (const given of [new Map([["a", "A"]]), named, ["A", undefined]]) {
      const strict = setup({ resolve: () => given });
      const [a, b] = await Promise.allSettled([strict.load("g", "a"), strict.load("g", "b")]);
      expect(a).toMatchObject({ value: "A" });
      expect(b).toMatchObject({ reason: { code: "SLUICE_ERR_ANSWER_MISSING" } });
      expect(b).toMatchObject({ reason: { message: expect.stringContaining('"b"') } });
      expect(strict.coalescer.stats()).toMatchObject({ answered: 1, failed: 1, missing: 1 });
      expect(strict.warnings()).toEqual([]);
      const lenient = setup({ resolve: () => given, missing: "undefined" });
      expect(await Promise.all([lenient.load("g", "a"), lenient.load("g", "b")])).toEqual([
        "A",
        undefined,
      ]);
      expect(lenient.coalescer.stats()).toMatchObject({ answered: 2, failed: 0, missing: 1 });
    }
  });

  it("for what was not asked is a warning, and nobody's answer", async () => {
    const { load, warnings } = setup({
      resolve: () =>
        new Map<CallKey, unknown>([
          ["a", "A"],
          ["1", "text"],
          ["z", "Z"],
        ]),
      missing: "undefined",
    });
    expect(await Promise.all([load("g", "a"), load("g", 1)])).toEqual(["A", undefined]);
    expect(warnings()).toEqual([expect.objectContaining({ code: INVALID.code })]);
    expect(String(warnings()[0])).toContain('"1", which was not asked (2 such answers)');
  });

  it.for([
    ["nothing", undefined, "undefined"],
    ["null", null, "null"],
    ["an object", { a: 1 }, '{"a":1}'],
    ["too few", [1], "an array of 1 answers to 2 keys"],
    ["too many", [1, 2, 3], "an array of 3 answers to 2 keys"],
    ["a Set", new Set([1, 2]), "{}"],
  ] as const)("that is no set of answers fails the call at once: %s", async ([, given, quoted]) => {
    const { calls, load } = setup({ resolve: () => given as never });
    const asked = await Promise.allSettled([load("g", "a"), load("g", "b")]);
    for (const one of asked) {
      expect(one).toMatchObject({ reason: INVALID });
      expect(one).toMatchObject({ reason: { message: expect.stringContaining(quoted) } });
    }
    expect(calls).toHaveLength(1);
  });

  it("may be thrown, before or after a promise, and is the same error for all its callers alone", async () => {
    const error = new RangeError("no");
    for (const resolve of [
      (group: CallKey) => (group === "bad" ? raise(error) : ["fine"]),
      async (group: CallKey) => (group === "bad" ? raise(error) : ["fine"]),
    ]) {
      const { coalescer, load } = setup({ resolve });
      const good = load("good", "k");
      const [a, b] = await Promise.allSettled([load("bad", "k"), load("bad", "k")]);
      expect((a as PromiseRejectedResult).reason).toBe(error);
      expect((b as PromiseRejectedResult).reason).toBe(error);
      expect(await good).toBe("fine");
      expect(coalescer.stats()).toMatchObject({ calls: 2, retries: 0, failed: 2, answered: 1 });
    }
  });

  it("and throws is the same for all its callers, however long it takes to tell them", async () => {
    const manual = manualClock();
    let late = 0;
    const clock = { ...manual, now: () => (late += 1) }; // a look at the clock takes its time
    const error = new Error("for all");
    const { load } = setup({ clock, callTimeoutMs: 5, resolve: () => raise(error) });
    const asked = Array.from({ length: 20 }, (_, key) => load("g", key));
    const settled = await Promise.allSettled(asked);
    expect(settled.map((one) => one.status === "rejected" && one.reason === error)).toEqual(
      Array(20).fill(true),
    );
  });

  it("is typed: a Map or an array of answers, and undefined where that may be the answer", () => {
    const key = (text: string): string => text;
    const resolve = (): number[] => [];
    const strict = createCoalescer({ key, resolve });
    const lenient = createCoalescer({ key, resolve, missing: "undefined" });
    expectTypeOf(strict.load).returns.resolves.toEqualTypeOf<number>();
    expectTypeOf(lenient.load).returns.resolves.toEqualTypeOf<number | undefined>();
  });
});

function raise(error: Error): never {
  throw error;
}
