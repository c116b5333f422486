import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../errors.ts";
import { latest } from "./latest.ts";
import type { LatestBatch } from "./latest-batch.ts";
import type { Shape } from "./shape.ts";

const shape = latest({ key: ["agent", "key"], value: ["value"], version: "at" });
const byNumber = latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" });
const item = (value: string, at: unknown, key = "load") =>
  ({ agent: "a", key, value, at }) as { agent: string; key: string; value: string; at: number };

function fold<Item>(of: Shape<Item, LatestBatch>, items: readonly Item[]): LatestBatch {
  const accumulator = of.accumulator();
  for (const each of items) {
    accumulator.measure(each);
    accumulator.fold();
  }
  return accumulator.seal(accumulator.entries).batch;
}

const valuesOf = ({ entries }: LatestBatch): unknown[] =>
  entries.map(({ values, items }) => [...values, items]);

describe("latest", () => {
  it("keeps the newest version, in whichever order items come", () => {
    const items = [item("second", 2), item("first", 1), item("third", 3)];
    for (const order of [items, items.toReversed(), [items[2], items[0], items[1]]]) {
      expect(valuesOf(fold(shape, order as typeof items))).toEqual([["third", 3]]);
    }
  });

  it("holds a key once, though reading an item adds another with that key", () => {
    const accumulator = byNumber.accumulator();
    const add = (one: { k: string; v: string; rev: number }): void => {
      accumulator.measure(one);
      accumulator.fold();
    };
    add({
      k: "a",
      v: "outer",
      get rev() {
        add({ k: "a", v: "inner", rev: 1 });
        return 2;
      },
    });
    expect(valuesOf(accumulator.seal(accumulator.entries).batch)).toEqual([["outer", 2]]);
  });

  it("lets the last added of equal versions win, and the second batch of two that are merged", () => {
    expect(valuesOf(fold(shape, [item("x", 5), item("y", 5)]))).toEqual([["y", 2]]);
    const [x, y] = [fold(shape, [item("x", 5)]), fold(shape, [item("y", 5)])];
    expect(valuesOf(shape.merge(x, y))).toEqual([["y", 2]]);
    expect(valuesOf(shape.merge(y, x))).toEqual([["x", 2]]);
  });

  it("replaces values whole: nothing of an older one shines through", () => {
    const two = latest({ key: ["k"], value: ["value", "error"], version: "at" });
    const batch = fold(two, [
      { k: "a", value: "", error: "it broke", at: 1 },
      { k: "a", value: "42", error: null, at: 2 },
    ]);
    expect(two.entryAt(batch, 0)).toEqual({
      k: "a",
      value: "42",
      error: null,
      at: "1970-01-01T00:00:00.002000Z",
    });
  });

  it("merges associatively, and commutatively where no versions are equal", () => {
    const entry = fc.record({ k: fc.constantFrom("a", "b"), v: fc.integer(), rev: fc.nat(5) });
    const batches = fc.array(fc.array(entry, { maxLength: 4 }), { minLength: 3, maxLength: 3 });
    const { merge } = byNumber;
    fc.assert(
      fc.property(batches, (lists) => {
        const [a, b, c] = lists.map((list) => fold(byNumber, list)) as [
          LatestBatch,
          LatestBatch,
          LatestBatch,
        ];
        expect(merge(merge(a, b), c)).toEqual(merge(a, merge(b, c)));
        const versions = (of: LatestBatch) =>
          new Map(of.entries.map(({ key, version }) => [key.join(), version]));
        const [ofA, ofB] = [versions(a), versions(b)];
        const ties = [...ofA].some(([key, version]) => ofB.get(key) === version);
        if (!ties) expect(merge(a, b)).toEqual(merge(b, a));
        // Even ties agree on the version that stays.
        expect(versions(merge(a, b))).toEqual(versions(merge(b, a)));
      }),
      { seed: 1 },
    );
  });

  it.each([
    ["a Date", new Date(1_500), 1_500_000n],
    ["milliseconds", 1_500, 1_500_000n],
    ["fractions of a millisecond", 1_700_000_000_000.123, 1_700_000_000_000_123n],
    ["a fraction that rounds up", 0.9999, 1_000n],
    ["milliseconds before 1970", -0.001, -1n],
    ["text in UTC", "2026-01-31T12:00:00.123456Z", 1_769_860_800_123_456n],
    ["text with an offset", "2026-01-31T14:00:00.123456+02:00", 1_769_860_800_123_456n],
    ["text with nanoseconds, cut off", "1970-01-01T00:00:00.123456999Z", 123_456n],
    ["text without a zone, in UTC", "1970-01-01 00:00:01", 1_000_000n],
    ["microseconds", 1_769_860_800_123_456n, 1_769_860_800_123_456n],
    ["the first of times", "0001-01-01T00:00:00Z", -62_135_596_800_000_000n],
    ["the last of times", "9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999n],
  ])("reads a time given as %s, and shows it to the microsecond", (_, at, micros) => {
    const batch = fold(shape, [item("x", at)]);
    expect(batch.entries[0]?.version).toBe(micros);
    const shown = shape.entryAt(batch, 0)["at"];
    expect(shown).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(fold(shape, [item("x", shown)]).entries[0]?.version).toBe(micros);
  });

  it.each([
    ["not a time", "yesterday"],
    ["a day that does not exist", "2026-02-30T00:00:00Z"],
    ["an invalid Date", new Date(Number.NaN)],
    ["what only looks like a Date", Object.create(Date.prototype)],
    ["NaN", Number.NaN],
    ["infinite", Infinity],
    ["null", null],
    ["missing", undefined],
    ["before the year 1", -62_135_596_800_001],
    ["after the year 9999", 253_402_300_800_000],
    ["an object", {}],
  ])("refuses a time that is %s", (_, at) => {
    expectRefusal(item("x", at), "SLUICE_ERR_VERSION_INVALID", /latest: "at" must be a time/);
  });

  it.each([1.5, "1", 2 ** 53, 2n ** 63n, -(2n ** 63n) - 1n, null, new Date(1), Number.NaN])(
    "refuses %s for a number",
    (rev) => {
      const accumulator = byNumber.accumulator();
      const add = () => accumulator.measure({ k: "a", v: 1, rev: rev as number });
      expect(add).toThrow(
        expect.objectContaining({
          code: "SLUICE_ERR_VERSION_INVALID",
          message: expect.stringContaining('"rev" must be a whole number'),
        }),
      );
    },
  );

  it("shows numbers as numbers, and as bigints where no number is exact", () => {
    const batch = fold(byNumber, [
      { k: "a", v: 1, rev: 7 },
      { k: "b", v: 1, rev: 2n ** 60n },
    ]);
    expect([0, 1].map((index) => byNumber.entryAt(batch, index)["rev"])).toEqual([7, 2n ** 60n]);
  });

  it.each([
    [
      "undefined",
      undefined,
      /"value" must be text, a finite number, a boolean or null; .* undefined/,
    ],
    ["NaN", Number.NaN, /received NaN/],
    ["an object", { a: 1 }, /received \{"a":1\}/],
    ["a bigint", 5n, /received 5n/],
    ["a NUL", "a\0b", /"value" holds NUL: "a\\u0000b"/],
    ["half a character", "a\ud800", /"value" holds a lone surrogate/],
  ])("refuses a value that is %s", (_, value, message) => {
    expectRefusal(item(value as string, 1), "SLUICE_ERR_VALUE_INVALID", message);
  });

  it("refuses values and keys that are too long, by bytes", () => {
    const small = latest({
      key: ["k"],
      value: ["v", "w"],
      version: "at",
      maxKeyBytes: 4,
      maxValueBytes: 6,
    });
    const accumulator = small.accumulator();
    const add = (k: string, v: string, w: string) => () => accumulator.measure({ k, v, w, at: 1 });
    expect(add("key", "äöü", "")).not.toThrow();
    expect(add("key", "äöü", "x")).toThrow(
      /values of 7 bytes are longer than maxValueBytes \(6\), for key \["key"\]/,
    );
    expect(add("ääx", "", "")).toThrow(/key of 5 bytes/);
  });

  function expectRefusal(added: ReturnType<typeof item>, code: ErrorCode, message: RegExp): void {
    const accumulator = shape.accumulator();
    accumulator.measure(item("held", 1));
    accumulator.fold();
    const before = [accumulator.items, accumulator.entries, accumulator.bytes];
    expect(() => accumulator.measure(added)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    expect([accumulator.items, accumulator.entries, accumulator.bytes]).toEqual(before);
  }

  it("counts bytes as they are, whether values grow or shrink", () => {
    const accumulator = shape.accumulator();
    const add = (value: string, at: number): number => {
      accumulator.measure(item(value, at));
      accumulator.fold();
      return accumulator.bytes;
    };
    const held = add("1234", 1); // "a", "load", the version, the value
    expect(held).toBe(1 + 4 + 8 + 4);
    expect(add("12345678", 2)).toBe(held + 4);
    expect(add("discarded, as it is older", 1)).toBe(held + 4);
    expect(add("", 3)).toBe(held - 4);
    expect(accumulator.seal(1)).toMatchObject({ items: 4, entries: 1, bytes: held - 4 });
    expect([accumulator.items, accumulator.bytes]).toEqual([0, 0]);
  });
});

describe("latest refuses at once", () => {
  const loosely = latest as (options: unknown) => unknown;
  const fields = { key: ["k"], value: ["v"], version: "at" };
  it.each([
    ["an unknown option", { ...fields, values: [] }, /no option "latest: values"/],
    [
      "no version",
      { key: ["k"], value: ["v"] },
      /version must be the name of a field; .* undefined/,
    ],
    ["a version type of its own", { ...fields, versionType: "date" }, /versionType .* "date"/],
    ["a field that is named twice", { ...fields, value: ["k"] }, /"k" is named twice/],
    ["a version that is a value", { ...fields, value: ["at"] }, /"at" is named twice/],
    ["no key", { ...fields, key: [] }, /at least one/],
    ["values that are no list", { ...fields, value: "v" }, /value must be a list/],
    ["a limit of nothing", { ...fields, maxValueBytes: 0 }, /maxValueBytes must be .* 0/],
    ["no options", undefined, /must be an object; received undefined/],
  ])("%s", (_, options, message) => {
    expect(() => loosely(options)).toThrow(message);
  });
});
