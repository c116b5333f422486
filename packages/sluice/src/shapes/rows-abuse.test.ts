import fc from "fast-check";
import {
  Array as ArrayOf,
  type Columns,
  DateTime64,
  Decimal,
  Enum8,
  FixedString,
  LowCardinality,
  Map as MapOf,
  Nested,
  Nullable,
  type RowBatch,
  rows,
  String as Text,
  Tuple,
  UInt8,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { hexOf, refusalOf } from "../../../../test/rows/encoded.ts";
import { HOSTILE_NAMES } from "../../../../test/rows/random-rows.ts";
import { createBatcher } from "../core/batcher.ts";
import { manualClock } from "../testing/index.ts";

/** Calls a factory as JavaScript may: with anything. */
const loosely =
  (factory: (...values: never[]) => unknown) =>
  (...values: readonly unknown[]): unknown =>
    factory(...(values as never[]));

const INVALID = "SLUICE_ERR_OPTION_INVALID";
const NO_TYPES: readonly [unknown, quoted: string][] = [
  [undefined, "undefined"],
  [null, "null"],
  [5, "5"],
  ["String", '"String"'],
  [{}, "{}"],
  [{ type: "String" }, '{"type":"String"}'],
  [[UInt8], "["],
  [Symbol("s"), "Symbol(s)"],
  [String, "[function]"],
  [DateTime64, "[function]"],
  [Nullable, "[function]"],
];

describe("columns are refused", () => {
  it.each(NO_TYPES)("that have %o for a type", (of, quoted) => {
    const takes = "must be a column type, ";
    const hint =
      of === String
        ? 'and not JavaScript\'s own: import it from "sluice/clickhouse"'
        : typeof of === "function"
          ? "what the function returns, as in DateTime64(3)"
          : "such as";
    const wrapped: [string, unknown, () => unknown][] = [
      ['rows: column "v"', of, () => loosely(rows)({ v: of })],
      ["Nullable: the type", of, () => loosely(Nullable)(of)],
      ["LowCardinality: the type", of, () => loosely(LowCardinality)(of)],
      ["Array: the type", of, () => loosely(ArrayOf)(of)],
      ["Map: the key", of, () => loosely(MapOf)(of, UInt8)],
      ["Map: the value", of, () => loosely(MapOf)(Text, of)],
      ["Tuple: type 1", of, () => loosely(Tuple)(UInt8, of)],
      ['Tuple: "a"', of, () => loosely(Tuple)({ a: of })],
      ['Nested: "a"', of, () => loosely(Nested)({ a: of })],
    ];
    for (const [where, , call] of wrapped) {
      const message = refusalOf(call);
      expect(message).toContain(`${INVALID}: ${where} ${takes}${hint}`);
      expect(message).toContain(`; received ${quoted}`);
    }
  });

  it.each<[string, () => unknown, string]>([
    [
      "nothing",
      () => loosely(rows)(),
      "rows: columns must be an object with a type per column; received undefined",
    ],
    ["null", () => loosely(rows)(null), "received null"],
    ["none", () => rows({}), "received {}"],
    ["a list", () => loosely(rows)([]), "received []"],
    ["text", () => loosely(rows)("id"), 'received "id"'],
    ["an empty name", () => rows({ "": UInt8 }), 'without NUL or lone surrogates; received ""'],
    ["NUL in a name", () => rows({ "a\0": UInt8 }), 'received "a\\u0000"'],
    ["a lone surrogate", () => rows({ "\ud800": UInt8 }), 'received "\\ud800"'],
    ["no types in a Tuple", () => Tuple(), "Tuple must be at least one type; received []"],
    [
      "no fields in a Tuple",
      () => Tuple({}),
      "Tuple must be an object of at least one type; received {}",
    ],
    [
      "a Tuple of text",
      () => loosely(Tuple)("a"),
      'Tuple: type 0 must be a column type, such as UInt64 or Array(String); received "a"',
    ],
    ["a Tuple of null", () => loosely(Tuple)(null), "Tuple: type 0 must be"],
    ["a Tuple of a list", () => loosely(Tuple)([UInt8]), "Tuple: type 0 must be"],
    [
      "a Tuple of a function",
      () => loosely(Tuple)(DateTime64),
      "as in DateTime64(3); received [function]",
    ],
    [
      "an empty name in a Tuple",
      () => Tuple({ "": UInt8 }),
      'Tuple: a name must be text without NUL or lone surrogates; received ""',
    ],
    [
      "no fields in a Nested",
      () => Nested({}),
      "Nested must be an object of at least one type; received {}",
    ],
    [
      "a Nested of nothing",
      () => loosely(Nested)(),
      "Nested must be an object of at least one type; received undefined",
    ],
    ["a Nested of null", () => loosely(Nested)(null), "received null"],
    ["NUL in a Nested", () => Nested({ "\0": UInt8 }), "Nested: a name must be text without NUL"],
    [
      "DateTime64(10)",
      () => DateTime64(10),
      "DateTime64: precision must be a whole number from 0 to 9; received 10",
    ],
    ["DateTime64(-1)", () => DateTime64(-1), "received -1"],
    ["DateTime64(1.5)", () => DateTime64(1.5), "received 1.5"],
    ["DateTime64()", () => loosely(DateTime64)(), "received undefined"],
    ['DateTime64("3")', () => loosely(DateTime64)("3"), 'received "3"'],
    [
      "a hostile zone",
      () => DateTime64(3, "UTC') --"),
      `DateTime64: timeZone must be the name of a time zone; received "UTC') --"`,
    ],
    ["an empty zone", () => DateTime64(3, ""), 'received ""'],
    ["a zone that is null", () => loosely(DateTime64)(3, null), "received null"],
    ["a zone that is a number", () => loosely(DateTime64)(3, 5), "received 5"],
    [
      "Decimal(0, 0)",
      () => Decimal(0, 0),
      "Decimal: precision must be a whole number from 1 to 76; received 0",
    ],
    ["Decimal(77, 0)", () => Decimal(77, 0), "received 77"],
    ["Decimal(NaN, 0)", () => Decimal(Number.NaN, 0), "received NaN"],
    ['Decimal("9", 2)', () => loosely(Decimal)("9", 2), 'received "9"'],
    [
      "Decimal(9)",
      () => loosely(Decimal)(9),
      "Decimal: scale must be a whole number from 0 to 9; received undefined",
    ],
    ["Decimal(9, 10)", () => Decimal(9, 10), "received 10"],
    ["Decimal(9, -1)", () => Decimal(9, -1), "received -1"],
    [
      "FixedString(0)",
      () => FixedString(0),
      "FixedString: length must be a whole number from 1 to 16777215; received 0",
    ],
    ["FixedString()", () => loosely(FixedString)(), "received undefined"],
    ["FixedString(2 ** 24)", () => FixedString(2 ** 24), "received 16777216"],
    ["Enum8()", () => loosely(Enum8)(), "received undefined"],
    [
      "a table that is no text",
      () => loosely(rows)({ v: UInt8 }, { table: 5 }),
      "rows: table must be text; received 5",
    ],
    [
      "bufferBytes 0",
      () => rows({ v: UInt8 }, { bufferBytes: 0 }),
      "rows: bufferBytes must be a whole number from 1 to 1073741824; received 0",
    ],
    ["bufferBytes 1.5", () => rows({ v: UInt8 }, { bufferBytes: 1.5 }), "received 1.5"],
    ["bufferBytes null", () => loosely(rows)({ v: UInt8 }, { bufferBytes: null }), "received null"],
    ["bufferShrinkBytes 0", () => rows({ v: UInt8 }, { bufferShrinkBytes: 0 }), "received 0"],
    [
      "options that are null",
      () => loosely(rows)({ v: UInt8 }, null),
      "rows: the options must be an object; received null",
    ],
  ])("for %s", (_, call, message) => {
    const refusal = refusalOf(call);
    expect(refusal).toContain(`${INVALID}: `);
    expect(refusal).toContain(message);
  });

  it("of which two would be one in the table", () => {
    const columns = { n: Nested({ a: UInt8 }), "n.a": ArrayOf(UInt8) };
    expect(refusalOf(() => rows(columns))).toBe(
      'SLUICE_ERR_OPTION_CONFLICT: rows: two columns would be named "n.a"',
    );
  });

  it("for an unknown option", () => {
    expect(refusalOf(() => loosely(rows)({ v: UInt8 }, { tabel: "t" }))).toMatch(
      /^SLUICE_ERR_OPTION_UNKNOWN: there is no option "rows: tabel"/,
    );
  });
});

describe("a row is refused, and the batch stays as it was", () => {
  const columns = { id: UInt8, name: Text, tags: ArrayOf(Text), note: Nullable(Text) };
  const good = { id: 1, name: "a", tags: ["x"] };
  const mine = new TypeError("mine");
  const throwing = {
    ...good,
    get tags(): string[] {
      throw mine;
    },
  };
  const { proxy: revoked, revoke } = Proxy.revocable({ ...good }, {});
  revoke();

  function held() {
    const batches: string[] = [];
    const batcher = createBatcher({
      shape: rows(columns, { table: "t", bufferBytes: 16 }),
      sink: (batch: RowBatch) => void batches.push(hexOf(batch)),
      clock: manualClock(),
    });
    batcher.tryAdd(good);
    return { batcher, batches };
  }

  it.each<[string, unknown, string]>([
    ["null", null, "t: a row is an object with a value per column; received null"],
    ["undefined", undefined, "received undefined"],
    ["text", "item", 'received "item"'],
    ["a number", 5, "received 5"],
    ["a symbol", Symbol("s"), "received Symbol(s)"],
    ["a function", () => good, "received [function]"],
    ["an array", [1, "a", [], "b"], 'received [1,"a",[],"b"]'],
    ["an empty array", [], "received []"],
    [
      "nothing",
      {},
      't: column "id" (UInt8): UInt8 takes a whole number from 0 to 255; nothing: it is missing',
    ],
    ["a Map", new Map(Object.entries(good)), 'column "id" (UInt8)'],
    [
      "null in a column",
      { ...good, name: null },
      't: column "name" (String): String takes well-formed text, or bytes as a Uint8Array; received null',
    ],
    [
      "a bad last column",
      { ...good, note: 5 },
      't: column "note" (Nullable(String)): String takes',
    ],
    [
      "a bad element",
      { ...good, tags: ["x", "x".repeat(500), 5] },
      't: column "tags" (Array(String)): String takes',
    ],
    ["a long text", { ...good, id: "x".repeat(1_000_000) }, "(1000000 long)"],
  ])("%s", async (_, item, message) => {
    const { batcher, batches } = held();
    const before = batcher.stats();
    const refusal = refusalOf(() => batcher.tryAdd(item as typeof good));
    expect(refusal).toContain("SLUICE_ERR_ITEM_INVALID: ");
    expect(refusal).toContain(message);
    expect(refusal.length).toBeLessThan(300);
    await expect(batcher.deliver(item as typeof good)).rejects.toMatchObject({
      code: "SLUICE_ERR_ITEM_INVALID",
      disposition: "usage",
    });
    expect(batcher.stats()).toEqual(before);
    batcher.tryAdd({ ...good, id: 2 });
    await batcher.flush();
    expect(batches).toEqual(["0101610101780102016101017801"]);
  });

  it("an unknown column, and what reading a row throws", async () => {
    const { batcher, batches } = held();
    expect(refusalOf(() => batcher.tryAdd({ ...good, nmae: "x" } as typeof good))).toBe(
      'SLUICE_ERR_ITEM_UNKNOWN_FIELD: t: there is no column "nmae"; there are "id", "name", "tags", "note"',
    );
    expect(() => batcher.tryAdd(throwing)).toThrow(mine);
    expect(() => batcher.tryAdd(revoked)).toThrow(TypeError);
    await expect(batcher.deliver(throwing)).rejects.toBe(mine);
    await batcher.flush();
    expect(batches).toEqual(["01016101017801"]);
  });

  it("also when a row's getter adds to the same batcher", async () => {
    const { batcher, batches } = held();
    const meddling = {
      ...good,
      get tags(): string[] {
        batcher.tryAdd(good);
        return [];
      },
    };
    expect(refusalOf(() => batcher.tryAdd(meddling))).toMatch(/a row may not add rows$/);
    await batcher.flush();
    expect(batches).toEqual(["01016101017801"]);
  });
});

describe("a batcher of rows", () => {
  it("drops the oldest, large rows and small ones, and keeps the newest whole", async () => {
    const landed: unknown[] = [];
    const shape = rows({ v: Text }, { bufferBytes: 64, bufferShrinkBytes: 64 });
    const batcher = createBatcher({
      shape,
      sink: (batch: RowBatch) => {
        for (let index = 0; index < batch.rows; index += 1)
          landed.push(shape.entryAt(batch, index).v);
      },
      clock: manualClock(),
      overflow: "drop-oldest",
      maxBufferedEntries: 2,
      maxEntries: 2,
    });
    const texts = ["a", "b".repeat(500), "c", "d".repeat(500), "e".repeat(500)];
    for (const v of texts) batcher.tryAdd({ v });
    await batcher.flush();
    expect(landed).toEqual(texts.slice(-2));
  });
});

describe("decode", () => {
  it("refuses bytes that are no batch, whatever they are", () => {
    const columns: Columns = {
      v: MapOf(Text, ArrayOf(Nullable(UInt8))),
      e: Enum8({ a: 1 }),
      n: Nested({ a: Text }),
    };
    const shape = rows(columns);
    const header = shape.encode(shape.accumulator().seal(0).batch);
    const attempt = (bytes: Uint8Array): void => {
      try {
        const batch = shape.decode(bytes);
        expect(batch.bytes).toBe(bytes.length - header.length);
      } catch (error) {
        expect(error).toMatchObject({ code: "SLUICE_ERR_BATCH_INVALID" });
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(header.length), (bytes, kept) => {
        attempt(bytes);
        attempt(Buffer.concat([header, bytes]));
        attempt(Buffer.concat([header.subarray(0, kept), bytes]));
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it("refuses a batch of other columns, and one that was cut off", () => {
    const fold = (columns: Columns, row: object): Uint8Array => {
      const shape = rows(columns);
      const accumulator = shape.accumulator();
      accumulator.measure(row as never);
      accumulator.fold();
      return shape.encode(accumulator.seal(1).batch);
    };
    const bytes = fold({ a: Text, b: UInt8 }, { a: "x", b: 1 });
    const message = "SLUICE_ERR_BATCH_INVALID: rows: these bytes are no rows of these columns";
    for (const columns of [{ a: Text }, { b: UInt8, a: Text }, { a: Text, b: Nullable(UInt8) }]) {
      expect(refusalOf(() => rows(columns).decode(bytes))).toBe(message);
    }
    expect(refusalOf(() => rows({ a: Text, b: UInt8 }).decode(bytes.subarray(0, -1)))).toBe(
      message,
    );
    expect(rows({ a: Text, b: UInt8 }).decode(bytes).rows).toBe(1);
  });

  it.each(HOSTILE_NAMES)("knows a column named %j again", (name) => {
    const shape = rows(Object.fromEntries([[name, UInt8]]));
    const accumulator = shape.accumulator();
    accumulator.measure(Object.fromEntries([[name, 5]]));
    accumulator.fold();
    const { batch } = accumulator.seal(1);
    expect(batch.columns).toEqual([{ name, type: "UInt8" }]);
    const entry = shape.entryAt(shape.decode(shape.encode(batch)), 0);
    expect(Object.entries(entry)).toEqual([[name, 5]]);
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});
