import { describe, expect, it } from "vitest";
import { checkShapeLaws } from "../testing/index.ts";
import { calls } from "./calls.ts";
import { compose } from "./compose.ts";
import { distinct } from "./distinct.ts";
import { latest } from "./latest.ts";
import { list } from "./list.ts";
import { sums } from "./sums.ts";

const pick = <T>(random: () => number, values: readonly T[]): T =>
  values[Math.floor(random() * values.length)] as T;
const KEYS = ["", "a", "b", "ä", "\u{1F600}", "\uE000", "__proto__", "constructor", "a\u0001b"];
const time = (random: () => number) =>
  pick(random, [
    undefined,
    0,
    -1,
    1_700_000_000_000,
    new Date(5),
    1.5,
    Math.floor(random() * 1e12),
  ]);

const aSum = (random: () => number) => ({
  a: pick(random, KEYS),
  b: pick(random, KEYS),
  n: pick(random, [undefined, 0, -0, 1, -7, 2 ** 40]),
  m: Math.floor(random() * 10),
  at: time(random),
});
const sumShape = sums({ key: ["a", "b"], sum: ["n", "m"], last: ["at"] });
const setShape = distinct({ key: ["k"], last: ["at"] });
const aKey = (random: () => number) => ({ k: pick(random, KEYS), at: time(random) });
const latestShape = latest({ key: ["a", "b"], value: ["v", "w"], version: "at" });
const aVersion = (random: () => number) => ({
  a: pick(random, KEYS),
  b: pick(random, KEYS),
  v: pick(random, ["", "ü", "a longer text", 1.5, -0, true, null]),
  w: Math.floor(random() * 1e6),
  at: pick(random, [0, 1.001, new Date(2), "1970-01-01T00:00:00.000003Z", 4_000n, -1]),
});
const revisionShape = latest({
  key: ["k"],
  value: ["v"],
  version: "rev",
  versionType: "number",
});
const aRevision = (random: () => number) => ({
  k: pick(random, KEYS),
  v: pick(random, KEYS),
  rev: pick(random, [1, 2, 3, 2n ** 63n - 1n, -(2n ** 63n)]),
});
const listShape = list<unknown>();
const aValue = (random: () => number) => pick<unknown>(random, [1, "ü", null, { a: [1] }, true]);
const callsShape = calls<{ user: string; n: number }>({ group: ({ user }) => user });
const aCall = (random: () => number) => ({ user: pick(random, KEYS), n: Math.floor(random() * 9) });

describe("every shape obeys the laws", () => {
  it("sums", () => checkShapeLaws(sumShape, { item: aSum }));
  it("distinct", () => checkShapeLaws(setShape, { item: aKey }));
  it("latest, by time", () => checkShapeLaws(latestShape, { item: aVersion }));
  it("latest, by number", () => checkShapeLaws(revisionShape, { item: aRevision }));
  it("list", () => checkShapeLaws(listShape, { item: aValue }));
  it("calls", () => checkShapeLaws(callsShape, { item: aCall }));
  it("compose, of all the others", () => {
    checkShapeLaws(compose({ sum: sumShape, set: setShape, last: latestShape, list: listShape }), {
      runs: 400,
      item: (random) => {
        const sum = random() < 0.6 ? aSum(random) : undefined;
        const set = random() < 0.5 ? aKey(random) : undefined;
        const last = random() < 0.5 ? aVersion(random) : undefined;
        const none = sum === undefined && set === undefined && last === undefined;
        return { sum, set, last, list: none ? 1 : undefined };
      },
    });
  });
  it("compose, which does not weigh a batch for each of its entries", () => {
    const texts = list<string>();
    let weighed = 0;
    const counted: typeof texts = {
      ...texts,
      size: (batch) => {
        weighed += 1;
        return texts.size(batch);
      },
    };
    const composed = compose({ a: counted, b: texts });
    const accumulator = composed.accumulator();
    for (let n = 0; n < 100; n += 1) {
      accumulator.measure({ a: `text ${n}` });
      accumulator.fold();
    }
    const { batch } = accumulator.seal(100);
    for (let at = 0; at < 100; at += 1) {
      expect(composed.entryAt(batch, at)).toEqual({ part: "a", entry: `text ${at}` });
      expect(composed.itemsAt(batch, at)).toBe(1);
    }
    expect(weighed).toBe(1);
  });

  it("compose, nested", () => {
    const shape = compose({ inner: compose({ set: setShape, list: listShape }), sum: sumShape });
    checkShapeLaws(shape, {
      item: (random) => ({ inner: { set: aKey(random), list: 1 }, sum: aSum(random) }),
    });
  });
  it("the suite finds a shape that breaks a law", () => {
    const broken = { ...listShape, merge: (a: readonly unknown[], _b: readonly unknown[]) => a };
    expect(() => checkShapeLaws(broken, { item: aValue })).toThrow(/breaks "fold\(xs/);
  });
});
