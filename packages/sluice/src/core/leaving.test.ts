/** Who waits no more is not kept, however long the store is away. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { list } from "../shapes/list.ts";
import type { Shape } from "../shapes/shape.ts";
import { sums } from "../shapes/sums.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** A batcher whose store never answers. */
const dammed = <Item, Batch>(shape: Shape<Item, Batch>) => {
  const clock = manualClock();
  const sink = (): Promise<never> => new Promise(() => undefined);
  return { clock, batcher: createBatcher({ shape, sink, clock, maxDelayMs: 3_600_000 }) };
};

it("a deliver that was aborted leaves nothing behind with the key that is held", async () => {
  const { batcher, clock } = dammed(sums({ key: ["k"], sum: ["n"] }));
  const signals: WeakRef<AbortSignal>[] = [];
  for (let n = 0; n < 1_000; n += 1) {
    const controller = new AbortController();
    signals.push(new WeakRef(controller.signal));
    const delivered = batcher.deliver({ k: "a", n: 1 }, { signal: controller.signal });
    controller.abort("gone");
    await delivered.catch(() => undefined);
  }
  await clock.settle(); // references that were made in a turn hold until its end
  collect();
  expect(signals.filter((signal) => signal.deref() !== undefined).length).toBeLessThan(300);
  expect(batcher.stats()).toMatchObject({ held: 1_000, heldEntries: 1 });
});

it("a flush that gave up leaves nothing behind with the batches that it covered", async () => {
  const { batcher, clock } = dammed(list<string>());
  const flush = async (): Promise<void> => {
    batcher.tryAdd("a");
    const flushed = batcher.flush({ timeoutMs: 1 });
    flushed.catch(() => undefined);
    await clock.advance(1);
    await expect(flushed).rejects.toMatchObject({ code: "SLUICE_ERR_FLUSH_TIMEOUT" });
  };
  const FLUSHES = 600;
  for (let n = 0; n < 20; n += 1) await flush();
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < FLUSHES; n += 1) await flush();
  collect();
  const kept = process.memoryUsage().heapUsed - before;
  expect(kept / FLUSHES).toBeLessThan(5_000); // a watcher for each batch would be 100 times as much
});
