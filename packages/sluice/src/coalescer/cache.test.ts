import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { manualClock } from "../testing/index.ts";
import type { AnswerCache, MakeCache } from "./cache.ts";
import { createCoalescer } from "./coalescer.ts";
import type { CallKey } from "./key.ts";
import { lruCache } from "./lru-cache.ts";
import type { CoalescerOptions } from "./options.ts";

interface Request {
  readonly group: CallKey;
  readonly key: CallKey;
}
type Options = CoalescerOptions<Request, unknown, CallKey, CallKey>;

/** A coalescer that answers each question with its group, key and how many calls there were. */
function cached(cache: MakeCache<unknown> | undefined, options: Partial<Options> = {}) {
  const clock = manualClock();
  const events: SluiceEvent[] = [];
  const calls: string[] = [];
  const coalescer = createCoalescer<Request, unknown, CallKey, CallKey>({
    group: ({ group }) => group,
    key: ({ key }) => key,
    resolve: async (group, keys) => {
      calls.push(`${group}/${keys.join("")}`);
      return keys.map((key) => `${group}/${key} ${calls.length}`);
    },
    cache,
    clock,
    observe: (event) => events.push(event),
    ...options,
  });
  const load = (key: CallKey, group: CallKey = "g") => coalescer.load({ group, key });
  return { clock, events, calls, coalescer, load };
}

/** A cache in a Map, for all to see. */
function mapCache(): { readonly make: MakeCache<unknown>; readonly held: Map<string, unknown> } {
  const held = new Map<string, unknown>();
  return { held, make: () => held as AnswerCache<unknown> };
}

const NONE = { hits: 0, misses: 0, inserts: 0, evictions: 0, size: 0, hitRatio: 0 };

describe("a coalescer with lruCache", () => {
  it("asks once, and counts hits, misses and inserts by caller", async () => {
    const { calls, coalescer, load } = cached(lruCache());
    expect(coalescer.stats().cache).toEqual(NONE);
    expect(await Promise.all([load("a"), load("a")])).toEqual(["g/a 1", "g/a 1"]);
    expect(await Promise.all([load("a"), load("a"), load("b")])).toEqual([
      "g/a 1",
      "g/a 1",
      "g/b 2",
    ]);
    expect(calls).toEqual(["g/a", "g/b"]);
    const { cache, ...stats } = coalescer.stats();
    expect(cache).toEqual({ hits: 2, misses: 3, inserts: 2, evictions: 0, size: 2, hitRatio: 0.4 });
    expect(stats).toMatchObject({ loads: 5, answered: 5, shared: 1, calls: 2 });
  });

  it("asks again once ttlMs is over; what expired is an eviction", async () => {
    const { clock, calls, coalescer, load } = cached(lruCache({ ttlMs: 1_000 }));
    expect(await load("a")).toBe("g/a 1");
    await clock.advance(1_000);
    expect(await load("a")).toBe("g/a 1");
    await clock.advance(1);
    expect(await load("a")).toBe("g/a 2");
    expect(calls).toHaveLength(2);
    expect(coalescer.stats().cache).toMatchObject({
      hits: 1,
      misses: 2,
      inserts: 2,
      evictions: 1,
      size: 1,
    });
    await clock.settle();
    expect(clock.timers).toBe(0);
  });

  it("holds maxEntries answers; the one asked for least recently makes room", async () => {
    const { calls, coalescer, load } = cached(lruCache({ maxEntries: 2 }));
    for (const key of ["a", "b", "a", "c", "a", "b"]) await load(key);
    expect(calls).toEqual(["g/a", "g/b", "g/c", "g/b"]);
    expect(coalescer.stats().cache).toMatchObject({ hits: 2, inserts: 4, evictions: 2, size: 2 });
  });

  it("has caches of its own: two coalescers of one option share nothing", async () => {
    const cache = lruCache();
    const [one, two] = [cached(cache), cached(cache)];
    await one.load("a");
    await two.load("a");
    expect([one.calls, two.calls]).toEqual([["g/a"], ["g/a"]]);
    expect(two.coalescer.stats().cache).toMatchObject({ misses: 1, size: 1 });
  });

  it.for([
    [
      { maxEntries: 0 },
      "lruCache: maxEntries must be a whole number from 1 to 16777216; received 0",
    ],
    [{ maxEntries: 2 ** 24 + 1 }, "received 16777217"],
    [{ ttlMs: 0 }, "lruCache: ttlMs must be milliseconds from 1"],
    [{ ttlMs: Number.NaN }, "received NaN"],
    [{ ttl: 5 }, '"lruCache: ttl"'],
    [5, "received 5"],
  ] as const)("refuses %j", ([options, message]) => {
    expect(() => lruCache(options as never)).toThrow(message);
  });
});

describe("what is kept", () => {
  it("is an answer, null and false included; not a failure, and not one that is missing", async () => {
    const answers = new Map<CallKey, unknown>([
      ["null", null],
      ["false", false],
      ["error", new Error("no")],
    ]);
    for (const missing of ["error", "undefined"] as const) {
      const { coalescer, load } = cached(lruCache(), { missing, resolve: () => answers });
      for (let round = 0; round < 2; round += 1) {
        await Promise.allSettled(["null", "false", "error", "none"].map((key) => load(key)));
      }
      expect(await load("null")).toBe(null);
      expect(coalescer.stats()).toMatchObject({ calls: 2, missing: 2 });
      expect(coalescer.stats().cache).toMatchObject({ inserts: 2, hits: 3, misses: 6 });
    }
  });

  it("is kept under group and key, types told apart: no two questions have one place", async () => {
    const { held, make } = mapCache();
    const { coalescer } = cached(make);
    const texts = [
      "",
      "a",
      "ab",
      "b",
      "bc",
      "c",
      ":",
      "1",
      "1:",
      "11",
      "string",
      "astring:b",
      "bstring:c",
      "g1:",
      "true",
      "NaN",
    ];
    const parts: CallKey[] = [...texts, 1, 11, 1n, true, Infinity, 0.1];
    const questions = parts.flatMap((group) => parts.map((key) => ({ group, key })));
    await Promise.all(questions.map((question) => coalescer.load(question)));
    expect(held.size).toBe(parts.length ** 2);
    for (const { group, key } of questions) {
      expect(String(await coalescer.load({ group, key }))).toContain(`${group}/${key} `);
    }
    expect(coalescer.stats().cache).toMatchObject({ hits: questions.length, hitRatio: 0.5 });
  });

  it("is kept for a caller who has left, if the call went on for others", async () => {
    let answer = (): void => undefined;
    const { clock, coalescer, load } = cached(lruCache(), {
      resolve: (_group, keys) => new Promise((resolve) => (answer = () => resolve(keys))),
    });
    const controller = new AbortController();
    const left = coalescer.load({ group: "g", key: "a" }, { signal: controller.signal });
    const other = load("b");
    await clock.settle();
    controller.abort("gone");
    await expect(left).rejects.toBe("gone");
    answer();
    expect(await Promise.all([other, load("a")])).toEqual(["b", "a"]);
    expect(await load("a")).toBe("a");
    expect(coalescer.stats()).toMatchObject({ calls: 1, cache: { hits: 1, inserts: 2 } });
  });
});

describe("invalidate and clear", () => {
  it("forget what is kept: one answer, or all", async () => {
    const { calls, coalescer, load } = cached(lruCache());
    await Promise.all([load("a"), load("b")]);
    coalescer.invalidate({ group: "g", key: "a" });
    coalescer.invalidate({ group: "h", key: "b" });
    expect(await Promise.all([load("a"), load("b")])).toEqual(["g/a 2", "g/b 1"]);
    coalescer.clear();
    expect(coalescer.stats().cache).toMatchObject({ size: 0, evictions: 0 });
    expect(await Promise.all([load("a"), load("b")])).toEqual(["g/a 3", "g/b 3"]);
    expect(calls).toEqual(["g/ab", "g/a", "g/ab"]);
  });

  it.for(["invalidate", "clear"] as const)(
    "%s: an answer on its way is for those who asked before, is not kept, and is asked anew",
    async (method) => {
      for (const cache of [lruCache(), undefined]) {
        const answers: (() => void)[] = [];
        const { clock, calls, coalescer, load } = cached(cache, {
          resolve: (_group, keys) => {
            calls.push(keys.join(""));
            const answer = `answer ${calls.length}`;
            return new Promise((resolve) => answers.push(() => resolve(keys.map(() => answer))));
          },
        });
        const before = [load("a"), load("b")];
        await clock.settle();
        coalescer[method]({ group: "g", key: "a" });
        const after = load("a");
        await clock.settle();
        expect(calls).toEqual(["ab", "a"]);
        answers[1]?.();
        expect(await after).toBe("answer 2");
        answers[0]?.();
        expect(await Promise.all(before)).toEqual(["answer 1", "answer 1"]);
        await clock.settle();
        const inserts = method === "clear" ? 1 : 2;
        expect(coalescer.stats().cache.inserts).toBe(cache === undefined ? 0 : inserts);
        if (cache !== undefined) expect(await load("a")).toBe("answer 2");
      }
    },
  );

  it.for(["invalidate", "clear"] as const)(
    "%s: a question that gathers still is asked after it, and so asked once",
    async (method) => {
      const { calls, coalescer, load } = cached(lruCache(), {
        maxBufferedEntries: 2,
        maxEntries: 2,
      });
      const asked = [load("a"), load("b"), load("c")];
      for (const key of ["a", "c"]) coalescer[method]({ group: "g", key });
      asked.push(load("a"), load("c"));
      await Promise.all(asked);
      expect(calls).toEqual(["g/ab", "g/c"]);
      expect(coalescer.stats().cache).toMatchObject({ inserts: 3, size: 3 });
    },
  );

  it("an old answer that comes does not keep others from joining the question asked anew", async () => {
    const answers: (() => void)[] = [];
    const { clock, calls, coalescer, load } = cached(undefined, {
      maxDelayMs: 10,
      random: () => 0,
      resolve: (_group, keys) => {
        calls.push(keys.join(""));
        return new Promise((resolve) => answers.push(() => resolve(keys)));
      },
    });
    const asked = [load("a")];
    await clock.advance(10);
    coalescer.invalidate({ group: "g", key: "a" });
    asked.push(load("a"));
    answers[0]?.();
    await clock.settle();
    asked.push(load("a"));
    await clock.advance(10);
    answers[1]?.();
    expect(await Promise.all(asked)).toEqual(["a", "a", "a"]);
    expect(calls).toEqual(["a", "a"]);
  });

  it("invalidate throws what group or key throw, and for what they may not give", () => {
    const { coalescer } = cached(undefined);
    const invalidate = (): void => coalescer.invalidate({ group: "g", key: {} as never });
    expect(invalidate).toThrow("key() must give");
  });
});

describe("a cache of somebody else's", () => {
  it("that throws costs a warning, and is a miss; what it did not take is no insert", async () => {
    const broken: MakeCache<unknown> = () => ({
      size: 0,
      get: () => raise(new Error("get broke")),
      set: () => raise(new Error("set broke")),
      delete: () => raise(new Error("delete broke")),
      clear: () => raise(new Error("clear broke")),
    });
    const { calls, coalescer, events, load } = cached(broken);
    expect(await Promise.all([load("a"), load("b")])).toEqual(["g/a 1", "g/b 1"]);
    coalescer.invalidate({ group: "g", key: "a" });
    coalescer.clear();
    const warnings = events.flatMap((event) =>
      event.type === "warning" ? [String(event.error)] : [],
    );
    expect(warnings.map((text) => text.replace("Error: ", "").split(" ")[0])).toEqual([
      "get",
      "get",
      "set",
      "set",
      "delete",
      "clear",
    ]);
    expect(calls).toEqual(["g/ab"]);
    expect(coalescer.stats().cache).toEqual({ ...NONE, misses: 2 });
    expect(coalescer.stats()).toMatchObject({ loads: 2, answered: 2, pending: 0 });
  });

  it("that gives something other than what it was given is a miss", async () => {
    for (const odd of [null, false, 0, "text"]) {
      const strange = (): unknown => ({
        ...mapCache().make,
        get: () => odd,
        set() {},
        delete() {},
        clear() {},
      });
      const { coalescer, load } = cached(strange as MakeCache<unknown>);
      expect(await load("a")).toBe("g/a 1");
      expect(coalescer.stats()).toMatchObject({ loads: 1, answered: 1, refused: 0, pending: 0 });
      expect(coalescer.stats().cache).toMatchObject({ hits: 0, misses: 1 });
    }
  });
});

function raise(error: Error): never {
  throw error;
}
