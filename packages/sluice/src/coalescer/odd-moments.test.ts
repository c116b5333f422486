import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createBatcher } from "../core/batcher.ts";
import { calls } from "../shapes/calls.ts";
import { manualClock } from "../testing/index.ts";
import { createCoalescer } from "./coalescer.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

describe("an answer", () => {
  it("that is there before anybody noticed that its time is over is an answer", async () => {
    const manual = manualClock();
    let lateBy = 0;
    const clock = { ...manual, now: () => manual.now() + lateBy };
    const coalescer = createCoalescer({
      clock,
      callTimeoutMs: 10,
      key: (key: string) => key,
      resolve: (_group, keys) => {
        lateBy = 30;
        return keys;
      },
    });
    await expect(coalescer.load("a")).resolves.toBe("a");
    expect(coalescer.stats()).toMatchObject({ calls: 1, retries: 0 });
  });

  it("never goes to another because resolve has sorted its keys: they are frozen", async () => {
    const coalescer = createCoalescer({
      key: (key: string) => key,
      resolve: (_group, keys) => (keys as string[]).sort(),
    });
    const asked = await Promise.allSettled(["b", "a"].map((key) => coalescer.load(key)));
    for (const one of asked) expect(one).toHaveProperty("reason.name", "TypeError");
  });

  it("that is a promise, or like one, fails its key alone: nobody waits for it", async () => {
    // biome-ignore lint/suspicious/noThenProperty: that is what a query builder has
    const lazy = { then: () => undefined };
    const coalescer = createCoalescer<string, unknown, string>({
      key: (key) => key,
      resolve: () => [lazy, Promise.resolve(1), 2],
    });
    const asked = ["a", "b", "c"].map((key) => coalescer.load(key));
    const [like, promise, value] = await Promise.allSettled(asked);
    for (const failed of [like, promise]) {
      expect(failed).toHaveProperty("reason.code", "SLUICE_ERR_ANSWER_INVALID");
    }
    expect(value).toMatchObject({ value: 2 });
  });
});

it("what everybody has left is not kept while its group goes on", async () => {
  const clock = manualClock();
  const coalescer = createCoalescer({
    clock,
    maxEntries: 1,
    maxInFlight: 1,
    key: ({ n }: { readonly n: number }) => n,
    resolve: () => new Promise<readonly unknown[]>(() => undefined),
  });
  const open = coalescer.load({ n: -1 }).catch(() => undefined);
  const requests: WeakRef<object>[] = [];
  for (let n = 0; n < 1_000; n += 1) {
    const controller = new AbortController();
    const request = { n };
    requests.push(new WeakRef(request));
    const asked = coalescer.load(request, { signal: controller.signal });
    await Promise.resolve();
    controller.abort("gone");
    await asked.catch(() => undefined);
  }
  await clock.settle();
  collect();
  expect(requests.filter((request) => request.deref() !== undefined).length).toBeLessThan(300);
  await coalescer.close({ pending: "reject" });
  await open;
});

describe("a batcher of calls", () => {
  it("forgets the lane of an item that it refused: its group is idle still", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      clock,
      shape: calls<string>({
        group: (text) => text[0],
        check: (text) => {
          if (text.endsWith("!")) throw new Error("refused");
        },
      }),
      sink: async () => undefined,
      maxDelayMs: 60_000,
      dispatchWhenIdle: true,
    });
    expect(() => batcher.tryAdd("a!")).toThrow("refused");
    await expect(batcher.deliver("a1")).resolves.toMatchObject({ items: 1 });
    await batcher.close();
  });

  it("holds no slot for what is not due, after overflow took what was", async () => {
    const clock = manualClock();
    const sent: string[] = [];
    let answer = (): void => undefined;
    const batcher = createBatcher({
      clock,
      shape: calls<string>({ group: (text) => text[0], bytes: () => 6 }),
      sink: (batch) => {
        sent.push(batch.join());
        return batch[0] === "x0" ? new Promise<void>((resolve) => (answer = resolve)) : undefined;
      },
      maxDelayMs: 60_000,
      maxBytes: 10,
      maxBufferedBytes: 24,
      overflow: "drop-oldest",
    });
    batcher.tryAdd("x0");
    const x = batcher.flush();
    await clock.settle();
    for (const text of ["a0", "a1"]) batcher.tryAdd(text); // two batches of one lane: a0 waits for the slot
    await clock.settle();
    for (const text of ["c0", "c1"]) batcher.tryAdd(text); // c1 costs a0
    await clock.settle();
    answer();
    await x;
    await clock.settle();
    expect(sent).toContain("c0");
    await batcher.close();
    expect(sent.toSorted()).toEqual(["a1", "c0", "c1", "x0"]);
  });

  it("without a tenant is a group like any other", async () => {
    const clock = manualClock();
    const sent: unknown[] = [];
    const batcher = createBatcher({
      clock,
      observe: () => undefined,
      lanes: 8,
      maxDelayMs: 0,
      maxEntries: 1,
      shape: calls<{ readonly tenant?: string }>({ group: ({ tenant }) => tenant }),
      sink: ([one]) => {
        sent.push(one?.tenant);
        return one?.tenant === undefined ? new Promise(() => undefined) : undefined;
      },
    });
    for (let n = 0; n < 20; n += 1) batcher.tryAdd({});
    await clock.settle();
    batcher.tryAdd({ tenant: "other" });
    await clock.settle();
    expect(sent).toContain("other");
    const closing = batcher.close({ timeoutMs: 0 });
    await clock.advance(0);
    await closing;
  });
});

it("a signal that is given as the options is refused, and not ignored", async () => {
  const coalescer = createCoalescer({ key: (key: string) => key, resolve: (_, keys) => keys });
  await expect(coalescer.load("a", AbortSignal.abort() as never)).rejects.toThrow(
    "load: the options must be an object, such as { signal }",
  );
  await coalescer.close();
});
