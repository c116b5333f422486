import {
  type AnyColumnType,
  Array as ArrayOf,
  Bool,
  DateTime64,
  FixedString,
  Float32,
  Float64,
  Int8,
  Int64,
  JSON as Json,
  LowCardinality,
  Map as MapOf,
  Nested,
  Nullable,
  rows,
  String as Text,
  Tuple,
  UInt8,
  UInt16,
  UInt64,
  UUID,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { decoded, encoded, encodedRow, hexOf, refused } from "../../../../../test/rows/encoded.ts";

const refuses = (of: AnyColumnType, value: unknown): void =>
  expect(encoded(of, value)).toMatch(/^SLUICE_ERR_ITEM_INVALID: t: column "v" \(/);
const own = (...pairs: readonly (readonly [string, unknown])[]): object =>
  Object.fromEntries(pairs);

describe("Nullable", () => {
  it("is a byte and the value, if there is one", () => {
    expect(encoded(Nullable(UInt8), 5)).toBe("0005");
    for (const nothing of [null, undefined]) expect(encoded(Nullable(UInt8), nothing)).toBe("01");
    expect(encoded(Nullable(Text), "a")).toBe("000161");
    expect(encoded(Nullable(Text), "")).toBe("0000");
    expect(encoded(Nullable(UUID), null)).toBe("01");
    expect(decoded(Nullable(Int64), null)).toBeNull();
    expect(decoded(Nullable(Int64), 5)).toBe(5n);
    expect(Nullable(FixedString(3)).type).toBe("Nullable(FixedString(3))");
  });

  it("lets a column be left out", () => {
    const columns = { a: UInt8, b: Nullable(Text), c: LowCardinality(Nullable(Text)) };
    for (const row of [{ a: 1 }, { a: 1, b: null }, { c: undefined, a: 1 }]) {
      expect(encodedRow(columns, row)).toBe("010101");
    }
    expect(encodedRow(columns, { c: "x", a: 1 })).toBe("0101000178");
  });

  it("refuses what its type refuses", () => {
    expect(encoded(Nullable(UInt8), 256)).toBe(
      refused(Nullable(UInt8), "UInt8 takes a whole number from 0 to 255", "256"),
    );
    for (const value of [0.5, Number.NaN, "", false]) refuses(Nullable(UInt8), value);
  });
});

describe("LowCardinality", () => {
  it("is as its type", () => {
    expect(encoded(LowCardinality(Text), "a")).toBe("0161");
    expect(encoded(LowCardinality(Nullable(Text)), "a")).toBe("000161");
    expect(encoded(LowCardinality(Nullable(Text)), undefined)).toBe("01");
    expect(LowCardinality(Nullable(Text)).type).toBe("LowCardinality(Nullable(String))");
    refuses(LowCardinality(Text), null);
  });
});

describe("Array", () => {
  it("is a length and the elements", () => {
    expect(encoded(ArrayOf(UInt8), [])).toBe("00");
    expect(encoded(ArrayOf(UInt8), [1, 2])).toBe("020102");
    expect(encoded(ArrayOf(Text), ["a", ""])).toBe("02016100");
    expect(encoded(ArrayOf(ArrayOf(UInt16)), [[], [1], [2, 3]])).toBe("03000101000202000300");
    expect(encoded(ArrayOf(Nullable(UInt8)), [null, 5, undefined])).toBe("0301000501");
    expect(encoded(ArrayOf(UUID), [])).toBe("00");
    expect(decoded(ArrayOf(ArrayOf(Text)), [[], ["a"]])).toEqual([[], ["a"]]);
  });

  it.each([
    [127, "7f"],
    [128, "8001"],
    [16_384, "808001"],
  ])("of %d elements: the length is %s", (length, prefix) => {
    expect(
      encoded(
        ArrayOf(UInt8),
        Array.from({ length }, () => 7),
      ),
    ).toBe(prefix + "07".repeat(length));
    expect(
      encoded(
        ArrayOf(Text),
        Array.from({ length }, () => "x"),
      ),
    ).toBe(prefix + "0178".repeat(length));
  });

  it("takes typed arrays of numbers", () => {
    expect(encoded(ArrayOf(Float32), Float32Array.of(1.5, -0))).toBe("020000c03f00000080");
    expect(encoded(ArrayOf(Float64), Float64Array.of(1))).toBe("01000000000000f03f");
    expect(encoded(ArrayOf(UInt8), Uint8Array.of(1, 255))).toBe("0201ff");
    expect(encoded(ArrayOf(UInt8), Buffer.of(1, 255))).toBe("0201ff");
    expect(encoded(ArrayOf(Int8), Int8Array.of(-1))).toBe("01ff");
    expect(encoded(ArrayOf(UInt64), BigUint64Array.of(1n))).toBe("010100000000000000");
    expect(encoded(ArrayOf(Nullable(UInt16)), Uint16Array.of(1))).toBe("01000100");
    expect(encoded(ArrayOf(ArrayOf(UInt8)), [Uint8Array.of(1), [2]])).toBe("0201010102");
    refuses(ArrayOf(UInt8), Int8Array.of(-1));
  });

  it("refuses what is no array, and elements, holes among them", () => {
    const of = ArrayOf(UInt8);
    for (const value of ["ab", { length: 1, 0: 1 }, new Set([1]), new Map(), 5, null]) {
      expect(encoded(of, value)).toMatch(/Array\(UInt8\) takes an array; received/);
    }
    refuses(of, new DataView(new ArrayBuffer(1)));
    refuses(of, new ArrayBuffer(1));
    const element = "UInt8 takes a whole number from 0 to 255";
    expect(encoded(of, [1, 256])).toBe(refused(of, element, "256"));
    expect(encoded(of, Object.assign([], { 1: 1 }))).toBe(refused(of, element, "undefined"));
    expect(encoded(of, undefined)).toMatch(/takes an array; nothing: it is missing$/);
    expect(encoded(ArrayOf(ArrayOf(UInt8)), [[1], 2])).toMatch(/Array\(UInt8\) takes an array/);
  });
});

describe("Map", () => {
  it("is a length and pairs, from a Map or an object", () => {
    const of = MapOf(Text, UInt8);
    expect(encoded(of, {})).toBe("00");
    expect(encoded(of, new Map())).toBe("00");
    expect(encoded(of, { a: 1, b: 2 })).toBe("02016101016202");
    expect(encoded(of, new Map(Object.entries({ a: 1, b: 2 })))).toBe("02016101016202");
    expect(encoded(of, Object.assign(Object.create(null) as object, { a: 1 }))).toBe("01016101");
    expect(encoded(of, own(["__proto__", 1]))).toBe("01095f5f70726f746f5f5f01");
    expect(encoded(MapOf(UInt64, ArrayOf(Text)), { 7: ["x"] })).toBe("010700000000000000010178");
    expect(encoded(MapOf(UInt8, Nullable(UInt8)), new Map([[7, null]]))).toBe("010701");
    expect(of.type).toBe("Map(String, UInt8)");
    expect(decoded(of, { a: 1 })).toEqual(new Map([["a", 1]]));
  });

  it("ignores what an object inherits", () => {
    class Tags {
      readonly a = 1;
      get b(): number {
        return 2;
      }
    }
    expect(encoded(MapOf(Text, UInt8), new Tags())).toBe("01016101");
    expect(encoded(MapOf(Text, UInt8), Object.create({ x: 1 }))).toBe("00");
  });

  it("refuses other collections, which would look empty", () => {
    const of = MapOf(Text, UInt8);
    const others = [
      new Set(["a"]),
      new Date(5),
      [["a", 1]],
      Uint8Array.of(1),
      new ArrayBuffer(1),
      Promise.resolve(),
      new URLSearchParams("a=1"),
      /a/,
      "ab",
      5,
      null,
      undefined,
      () => 1,
    ];
    for (const value of others) {
      expect(encoded(of, value)).toMatch(/: Map\(String, UInt8\) takes a Map or an object; /);
    }
    refuses(MapOf(UInt8, UInt8), { 7: 1 });
    refuses(of, { a: 256 });
    refuses(of, new Map([[5, 1]]));
    refuses(of, { "\ud800": 1 });
  });
});

describe("Tuple", () => {
  it("is its elements, one after the other", () => {
    const of = Tuple(UInt8, Text, Nullable(UInt8));
    expect(of.type).toBe("Tuple(UInt8, String, Nullable(UInt8))");
    expect(encoded(of, [1, "a", 2])).toBe("0101610002");
    expect(encoded(of, [1, "a", undefined])).toBe("01016101");
    expect(decoded(of, [1, "a", null])).toEqual([1, "a", null]);
    expect(encoded(Tuple(UInt8), [5])).toBe("05");
    for (const value of [
      [1, "a"],
      [],
      [1, "a", 2, 3],
      { 0: 1, 1: "a", 2: 2, length: 3 },
      "abc",
      null,
    ]) {
      expect(encoded(of, value)).toMatch(/takes an array of 3; received/);
    }
    refuses(of, ["a", 1, 2]);
  });

  it("with names takes an object", () => {
    const of = Tuple({ a: UInt8, b: Nullable(Text) });
    expect(of.type).toBe("Tuple(a UInt8, b Nullable(String))");
    expect(encoded(of, { b: "x", a: 1 })).toBe("01000178");
    for (const row of [{ a: 1 }, { a: 1, b: null }]) expect(encoded(of, row)).toBe("0101");
    expect(decoded(of, { a: 1 })).toEqual({ a: 1, b: null });
    expect(encoded(of, { a: 1, c: 2 })).toMatch(/takes no field "c"; received \{"a":1,"c":2\}$/);
    expect(encoded(of, { b: "x" })).toMatch(
      /UInt8 takes a whole number from 0 to 255; received undefined/,
    );
    for (const value of [[1, "x"], null, 5, "a"]) {
      expect(encoded(of, value)).toMatch(/takes an object; received/);
    }
    expect(Tuple({ write: UInt8, read: UInt8 }).type).toBe("Tuple(write UInt8, read UInt8)");
  });

  it("quotes names where ClickHouse does", () => {
    const typeOf = (...names: readonly string[]): string =>
      Tuple(Object.fromEntries(names.map((name) => [name, Bool]))).type;
    expect(typeOf("all", "Distinct", "FROM", "select", "table")).toBe(
      "Tuple(`all` Bool, `Distinct` Bool, `FROM` Bool, `select` Bool, `table` Bool)",
    );
    expect(typeOf("alls", "_all", "where", "A1")).toBe(
      "Tuple(alls Bool, _all Bool, where Bool, A1 Bool)",
    );
    expect(typeOf("\b\t\n\f\r", "'\u0001")).toBe("Tuple(`\\b\\t\\n\\f\\r` Bool, `'\u0001` Bool)");
  });

  it("takes hostile names for names and nothing else", () => {
    const names = [
      "__proto__",
      "constructor",
      "toString",
      "a b",
      "`",
      "\\",
      "1",
      "é",
      "\u2028",
      "a.b",
    ];
    const of = Tuple(Object.fromEntries(names.map((name) => [name, UInt8])));
    expect(of.type).toBe(
      "Tuple(`1` UInt8, __proto__ UInt8, constructor UInt8, toString UInt8, `a b` UInt8, " +
        "`\\`` UInt8, `\\\\` UInt8, `é` UInt8, `\u2028` UInt8, `a.b` UInt8)",
    );
    const value = own(...names.map((name, index) => [name, index] as const));
    expect(encoded(of, value)).toBe("06000102030405070809");
    expect(decoded(of, value)).toEqual(value);
    for (const name of ["__proto__", "constructor", "toString"]) {
      const one = Tuple(Object.fromEntries([[name, UInt8]]));
      expect(encoded(one, {})).toMatch(/UInt8 takes .* received undefined$/);
      expect(encoded(one, own([name, 5]))).toBe("05");
    }
  });
});

describe("Nested", () => {
  const of = Nested({ a: UInt8, b: Nullable(Text) });

  it("as a column is an array for each field", () => {
    expect(of.type).toBe("Nested(a UInt8, b Nullable(String))");
    expect(encoded(of, [])).toBe("0000");
    expect(encoded(of, [{ a: 1, b: "x" }, { a: 2 }])).toBe("0201020200017801");
    expect(decoded(of, [{ a: 1 }, { b: "x", a: 2 }])).toEqual([
      { a: 1, b: null },
      { a: 2, b: "x" },
    ]);
    const { batch } = rows({ n: of, "x y": Nested({ "`": UInt8 }) })
      .accumulator()
      .seal(0);
    expect(batch.columns).toEqual([
      { name: "n.a", type: "Array(UInt8)" },
      { name: "n.b", type: "Array(Nullable(String))" },
      { name: "x y.`", type: "Array(UInt8)" },
    ]);
  });

  it("within another type is an array of tuples", () => {
    const within = ArrayOf(of);
    expect(within.type).toBe("Array(Nested(a UInt8, b Nullable(String)))");
    expect(encoded(within, [[], [{ a: 1, b: "x" }, { a: 2 }]])).toBe("020002010001780201");
    expect(encoded(Tuple({ n: of }), { n: [{ a: 1 }] })).toBe("010101");
    expect(decoded(within, [[{ a: 1 }]])).toEqual([[{ a: 1, b: null }]]);
  });

  it("refuses what is no array of such objects, in both places", () => {
    for (const [type, wrap] of [
      [of, (value: unknown) => value],
      [ArrayOf(of), (value: unknown) => [value]],
    ] as const) {
      for (const value of [null, {}, "ab", 5, [null], [5], [[1]], [{ a: 1, c: 2 }], [{ b: "x" }]]) {
        refuses(type, wrap(value));
      }
      refuses(type, wrap([{ a: 1 }, { a: 256 }]));
      refuses(type, wrap([{ a: 1 }, undefined]));
    }
    expect(encoded(of, [{ a: 1, c: 2 }])).toMatch(/takes no field "c"; received/);
  });
});

describe("types within types", () => {
  it("know themselves by the name that ClickHouse gives them", () => {
    const of = MapOf(
      LowCardinality(Text),
      ArrayOf(Tuple({ at: DateTime64(3, "UTC"), "is ok": Nullable(Bool) })),
    );
    expect(of.type).toBe(
      "Map(LowCardinality(String), Array(Tuple(at DateTime64(3, 'UTC'), `is ok` Nullable(Bool))))",
    );
    expect(encoded(of, { a: [{ at: 1n, "is ok": true }] })).toBe("0101610101000000000000000001");
  });

  it("are not led astray by values that change while they are read", () => {
    const growing = (make: (push: () => void) => unknown): unknown => {
      const values: unknown[] = [];
      values.push(make(() => values.push(make(() => undefined))));
      return values;
    };
    const withJson = growing((push) => ({
      toJSON: () => {
        push();
        return 1;
      },
    }));
    const { accumulator } = rows({ v: ArrayOf(Json), n: Nested({ a: Nullable(UInt8), b: UInt8 }) });
    const nested = growing((push) => ({
      get a(): number {
        push();
        return 1;
      },
      b: 2,
    }));
    const held = accumulator();
    held.measure({ v: withJson, n: nested } as never);
    held.fold();
    expect(hexOf(held.seal(1).batch)).toBe("0101310100010102");
  });
});
