import { describe, expect, it } from "vitest";
import { rejected, retryable } from "../errors.ts";
import { compose } from "../shapes/compose.ts";
import { list } from "../shapes/list.ts";
import { sums } from "../shapes/sums.ts";
import { manualClock, seededRandom } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import type { DeadLetter } from "./options.ts";

/** A batcher of numbers before a store that refuses every batch with a poison number in it. */
function poisoned(poison: ReadonlySet<number>, options: { fail?: () => boolean } = {}) {
  const clock = manualClock();
  const letters: DeadLetter<number>[] = [];
  const landed: number[] = [];
  const parts: string[] = [];
  const batcher = createBatcher({
    shape: list<number>(),
    sink: (batch, { id, attempt }) => {
      parts.push(`${id.part ?? ""}@${attempt}`);
      if (options.fail?.() === true) throw retryable("down", { ambiguous: false });
      const found = batch.find((value) => poison.has(value));
      if (found !== undefined)
        throw rejected(`${found} is poison`, { cause: new Error(`${found}`) });
      landed.push(...batch);
    },
    clock,
    maxEntries: 1_000,
    deadLetter: (letter) => letters.push(letter),
  });
  return { batcher, clock, letters, landed, parts };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("one poison entry among 1,000", () => {
  it.each([0, 1, 499, 500, 617, 998, 999])(
    "at %i: 999 land in order, one dead letter, at most 21 extra calls of the sink",
    async (place) => {
      const { batcher, letters, landed, parts } = poisoned(new Set([place]));
      for (const value of numbers(1_000)) batcher.tryAdd(value);
      await expect(batcher.flush()).rejects.toMatchObject({
        report: { items: 1_000, committed: 999, deadLettered: 1, batches: 1 },
      });
      expect(landed).toEqual(numbers(1_000).filter((value) => value !== place));
      expect(letters).toHaveLength(1);
      expect(letters[0]).toMatchObject({ entry: place, items: 1, outcome: "rejected" });
      expect(letters[0]?.cause).toMatchObject({ message: `${place}` });
      // The whole batch, then each part that held it down to the entry itself.
      const path = letters[0]?.id.part ?? "";
      expect(letters[0]?.attempts).toBe(path.length + 1);
      expect(parts.length - 1).toBeLessThanOrEqual(21);
      expect(batcher.stats()).toMatchObject({
        committed: 999,
        deadLettered: 1,
        attempts: parts.length,
        retries: 0,
        batches: 1,
        held: 0,
      });
    },
  );
});

describe("bisection", () => {
  it("finds several poisons, lands all others, and keeps their order", async () => {
    for (let seed = 1; seed <= 10; seed += 1) {
      const random = seededRandom(seed);
      const count = 1 + Math.floor(random() * 300);
      const poison = new Set(numbers(count).filter(() => random() < 0.1));
      const { batcher, letters, landed } = poisoned(poison);
      for (const value of numbers(count)) batcher.tryAdd(value);
      await batcher.flush().catch(() => undefined);
      expect(landed, `seed ${seed}`).toEqual(numbers(count).filter((n) => !poison.has(n)));
      expect(letters.map(({ entry }) => entry)).toEqual([...poison]);
    }
  });

  it("of a batch that is all poison ends with every entry dead-lettered, in 2N - 1 calls", async () => {
    const { batcher, letters, landed, parts } = poisoned(new Set(numbers(64)));
    for (const value of numbers(64)) batcher.tryAdd(value);
    await batcher.flush().catch(() => undefined);
    expect(landed).toEqual([]);
    expect(letters.map(({ entry }) => entry)).toEqual(numbers(64));
    expect(parts).toHaveLength(127);
  });

  it("of a single entry does not halve it", async () => {
    const { batcher, letters, parts } = poisoned(new Set([0]));
    batcher.tryAdd(0);
    await batcher.flush().catch(() => undefined);
    expect(parts).toEqual(["@1"]);
    expect(letters[0]).toMatchObject({ entry: 0, attempts: 1 });
  });

  it("gives parts stable ids, and goes on through failures that pass", async () => {
    const random = seededRandom(4);
    const { batcher, clock, letters, landed, parts } = poisoned(new Set([2, 7]), {
      fail: () => random() < 0.5,
    });
    for (const value of numbers(10)) batcher.tryAdd(value);
    const flushed = batcher.flush();
    flushed.catch(() => undefined);
    await clock.advance(100_000);
    expect([...landed].sort((a, b) => a - b)).toEqual([0, 1, 3, 4, 5, 6, 8, 9]);
    expect(new Set(letters.map(({ entry }) => entry))).toEqual(new Set([2, 7]));
    // Each part counts its own attempts from 1, without a gap, before the next part begins.
    const seen = new Map<string, number>();
    for (const name of parts) {
      const [part = "", attempt] = name.split("@");
      expect(Number(attempt)).toBe((seen.get(part) ?? 0) + 1);
      seen.set(part, Number(attempt));
    }
    for (const { id, attempts } of letters) {
      const path = id.part ?? "";
      let tried = 0;
      for (let end = 0; end <= path.length; end += 1) tried += seen.get(path.slice(0, end)) ?? 0;
      expect(attempts).toBe(tried);
    }
  });

  it("leaves a part unknown when its time ends, and the books balanced", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: list<number>(),
      sink: (_, { id }) => {
        if (id.part === undefined) throw rejected("poison");
        if (id.part === "0") throw retryable("lost");
        if (id.part === "1") throw rejected("poison");
      },
      clock,
      deliveryTimeoutMs: 1_000,
    });
    for (const value of numbers(4)) batcher.tryAdd(value);
    const flushed = batcher.flush();
    flushed.catch(() => undefined);
    await clock.advance(5_000);
    await expect(flushed).rejects.toMatchObject({
      report: { items: 4, unknown: 2 },
    });
    const { committed, deadLettered, unknown, held } = batcher.stats();
    expect([committed + deadLettered, unknown, held]).toEqual([2, 2, 0]);
  });

  it("tells each deliver() caller of a keyed batch the truth, though the batch is sorted", async () => {
    const clock = manualClock();
    const stored = new Map<string, number>();
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: ({ entries }) => {
        if (entries.some(({ key }) => key[0]?.endsWith("!"))) throw rejected("poison");
        for (const {
          key,
          sums: [n = 0],
        } of entries)
          stored.set(key[0] ?? "", n);
      },
      clock,
      maxEntries: 50,
    });
    const random = seededRandom(9);
    const keys = numbers(130).map((n) => `${Math.floor(random() * 1e9)}${n % 9 === 4 ? "!" : ""}`);
    const ends = keys.map(async (k) =>
      batcher.deliver({ k, n: 1 }).then(
        () => "landed",
        (error: unknown) => (error as { code: string }).code,
      ),
    );
    const again = keys.map(async (k) => batcher.deliver({ k, n: 2 }).catch(() => undefined));
    await batcher.flush().catch(() => undefined);
    await Promise.all(again);
    for (const [index, end] of (await Promise.all(ends)).entries()) {
      const key = keys[index] ?? "";
      expect(end, key).toBe(key.endsWith("!") ? "SLUICE_ERR_DELIVERY_REJECTED" : "landed");
      expect(stored.get(key)).toBe(key.endsWith("!") ? undefined : 3);
    }
  });

  it("tells each deliver() caller of a composed batch the truth", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: compose({ sum: sums({ key: ["k"], sum: ["n"] }), log: list<string>() }),
      sink: ({ sum, log }) => {
        const bad = sum.entries.some(({ key }) => key[0]?.endsWith("!")) || log.includes("bad");
        if (bad) throw rejected("poison");
      },
      clock,
    });
    const item = (k: string, text?: string) => ({ sum: { k, n: 1 }, log: text });
    const items = [item("z"), item("y!"), item("x", "bad"), item("w", "good"), { log: "fine" }];
    const ends = items.map(async (each) =>
      batcher.deliver(each).then(
        () => true,
        () => false,
      ),
    );
    await batcher.flush().catch(() => undefined);
    expect(await Promise.all(ends)).toEqual([true, false, false, true, true]);
    expect(batcher.stats()).toMatchObject({ accepted: 7, committed: 5, deadLettered: 2, held: 0 });
  });
});
