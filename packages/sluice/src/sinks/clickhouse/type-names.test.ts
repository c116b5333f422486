import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fits, holdsJson, onOneLine, parseType } from "./type-names.ts";

const nested = (type: string): string => `Array(Map(String, Nullable(${type})))`;

describe("type names", () => {
  it.each([
    ["LowCardinality(Nullable(String))", "Nullable(String)"],
    ["DateTime('Europe/Berlin')", "DateTime"],
    ["DateTime64(3, 'UTC')", "DateTime64(3)"],
    ["DateTime64", "DateTime64(3)"],
    ["SimpleAggregateFunction(sum, UInt64)", "UInt64"],
    ["SimpleAggregateFunction(groupArrayArray(5), Array(String))", "Array(String)"],
    ["Nested(a UInt8, `b c` LowCardinality(String))", "Array(Tuple(`a` UInt8, `b c` String))"],
    ["Decimal64(3)", "Decimal(18, 3)"],
    ["Decimal(5)", "Decimal(5, 0)"],
    ["INET6", "IPv6"],
    ["JSON(max_dynamic_paths=3, `a.b` UInt8, SKIP c)", "JSON"],
    ["Enum('b', 'c' = 5, 'd')", "Enum8('b' = 1, 'c' = 5, 'd' = 6)"],
    ["Enum('big' = 1000)", "Enum16('big' = 1000)"],
    ["Enum8('it\\'s'=1,'a)b,(' = -2)", "Enum8('a)b,(' = -2, 'it\\'s' = 1)"],
    ["Enum8('it''s' = 1, '\\\\' = 2)", "Enum8('it\\'s' = 1, '\\\\' = 2)"],
    [
      "Tuple(\n    a UInt8,\n    `b``c` Tuple(\n        x Date))",
      "Tuple(`a` UInt8, `b\\`c` Tuple(`x` Date))",
    ],
    ["Tuple(UInt8, String)", "Tuple(UInt8, String)"],
  ])("%s has the bytes of %s", (type, plain) => {
    expect(parseType(type)).toEqual(parseType(plain));
    expect(parseType(plain)).toBeDefined();
    expect(fits(nested(type), nested(plain))).toBe(true);
    expect(fits(nested(plain), nested(type))).toBe(true);
  });

  it.each([
    "",
    "(",
    ")",
    "Array",
    "Array()",
    "Array(",
    "Array(UInt8",
    "Array(UInt8))",
    "Array(UInt8,)",
    "Enum8('a' = )",
    "Enum8(a = 1)",
    "Enum8('a)",
    "Tuple(,)",
    "Map(String)",
    "Uint8",
    "UInt8(3)",
    "FixedString(-1)",
    "FixedString(x)",
    "Decimal(a, b)",
    "DateTime64('UTC')",
    "Nullable(Foo)",
    `${"Array(".repeat(5_000)}UInt8${")".repeat(5_000)}`,
  ])("that are nonsense equal themselves only: %s", (nonsense) => {
    expect(parseType(nonsense)).toBeUndefined();
    expect(fits(nonsense, nonsense)).toBe(true);
    expect(fits(nonsense, "UInt8")).toBe(false);
  });

  it("let a Bool into the UInt8 of servers without it, and no number into a Bool", () => {
    expect(fits("Array(Bool)", "Array(UInt8)")).toBe(true);
    expect(fits("UInt8", "Bool")).toBe(false);
  });

  it("never hang or throw", () => {
    const piece = fc.constantFrom(
      "Array",
      "Tuple",
      "Enum8",
      "(",
      ")",
      ",",
      "'",
      "`",
      "\\",
      " ",
      "=",
      "1",
      "a",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join("");
        expect(fits(text, text)).toBe(true);
      }),
    );
  });

  it("keep any name of an enum", () => {
    const names = fc.uniqueArray(fc.string({ unit: "binary" }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(names, (all) => {
        const escape = (name: string): string => name.replace(/[\\']/g, "\\$&");
        const type = `Enum8(${all.map((name, index) => `'${escape(name)}' = ${index}`).join(", ")})`;
        const parsed = parseType(type);
        expect(parsed?.kind === "enum" && [...parsed.values.keys()]).toEqual(all);
      }),
    );
  });
});

describe("rows fit a column", () => {
  it.each([
    ["UInt32", "UInt32", true],
    ["UInt32", "UInt64", false],
    ["UInt32", "Int32", false],
    ["String", "LowCardinality(String)", true],
    ["String", "FixedString(3)", false],
    ["String", "Nullable(String)", false],
    ["Enum8('a' = 1)", "Enum8('a' = 1, 'b' = 2)", true],
    ["Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)", false],
    ["Enum8('a' = 1)", "Enum8('a' = 2)", false],
    ["Enum8('a' = 1)", "Enum16('a' = 1)", false],
    ["Decimal(5, 2)", "Decimal(9, 2)", true],
    ["Decimal(9, 2)", "Decimal(5, 2)", false],
    ["Decimal(9, 2)", "Decimal(10, 2)", false],
    ["Decimal(9, 2)", "Decimal(9, 3)", false],
    ["JSON", "JSON(max_dynamic_paths = 8)", true],
    ["JSON", "String", true],
    ["Array(JSON)", "Array(String)", true],
    ["String", "JSON", false],
    ["Tuple(UInt8, String)", "Tuple(a UInt8, b String)", true],
    ["Tuple(a UInt8, b UInt8)", "Tuple(b UInt8, a UInt8)", false],
    ["Tuple(UInt8)", "Tuple(UInt8, UInt8)", false],
    ["DateTime", "DateTime('UTC')", true],
    ["DateTime64(3)", "DateTime64(6)", false],
    ["Map(String, UInt8)", "Map(LowCardinality(String), UInt8)", true],
    ["Variant(String, UInt8)", "Variant(String, UInt8)", true],
    ["Variant(String, UInt8)", "Dynamic", false],
  ])("%s into %s: %s", (ours, theirs, expected) => {
    expect(fits(ours, theirs)).toBe(expected);
  });
});

it("knows types that hold JSON at any depth", () => {
  expect(holdsJson("Array(Tuple(a JSON(max_dynamic_paths=1)))")).toBe(true);
  expect(holdsJson("Map(String, Nullable(String))")).toBe(false);
});

it("puts what DESCRIBE breaks into lines on one line", () => {
  const shown = "Tuple(\n    a UInt8,\n    b Tuple(\n        c Enum8('x, (' = 1)))";
  expect(onOneLine(shown)).toBe("Tuple(a UInt8, b Tuple(c Enum8('x, (' = 1)))");
});
