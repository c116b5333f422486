/** Held entries that become longer: they need no room, and they count. */
import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { compose } from "../shapes/compose.ts";
import { latest } from "../shapes/latest.ts";
import type { LatestBatch } from "../shapes/latest-batch.ts";
import { list } from "../shapes/list.ts";
import { manualClock, memorySink } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";

const shape = latest({ key: ["k"], value: ["v"], version: "at", versionType: "number" });
/** One byte of key, eight of version. */
const OVERHEAD = 9;

function gather(options: Record<string, unknown> = {}) {
  const clock = manualClock();
  const events: SluiceEvent[] = [];
  const sink = memorySink();
  const batcher = createBatcher({
    shape,
    sink,
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    ...options,
  });
  let at = 0;
  const add = (k: string, length: number): boolean => {
    at += 1;
    return batcher.tryAdd({ k, v: "x".repeat(length), at });
  };
  const sealed = () => events.flatMap((event) => (event.type === "sealed" ? [event.reason] : []));
  return { batcher, clock, add, sealed, sink };
}

describe("a held entry that grows", () => {
  it("is taken when there is no room, and leaves none to others", () => {
    const { batcher, add } = gather({ maxBytes: 30, maxBufferedBytes: 30 });
    expect(add("a", 10)).toBe(true);
    expect(add("a", 20)).toBe(true);
    expect(batcher.stats().heldBytes).toBe(OVERHEAD + 20);
    expect(add("b", 0)).toBe(false);
    expect(add("a", 100)).toBe(true);
    expect(batcher.stats()).toMatchObject({ heldBytes: OVERHEAD + 100, heldEntries: 1, held: 3 });
  });

  it("gives room back when it shrinks", () => {
    const { batcher, add } = gather({ maxBytes: 30, maxBufferedBytes: 30 });
    add("a", 20);
    expect(add("b", 1)).toBe(false);
    add("a", 0);
    expect(add("b", 1)).toBe(true);
    expect(batcher.stats().heldBytes).toBe(2 * OVERHEAD + 1);
  });

  it("fills its batch, which then leaves", async () => {
    const { clock, add, sealed } = gather({ maxBytes: 100 });
    add("a", 10);
    add("a", 20);
    await clock.settle();
    expect(sealed()).toEqual([]);
    add("a", 91);
    await clock.settle();
    expect(sealed()).toEqual(["bytes"]);
  });

  it("does not fill it by growing and shrinking in turn", async () => {
    const { clock, add, sealed } = gather({ maxBytes: 100 });
    for (let turn = 0; turn < 50; turn += 1) add("a", turn % 2 === 0 ? 80 : 0);
    await clock.settle();
    expect(sealed()).toEqual([]);
  });

  it("counts for the batch that it is in, not for the one that gathers", async () => {
    const batches: string[] = [];
    const answers: (() => void)[] = [];
    const sink = (batch: LatestBatch): Promise<void> => {
      batches.push(batch.entries.map(({ key }) => key).join(""));
      return new Promise((resolve) => answers.push(resolve));
    };
    const { batcher, clock, add } = gather({ sink, maxEntries: 1, maxBytes: 100 });
    add("a", 0); // in flight
    await clock.settle();
    add("b", 0); // full, and waits
    batcher.configure({ maxEntries: 3 });
    add("c", 0); // gathers
    add("b", 91);
    add("d", 0); // joins c, unless b counted there
    const closed = batcher.close();
    while (batches.length < 3) {
      answers.shift()?.();
      await clock.settle();
    }
    answers.shift()?.();
    await closed;
    expect(batches).toEqual(["a", "b", "cd"]);
  });

  it("counts there also where the same item has new entries in other parts", async () => {
    const sizes: number[] = [];
    const clock = manualClock();
    const batcher = createBatcher({
      shape: compose({ a: shape, b: shape }),
      sink: memorySink(),
      clock,
      random: () => 0,
      maxBytes: 1_000,
      observe: (event) => {
        if (event.type === "sealed") sizes.push(event.bytes);
      },
    });
    const entry = (k: string, length: number, at: number) => ({ k, v: "x".repeat(length), at });
    const held = "abcdefghi";
    for (const k of held) batcher.tryAdd({ a: entry(k, 100, 1) }); // 981 bytes
    // They shrink, each beside something new: what is new still fills its batch in time.
    for (const k of held) batcher.tryAdd({ a: entry(k, 0, 2), b: entry(k, 91, 1) });
    for (let n = 0; n < 100; n += 1) {
      batcher.tryAdd({ b: entry(String.fromCharCode(0x100 + n), 91, 1) });
    }
    await batcher.close();
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
    expect(batcher.stats()).toMatchObject({ committed: 9 + 18 + 100 });
  });

  it("grows within a composed item too", () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: compose({ last: shape, lines: list<string>() }),
      sink: memorySink(),
      clock,
      maxBytes: 40,
      maxBufferedBytes: 40,
    });
    expect(batcher.tryAdd({ last: { k: "a", v: "", at: 1 } })).toBe(true);
    expect(batcher.tryAdd({ last: { k: "a", v: "x".repeat(30), at: 2 } })).toBe(true);
    expect(batcher.stats().heldBytes).toBe(OVERHEAD + 30);
    expect(batcher.tryAdd({ lines: "yy" })).toBe(false);
    expect(batcher.tryAdd({ lines: "y" })).toBe(true);
  });
});
