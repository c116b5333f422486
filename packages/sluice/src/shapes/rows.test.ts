import fc from "fast-check";
import {
  Array as ArrayOf,
  DateTime64,
  Enum8,
  LowCardinality,
  Map as MapOf,
  Nested,
  Nullable,
  type RowBatch,
  rows,
  String as Text,
  Tuple,
  UInt8,
  UInt64,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { hexOf, refusalOf } from "../../../../test/rows/encoded.ts";
import { checkShapeLaws } from "../testing/index.ts";
import type { Accumulator } from "./shape.ts";

const pick = <T>(random: () => number, values: readonly T[]): T =>
  values[Math.floor(random() * values.length)] as T;

describe("rows obey the laws of shapes", () => {
  const columns = {
    id: UInt64,
    at: DateTime64(3),
    name: Text,
    kind: Enum8({ a: 1, b: 2 }),
    tags: ArrayOf(LowCardinality(Text)),
    pair: Tuple({ x: Nullable(UInt8), y: MapOf(Text, UInt8) }),
    n: Nested({ p: UInt8, q: Nullable(Text) }),
  };
  const item = (random: () => number) => ({
    id: pick<bigint | number | string>(random, [0, 1n, "2", 2n ** 64n - 1n]),
    at: new Date(Math.floor(random() * 1e12)),
    name: pick(random, ["", "a", "é".repeat(30), "x".repeat(200)]),
    kind: pick(random, ["a", "b"] as const),
    tags: pick(random, [[], ["a"], ["a", "ü", "\u{1F600}"]]),
    pair: pick(random, [{ x: 1, y: { a: 1 } }, { y: {} }]),
    n: pick(random, [[], [{ p: 1 }, { p: 2, q: "z" }]]),
  });
  // The same rows may lie in other buffers, cut in other places.
  const canonical = (batch: RowBatch) => [batch.columns, batch.rows, batch.bytes, hexOf(batch)];

  it.each([1, 64, 500, 1_000_000])("with buffers of %d bytes", (bufferBytes) => {
    checkShapeLaws(rows(columns, { bufferBytes }), { item, canonical, runs: 60 });
  });

  it("and a shape that breaks one is found", () => {
    const shape = rows(columns);
    const broken = { ...shape, merge: (first: RowBatch, _second: RowBatch) => first };
    expect(() => checkShapeLaws(broken, { item, canonical })).toThrow(/breaks "fold\(xs/);
  });
});

const add = <Item, Batch>(accumulator: Accumulator<Item, Batch>, item: Item): void => {
  accumulator.measure(item);
  accumulator.fold();
};
const row = (length: number, fill = "x"): { readonly v: string } => ({ v: fill.repeat(length) });
const largest = (batch: RowBatch): number =>
  Math.max(0, ...batch.chunks.map(({ bytes }) => bytes.buffer.byteLength));

describe("the accumulator of rows", () => {
  /** What is done to an accumulator, with rows as large as `usual`, and some larger. */
  const steps = (usual: number) => fc.array(step(usual), { maxLength: 80, size: "max" });
  const step = (usual: number) =>
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.nat(usual) }) },
      { weight: 1, arbitrary: fc.record({ add: fc.integer({ min: usual, max: 15 * usual }) }) },
      { weight: 1, arbitrary: fc.record({ refuse: fc.nat(3_000) }) },
      { weight: 2, arbitrary: fc.record({ seal: fc.double({ min: 0, max: 1, noNaN: true }) }) },
      { weight: 1, arbitrary: fc.constant("drop" as const) },
      { weight: 2, arbitrary: fc.record({ recycle: fc.nat() }) },
      { weight: 1, arbitrary: fc.constant("land all" as const) },
      // The oldest may leave, and batches too, between the two steps of an add.
      { weight: 1, arbitrary: fc.record({ dropWhileAdding: fc.nat(3_000) }) },
      { weight: 1, arbitrary: fc.record({ sealWhileAdding: fc.nat(3_000) }) },
    );
  /** From buffers that are too small for a row to such that hold a dozen. */
  const sizes = (usual: number) =>
    fc
      .tuple(fc.integer({ min: 1, max: 6 * usual }), fc.integer({ min: 1, max: 60 * usual }))
      .map(([bufferBytes, bufferShrinkBytes]) => ({ bufferBytes, bufferShrinkBytes }));

  it.each([200, 40, 8])(
    "is a queue of rows, of about %d bytes; what is sealed never changes",
    (usual) => {
      fc.assert(
        fc.property(steps(usual), sizes(usual), (all, options) => {
          const shape = rows({ id: UInt8, v: Text }, options);
          const accumulator = shape.accumulator();
          const held: { readonly id: number; readonly v: string }[] = [];
          const sealed: { readonly batch: RowBatch; readonly hex: string }[] = [];
          let ids = 0;
          const next = (length: number) => {
            ids += 1;
            return { id: ids & 255, v: String(ids % 10).repeat(length) };
          };
          const seal = (entries: number): void => {
            const { batch, ...size } = accumulator.seal(entries);
            const items = held.splice(0, entries);
            expect(size).toEqual({ items: entries, entries, bytes: batch.bytes });
            expect(shape.size(batch)).toEqual(size);
            expect(items.map((_, index) => shape.entryAt(batch, index))).toEqual(items);
            const at = Math.floor(entries / 2);
            const [head, tail] = shape.split(batch, at);
            expect([head.rows, tail.rows]).toEqual([at, entries - at]);
            expect(hexOf(head) + hexOf(tail)).toBe(hexOf(batch));
            for (const [part, from] of [[head, 0] as const, [tail, at] as const]) {
              for (let index = 0; index < part.rows; index += 1) {
                expect(shape.entryAt(part, index)).toEqual(items[from + index]);
              }
            }
            sealed.push({ batch, hex: hexOf(batch) });
          };
          const drop = (): void => {
            const dropped = held.shift();
            if (dropped === undefined) return;
            const { bytes } = accumulator;
            const size = accumulator.dropOldest();
            expect(size).toMatchObject({ items: 1, entries: 1 });
            expect(accumulator.bytes).toBe(bytes - size.bytes);
          };
          const take = (length: number, between: () => void): void => {
            const item = next(length);
            accumulator.measure(item);
            const { addsBytes } = accumulator;
            between();
            const { bytes } = accumulator;
            accumulator.fold();
            expect(accumulator.bytes).toBe(bytes + addsBytes);
            held.push(item);
          };
          for (const each of all) {
            if (each === "land all") {
              seal(held.length);
              for (const { batch } of sealed.splice(0)) accumulator.recycle?.(batch);
            } else if (each === "drop") drop();
            else if ("add" in each) take(each.add, () => undefined);
            else if ("dropWhileAdding" in each) take(each.dropWhileAdding, drop);
            else if ("sealWhileAdding" in each) take(each.sealWhileAdding, () => seal(held.length));
            else if ("recycle" in each) {
              const [landed] = sealed.splice(each.recycle % Math.max(1, sealed.length), 1);
              if (landed !== undefined) accumulator.recycle?.(landed.batch);
            } else if ("seal" in each) seal(Math.round(each.seal * held.length));
            else {
              const bad = { id: 1, v: `${"x".repeat(each.refuse)}\ud800` };
              expect(() => accumulator.measure(bad)).toThrow(/lone surrogate/);
            }
            expect([accumulator.items, accumulator.entries]).toEqual([held.length, held.length]);
          }
          seal(held.length);
          expect([accumulator.entries, accumulator.bytes]).toEqual([0, 0]);
          for (const { batch, hex } of sealed) expect(hexOf(batch)).toBe(hex);
        }),
        { numRuns: 100, seed: 1 },
      );
    },
  );

  it("lets a large row have a buffer of its own, and no other row", () => {
    const MB = 1_048_576;
    const accumulator = rows({ v: Text }).accumulator();
    add(accumulator, row(10));
    add(accumulator, row(10 * MB));
    add(accumulator, row(10));
    expect(largest(accumulator.seal(1).batch)).toBe(MB);
    expect(largest(accumulator.seal(1).batch)).toBeGreaterThan(10 * MB);
    expect(largest(accumulator.seal(1).batch)).toBe(MB);
    for (let batch = 0; batch < 3; batch += 1) {
      add(accumulator, row(100));
      expect(largest(accumulator.seal(1).batch)).toBe(MB);
    }
    expect(() => accumulator.measure({ v: ["\ud800", "x".repeat(10 * MB)].join("") })).toThrow(
      /lone surrogate/,
    );
    accumulator.measure(row(10 * MB)); // and there was no room for it
    add(accumulator, row(1));
    expect(largest(accumulator.seal(1).batch)).toBe(MB);
  });

  it("copies no row when a batch leaves", () => {
    const accumulator = rows({ v: Text }).accumulator();
    for (let index = 0; index < 100; index += 1) add(accumulator, row(50));
    const [first, second] = [accumulator.seal(50).batch, accumulator.seal(50).batch];
    expect(first.chunks[0]?.bytes.buffer).toBe(second.chunks[0]?.bytes.buffer);
    expect([first.bytes, second.bytes]).toEqual([50 * 51, 50 * 51]);
  });

  it("keeps nothing of a row but its bytes", () => {
    const shape = rows({ tags: ArrayOf(Text), raw: Text });
    const accumulator = shape.accumulator();
    const item = { tags: ["a"], raw: Uint8Array.of(255) };
    add(accumulator, item);
    item.tags.push("b");
    item.raw[0] = 0;
    const { batch } = accumulator.seal(1);
    expect(shape.entryAt(batch, 0)).toEqual({ tags: ["a"], raw: Uint8Array.of(255) });
    const entry = shape.entryAt(batch, 0);
    (entry.raw as Uint8Array)[0] = 7;
    expect(shape.entryAt(batch, 0).raw).toEqual(Uint8Array.of(255));
  });

  it("refuses a row that adds rows while it is read, and holds what it held", () => {
    const shape = rows({ a: UInt8, b: UInt8 });
    const accumulator = shape.accumulator();
    add(accumulator, { a: 1, b: 2 });
    const meddling = {
      a: 3,
      get b(): number {
        add(accumulator, { a: 9, b: 9 });
        return 4;
      },
    };
    expect(refusalOf(() => accumulator.measure(meddling))).toBe(
      "SLUICE_ERR_ITEM_INVALID: rows: a row may not add rows",
    );
    const leaving = {
      a: 5,
      get b(): number {
        expect(hexOf(accumulator.seal(1).batch)).toBe("0102");
        return 6;
      },
    };
    add(accumulator, leaving);
    expect(hexOf(accumulator.seal(1).batch)).toBe("0506");
  });

  it("counts ordinals over its whole life", () => {
    const accumulator = rows({ v: Text }).accumulator();
    const ordinals: (readonly number[])[] = [];
    for (let index = 0; index < 4; index += 1) {
      add(accumulator, row(1));
      ordinals.push(accumulator.ordinals());
      if (index === 1) accumulator.seal(2);
      if (index === 2) accumulator.dropOldest();
    }
    expect(ordinals).toEqual([[0], [1], [2], [3]]);
  });

  it("holds many rows", () => {
    const accumulator = rows({ v: UInt8 }, { bufferBytes: 1_000 }).accumulator();
    for (let index = 0; index < 10_000; index += 1) add(accumulator, { v: index & 255 });
    const { batch } = accumulator.seal(10_000);
    expect([batch.rows, batch.bytes]).toEqual([10_000, 10_000]);
    expect(hexOf(batch).slice(-8)).toBe("0c0d0e0f");
  });
});

describe("a batch of rows", () => {
  it("begins with its columns once encoded, as RowBinaryWithNamesAndTypes does", () => {
    const shape = rows({ id: UInt8, n: Nested({ a: Text }) });
    const accumulator = shape.accumulator();
    add(accumulator, { id: 7, n: [{ a: "x" }] });
    const { batch } = accumulator.seal(1);
    const text = (value: string): string =>
      Buffer.concat([Buffer.of(value.length), Buffer.from(value)]).toString("hex");
    expect(Buffer.from(shape.encode(batch)).toString("hex")).toBe(
      `02${text("id")}${text("n.a")}${text("UInt8")}${text("Array(String)")}07010178`,
    );
    expect([shape.kind, shape.keyed, shape.partition({ id: 1, n: [] })]).toEqual([
      "rows",
      false,
      undefined,
    ]);
    expect(shape.itemsAt(batch, 0)).toBe(1);
    expect(Object.isFrozen(batch) && Object.isFrozen(batch.chunks)).toBe(true);
  });

  it("without rows is a batch too", () => {
    const shape = rows({ id: UInt8 });
    const { batch, ...size } = shape.accumulator().seal(0);
    expect(size).toEqual({ items: 0, entries: 0, bytes: 0 });
    expect(shape.decode(shape.encode(batch))).toEqual(batch);
    expect(shape.split(batch, 0).map((each) => each.rows)).toEqual([0, 0]);
    expect(shape.merge(batch, batch)).toEqual(batch);
  });
});
