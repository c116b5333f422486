import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "./canonical-json.ts";

const refusal = (value: unknown): unknown => {
  try {
    return canonicalJson(value);
  } catch (error) {
    return error;
  }
};

/** A list within a list, so many times. */
const nested = (levels: number): unknown =>
  Array.from({ length: levels }).reduce((inner) => [inner], null);

describe("RFC 8785", () => {
  it("writes its example (§3.2.2) as it does (§3.2.3)", () => {
    const example = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`;
    expect(canonicalJson(JSON.parse(example))).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it("sorts names by their UTF-16 units (§3.2.3), which is not the order of code points", () => {
    const names = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\u{1f600}": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    const sorted = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\u{1f600}", "\ufb33"] as const;
    const fields = sorted.map((name) => `${JSON.stringify(name)}:${JSON.stringify(names[name])}`);
    expect(canonicalJson(names)).toBe(`{${fields.join(",")}}`);
  });

  it("sorts names that are numbers as texts, and a beginning before what it begins", () => {
    expect(canonicalJson({ 10: 0, 9: 0, "": 0, ab: 0, a: 0, B: 0 })).toBe(
      '{"":0,"10":0,"9":0,"B":0,"a":0,"ab":0}',
    );
  });

  // Appendix B, by their IEEE 754 bits.
  it.each([
    [0x0000000000000000n, "0"],
    [0x8000000000000000n, "0"],
    [0x0000000000000001n, "5e-324"],
    [0x8000000000000001n, "-5e-324"],
    [0x7fefffffffffffffn, "1.7976931348623157e+308"],
    [0xffefffffffffffffn, "-1.7976931348623157e+308"],
    [0x4340000000000000n, "9007199254740992"],
    [0xc340000000000000n, "-9007199254740992"],
    [0x4430000000000000n, "295147905179352830000"],
    [0x44b52d02c7e14af5n, "9.999999999999997e+22"],
    [0x44b52d02c7e14af6n, "1e+23"],
    [0x44b52d02c7e14af7n, "1.0000000000000001e+23"],
    [0x444b1ae4d6e2ef4en, "999999999999999700000"],
    [0x444b1ae4d6e2ef4fn, "999999999999999900000"],
    [0x444b1ae4d6e2ef50n, "1e+21"],
    [0x3eb0c6f7a0b5ed8cn, "9.999999999999997e-7"],
    [0x3eb0c6f7a0b5ed8dn, "0.000001"],
    [0x41b3de4355555553n, "333333333.3333332"],
    [0x41b3de4355555557n, "333333333.33333343"],
    [0xbecbf647612f3696n, "-0.0000033333333333333333"],
    [0x43143ff3c1cb0959n, "1424953923781206.2"],
  ])("writes the number of the bits %# as %s", (bits, text) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, bits);
    expect(canonicalJson(view.getFloat64(0))).toBe(text);
  });

  it.each([Number.NaN, Infinity, -Infinity])("refuses %d (§3.2.2.3)", (number) => {
    expect(refusal([number])).toMatchObject({
      code: "SLUICE_ERR_KEY_INVALID",
      disposition: "usage",
      message: `value[0] must be JSON; received ${number}`,
    });
  });

  it("refuses a lone surrogate (§3.2.2.2), in a value and in a name", () => {
    for (const value of ["\udead", { "\udead": 1 }, ["a\ud800b"]]) {
      expect(refusal(value)).toMatchObject({ code: "SLUICE_ERR_KEY_INVALID" });
    }
    expect(refusal({ a: { "\udead": 1 } })).toHaveProperty(
      "message",
      String.raw`value.a must be JSON; received "\udead"`,
    );
    expect(canonicalJson("\u{1f600}")).toBe('"\u{1f600}"');
  });
});

describe("what JSON cannot hold is refused, quoted, and named by its place:", () => {
  it.each<[string, unknown, string]>([
    ["undefined", undefined, "value must be JSON; received undefined"],
    ["undefined in a list", [undefined], "value[0] must be JSON; received undefined"],
    ["a hole in a list", Array(1), "value[0] must be JSON; received undefined"],
    ["a bigint", { a: [0, { b: 12n }] }, "value.a[1].b must be JSON; received 12n"],
    ["a Date", { at: new Date(5) }, "value.at must be JSON; received Date(5)"],
    ["a function", { toJSON: () => 1 }, "value.toJSON must be JSON; received [function]"],
    ["a symbol", Symbol("s"), "value must be JSON; received Symbol(s)"],
    ["a Map", new Map([[1, 2]]), "value must be JSON; received {}"],
    ["an instance", new (class Point {})(), "value must be JSON; received {}"],
    ["a String object", Object("s"), 'value must be JSON; received "s"'],
    ["what inherits", Object.create({ a: 1 }), "value must be JSON; received {}"],
  ])("%s", (_name, value, message) => {
    expect(refusal(value)).toMatchObject({ code: "SLUICE_ERR_KEY_INVALID", message });
  });

  it("cycles, and more than 100 levels", () => {
    const cycle: unknown[] = [];
    cycle.push({ cycle });
    expect(refusal(cycle)).toMatchObject({
      code: "SLUICE_ERR_KEY_INVALID",
      message: expect.stringMatching(
        /^"value\[0\]\.cycle\[0\].{63}… \(\d+ long\)" must be JSON; received \[object\]$/,
      ),
    });
    expect(canonicalJson(nested(101))).toBe(`${"[".repeat(101)}null${"]".repeat(101)}`);
    expect(refusal(nested(102))).toMatchObject({ code: "SLUICE_ERR_KEY_INVALID" });
  });

  it("in messages that are short, whatever names there are", () => {
    const error = refusal({ ["x".repeat(1_000)]: 1n });
    const message = `"value.${"x".repeat(74)}… (1006 long)" must be JSON; received 1n`;
    expect(error).toHaveProperty("message", message);
  });

  it("but the same object twice is no cycle", () => {
    const shared = { a: 1 };
    expect(canonicalJson([shared, shared])).toBe('[{"a":1},{"a":1}]');
  });
});

it("fields that are undefined are left out; null is not", () => {
  expect(canonicalJson({ a: undefined, b: null, c: { d: undefined } })).toBe('{"b":null,"c":{}}');
});

it("`__proto__` is a name like any other, and an object may have no prototype", () => {
  const one = JSON.parse('{"__proto__":{"a":1},"b":2}') as unknown;
  expect(canonicalJson(one)).toBe('{"__proto__":{"a":1},"b":2}');
  expect(canonicalJson({ b: 2 })).toBe('{"b":2}');
  expect(canonicalJson(Object.assign(Object.create(null) as object, { b: 2 }))).toBe('{"b":2}');
});

describe("any JSON value", () => {
  /** Few names and values, so that two that are drawn are often equal but for something small. */
  const small = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom(null, true, false, 0, 1, "", "a", "b", "ab", "1", '"', "null", "[]"),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom("a", "b", "ab", "", "__proto__"), tie("value"), { maxKeys: 3 }),
    ),
  })).value;
  const any = fc.oneof(small, fc.jsonValue({ noUnicodeString: false }));

  it("has an equal text where it is equal, and only there", () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        const [one, other] = [JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))];
        return (canonicalJson(one) === canonicalJson(other)) === isDeepStrictEqual(one, other);
      }),
      { numRuns: 2_000 },
    );
  });

  it("can be read back, and has no blanks", () => {
    fc.assert(
      fc.property(any, (value) => {
        const text = canonicalJson(value);
        const read = JSON.parse(text) as unknown;
        expect(read).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(read)).toBe(text);
        expect(text).toHaveLength(JSON.stringify(value).length);
      }),
    );
  });

  it("has the same text in whichever order its fields stand, at every depth", () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== "object" || value === null) return value;
      const fields = Object.entries(value).toReversed();
      return Object.fromEntries(fields.map(([name, field]) => [name, reversed(field)]));
    };
    fc.assert(fc.property(any, (value) => canonicalJson(reversed(value)) === canonicalJson(value)));
  });
});
