import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, it } from "vitest";
import { manualClock } from "../testing/index.ts";
import { type Coalescer, createCoalescer } from "./coalescer.ts";
import type { CallKey } from "./key.ts";
import type { CoalescerOptions } from "./options.ts";

interface Request {
  readonly group: CallKey;
  readonly key: CallKey;
  readonly by?: string;
}
type Options = CoalescerOptions<Request, unknown, CallKey, CallKey>;

/** A coalescer that notes its calls, and answers each question with its group and key. */
function setup(options: Partial<Options> = {}) {
  const clock = manualClock();
  const calls: [CallKey, readonly CallKey[]][] = [];
  const coalescer = createCoalescer<Request, unknown, CallKey, CallKey>({
    group: ({ group }) => group,
    key: ({ key }) => key,
    clock,
    random: () => 0,
    ...options,
    resolve: (group, keys, context) => {
      calls.push([group, keys]);
      if (options.resolve !== undefined) return options.resolve(group, keys, context);
      return keys.map((key) => `${group}/${key}`);
    },
  });
  const load = (group: CallKey, key: CallKey): Promise<unknown> => coalescer.load({ group, key });
  return { clock, calls, coalescer, load };
}

const balanced = (coalescer: Coalescer<never, unknown>): void => {
  const { loads, answered, failed, aborted, pending } = coalescer.stats();
  expect(answered + failed + aborted + pending).toBe(loads);
};

describe("what is asked in one tick", () => {
  it("goes in one call for each group, equal questions once, and each caller has its answer", async () => {
    const { calls, coalescer, load } = setup();
    const asked = [load("a", "x"), load("a", "x"), load("b", "x"), load("a", "y")];
    expect(calls).toEqual([]);
    expect(await Promise.all(asked)).toEqual(["a/x", "a/x", "b/x", "a/y"]);
    expect(calls).toEqual([
      ["a", ["x", "y"]],
      ["b", ["x"]],
    ]);
    expect(coalescer.stats()).toMatchObject({ loads: 4, answered: 4, shared: 1, calls: 2 });
  });

  it("includes what promise jobs of that tick ask, however deep", async () => {
    const { clock, calls, load } = setup();
    const asked = [load("g", "first")];
    await Promise.resolve();
    asked.push(load("g", "second"));
    for (let job = 0; job < 50; job += 1) await Promise.resolve();
    asked.push(load("g", "last"));
    expect(calls).toEqual([]);
    await clock.settle();
    expect(calls).toEqual([["g", ["first", "second", "last"]]]);
    await Promise.all(asked);
    await load("g", "first");
    expect(calls).toHaveLength(2);
    await clock.settle();
    expect(clock.timers).toBe(0);
  });

  it("includes the promise jobs of what is no promise job itself, such as a timer", async () => {
    const { clock, calls, load } = setup();
    const asked: Promise<unknown>[] = [];
    setImmediate(() => {
      asked.push(load("g", "first"));
      let job = Promise.resolve();
      for (let depth = 0; depth < 10; depth += 1) job = job.then(() => undefined);
      void job.then(() => asked.push(load("g", "second")));
    });
    await clock.settle();
    await clock.settle();
    await Promise.all(asked);
    expect(calls).toEqual([["g", ["first", "second"]]]);
  });

  it("goes in calls of maxEntries keys, and the rest in further ones", async () => {
    const { calls, load } = setup({ maxEntries: 2 });
    const asked = ["a", "b", "a", "c", "d", "e", "b"].map((key) => load("g", key));
    expect((await Promise.all(asked)).join()).toBe("g/a,g/b,g/a,g/c,g/d,g/e,g/b");
    expect(calls.map(([, keys]) => keys)).toEqual([["a", "b"], ["c", "d"], ["e"]]);
  });

  it("gathers for maxDelayMs, a full call excepted", async () => {
    const { clock, calls, load } = setup({ maxDelayMs: 20, maxEntries: 3 });
    void load("g", 1);
    await clock.advance(19);
    void load("g", 2);
    void load("h", 1);
    expect(calls).toEqual([]);
    await clock.advance(1);
    expect(calls).toEqual([["g", [1, 2]]]);
    for (const key of [1, 2, 3]) void load("i", key);
    await clock.settle();
    expect(calls[1]).toEqual(["i", [1, 2, 3]]);
    await clock.advance(19);
    expect(calls[2]).toEqual(["h", [1]]);
    expect(clock.timers).toBe(0);
  });

  it("10,000 checks by 100 users of 50 gates take 100 calls, and name each gate once", async () => {
    const { clock, calls, coalescer, load } = setup({ maxEntries: 100 });
    const checks = Array.from({ length: 10_000 }, (_, n) => [n % 100, (n * 7 + (n % 13)) % 50]);
    const answers = await Promise.all(checks.map(([user = 0, gate = 0]) => load(user, gate)));
    expect(answers).toEqual(checks.map(([user, gate]) => `${user}/${gate}`));
    expect(calls).toHaveLength(100);
    expect(new Set(calls.map(([user]) => user)).size).toBe(100);
    for (const [, gates] of calls) expect(new Set(gates).size).toBe(gates.length);
    await clock.settle();
    expect(coalescer.stats()).toMatchObject({ loads: 10_000, answered: 10_000, held: 0 });
  });
});

it("what nobody waits for any more is told as dropped: withdrawn, gathered or in flight", async () => {
  const dropped: unknown[] = [];
  const { clock, coalescer, load } = setup({
    resolve: () => new Promise(() => undefined),
    observe: (event) => event.type === "dropped" && dropped.push([event.reason, event.entries]),
  });
  for (const wait of [clock.settle, () => undefined]) {
    const controller = new AbortController();
    const ask = (key: number) => coalescer.load({ group: "g", key }, { signal: controller.signal });
    const asked = Promise.allSettled([ask(1), ask(2)]);
    await wait();
    controller.abort();
    await asked;
    await clock.settle();
  }
  expect(dropped).toEqual([
    ["withdrawn", 2],
    ["withdrawn", 1],
    ["withdrawn", 1],
  ]);
  void load("g", 1).catch(() => undefined);
  await coalescer.close({ pending: "reject" });
});

it("what gathers while a call is under way waits for maxDelayMs, unless told otherwise", async () => {
  const answers: (() => void)[] = [];
  const { clock, calls, load } = setup({
    maxDelayMs: 100,
    resolve: (_group, keys) => new Promise((resolve) => answers.push(() => resolve(keys))),
  });
  void load("g", 1);
  await clock.advance(100);
  void load("g", 2);
  answers[0]?.();
  await clock.advance(99);
  expect(calls).toHaveLength(1);
  await clock.advance(1);
  expect(calls).toHaveLength(2);
});

describe("equal questions", () => {
  it("share a call in flight, and ask anew once it has answered", async () => {
    const answers: ((answers: readonly unknown[]) => void)[] = [];
    const { clock, calls, load } = setup({
      resolve: () => new Promise((resolve) => answers.push(resolve)),
    });
    const first = load("g", "k");
    await clock.settle();
    const second = load("g", "k");
    await clock.settle();
    expect(calls).toHaveLength(1);
    answers[0]?.(["one"]);
    await Promise.resolve();
    expect(await Promise.all([first, second])).toEqual(["one", "one"]);
    const third = load("g", "k");
    await clock.settle();
    answers[1]?.(["two"]);
    expect(await third).toBe("two");
    expect(calls).toHaveLength(2);
  });

  it("are those of one type: 1, 1n, true and their texts are questions of their own", async () => {
    const { calls, load } = setup({
      resolve: (group, keys) => keys.map((key) => [typeof group, typeof key]),
    });
    const keys = [1, "1", 1n, true, "true"];
    expect(await Promise.all(keys.map((key) => load("g", key)))).toEqual(
      keys.map((key) => ["string", typeof key]),
    );
    expect(calls).toEqual([["g", keys]]);
    expect(await Promise.all(keys.map((group) => load(group, "k")))).toEqual(
      keys.map((group) => [typeof group, "string"]),
    );
    expect(calls).toHaveLength(6);
  });

  it("have the request of the first who asked, and all else of a call is told", async () => {
    const contexts: unknown[] = [];
    const { coalescer } = setup({
      callTimeoutMs: 700,
      resolve: (_group, keys, { requests, attempt, timeoutMs, signal }) => {
        contexts.push({ by: requests.map(({ by }) => by), attempt, timeoutMs });
        expect(signal.aborted).toBe(false);
        return keys.map(() => 0);
      },
    });
    const asked = ["ann", "bob"].map((by) => coalescer.load({ group: "g", key: "k", by }));
    asked.push(coalescer.load({ group: "g", key: "l", by: "cid" }));
    await Promise.all(asked);
    expect(contexts).toEqual([{ by: ["ann", "cid"], attempt: 1, timeoutMs: 700 }]);
  });
});

describe("a group or key", () => {
  it("function that throws fails that caller alone, with its own error", async () => {
    const error = new Error("mine");
    for (const option of ["group", "key"] as const) {
      const own = ({ [option]: value }: Request): CallKey =>
        value === "bad" ? raise(error) : value;
      const { calls, coalescer } = setup({ [option]: own });
      const bad = coalescer.load({ group: "g", key: "k", [option]: "bad" });
      const good = coalescer.load({ group: "g", key: "k" });
      await expect(bad).rejects.toBe(error);
      expect(await good).toBe("g/k");
      expect(calls).toHaveLength(1);
      expect(coalescer.stats()).toMatchObject({ loads: 1, refused: 1, answered: 1, pending: 0 });
    }
  });

  it.for([undefined, null, {}, [], () => 1, Symbol("s")] as const)(
    "that is %o is refused, and quoted",
    async (value) => {
      for (const option of ["group", "key"] as const) {
        const { coalescer } = setup({ [option]: () => value });
        await expect(coalescer.load({ group: "g", key: "k" })).rejects.toMatchObject({
          code: "SLUICE_ERR_KEY_INVALID",
          message: expect.stringContaining(`${option}() must give a string, number`),
        });
        expect(coalescer.stats()).toMatchObject({ loads: 0, refused: 1 });
      }
    },
  );

  it("of no group function is undefined: all may share a call", async () => {
    const groups: unknown[] = [];
    const coalescer = createCoalescer({
      key: (key: string) => key,
      resolve: (group, keys) => {
        groups.push(group);
        return keys;
      },
    });
    expect(await Promise.all(["a", "b"].map((key) => coalescer.load(key)))).toEqual(["a", "b"]);
    expect(groups).toEqual([undefined]);
  });
});

it("resolve runs in no caller's async context, and the callers keep theirs", async () => {
  const tenant = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  const { clock, load } = setup({
    maxInFlight: 1,
    maxDelayMs: 5,
    resolve: async (group, keys) => {
      seen.push(tenant.getStore());
      await Promise.resolve();
      return keys.map((key) => `${group}/${key}`);
    },
  });
  const asked = ["acme", "duck"].map((name) =>
    tenant.run(name, async () => [await load(name, "k"), tenant.getStore()]),
  );
  await clock.advance(5);
  expect(await Promise.all(asked)).toEqual([
    ["acme/k", "acme"],
    ["duck/k", "duck"],
  ]);
  expect(seen).toEqual([undefined, undefined]);
});

it("loads = answered + failed + aborted + pending at every step", async () => {
  const { clock, coalescer } = setup({
    resolve: async (_group, keys) => keys.map((key) => (key === "bad" ? new Error("bad") : key)),
  });
  const controller = new AbortController();
  const settled: Promise<unknown>[] = [];
  for (const key of ["a", "bad", "a", "gone"]) {
    const signal = key === "gone" ? controller.signal : undefined;
    settled.push(coalescer.load({ group: "g", key }, { signal }).catch(() => balanced(coalescer)));
    balanced(coalescer);
  }
  expect(coalescer.stats()).toMatchObject({ loads: 4, pending: 4, held: 3 });
  controller.abort();
  balanced(coalescer);
  expect(coalescer.stats()).toMatchObject({ aborted: 1, pending: 3, held: 3 });
  await clock.settle();
  await Promise.all(settled);
  const { answered, failed, aborted, pending, held } = coalescer.stats();
  expect({ answered, failed, aborted, pending, held }).toEqual({
    answered: 2,
    failed: 1,
    aborted: 1,
    pending: 0,
    held: 0,
  });
});

it("flush sends what gathers at once, and resolves whatever became of it", async () => {
  const { clock, calls, coalescer, load } = setup({
    maxDelayMs: 1_000,
    resolve: async (_group, keys) => keys.map((key) => (key === "bad" ? new Error("bad") : key)),
  });
  const asked = Promise.allSettled([load("g", "a"), load("g", "bad"), load("h", "b")]);
  const stats = await coalescer.flush();
  expect(stats).toMatchObject({ items: 3, committed: 2, deadLettered: 1, batches: 2 });
  expect(calls).toHaveLength(2);
  expect((await asked).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(await coalescer.flush()).toMatchObject({ items: 0, batches: 0 });
  expect([clock.now(), clock.timers]).toEqual([0, 0]);
});

function raise(error: Error): never {
  throw error;
}
