import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  type AnyColumnType,
  Enum8,
  Enum16,
  FixedString,
  IPv4,
  IPv6,
  JSON as Json,
  String as Text,
  UUID,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { decoded, encoded, refusalOf, refused } from "../../../../../test/rows/encoded.ts";

/** No text, in many ways. */
const NO_TEXTS: readonly unknown[] = [null, 5, 5n, true, {}, [], ["a"], Symbol("s"), new Date(5)];
/** A lone surrogate, at every place that may be treated differently. */
const LONE: readonly string[] = [
  "\ud800",
  "\udc00",
  "a\ud800",
  "\ud800a",
  "\udc00\ud800",
  `${"a".repeat(62)}\ud800`,
  `${"a".repeat(63)}\ud800`,
  `${"a".repeat(64)}\udfff`,
  `${"ä".repeat(20_000)}\ud800`,
];

const refuses = (of: AnyColumnType, value: unknown): void =>
  expect(encoded(of, value)).toMatch(/^SLUICE_ERR_ITEM_INVALID: t: column "v" \(/);
const hex = (value: string | Uint8Array): string => Buffer.from(value).toString("hex");

describe("String", () => {
  it("is its length and UTF-8", () => {
    expect(encoded(Text, "")).toBe("00");
    expect(encoded(Text, "a")).toBe("0161");
    expect(encoded(Text, "\0")).toBe("0100");
    expect(encoded(Text, "é")).toBe("02c3a9");
    expect(encoded(Text, "€")).toBe("03e282ac");
    expect(encoded(Text, "😀")).toBe("04f09f9880");
    expect(encoded(Text, "\u007f\u0080")).toBe("037fc280");
    expect(encoded(Text, "\ufeff")).toBe("03efbbbf");
  });

  it.each([
    [63, "3f"],
    [64, "40"],
    [127, "7f"],
    [128, "8001"],
    [16_383, "ff7f"],
    [16_384, "808001"],
    [2_097_152, "80808001"],
  ])("of %d bytes: the length is %s", (length, prefix) => {
    expect(encoded(Text, "x".repeat(length))).toBe(prefix + "78".repeat(length));
    expect(encoded(Text, new Uint8Array(length).fill(255))).toBe(prefix + "ff".repeat(length));
  });

  it("with a character beyond ASCII at each place near the border of short texts", () => {
    for (const wide of ["é", "€", "😀"]) {
      for (const length of [1, 2, 31, 32, 33, 61, 62, 63, 64, 65, 127, 128]) {
        const places =
          length < 60 ? [0, 1, length - 1] : [0, 1, length - 3, length - 2, length - 1];
        for (const at of places) {
          const text = "x".repeat(at) + wide + "x".repeat(Math.max(0, length - at - 1));
          const bytes = Buffer.from(text);
          const prefix = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, 1];
          expect(encoded(Text, text)).toBe(hex(Uint8Array.from(prefix)) + hex(bytes));
        }
      }
    }
  });

  it("takes bytes as they are, and gives back text where they are UTF-8", () => {
    const bytes = Uint8Array.of(0, 255, 128);
    expect(encoded(Text, bytes)).toBe("0300ff80");
    expect(encoded(Text, Buffer.from(bytes))).toBe("0300ff80");
    expect(encoded(Text, new Uint8Array([9, 0, 255, 128, 9]).subarray(1, 4))).toBe("0300ff80");
    expect(encoded(Text, new Uint8Array(0))).toBe("00");
    expect(decoded(Text, bytes)).toEqual(bytes);
    expect(decoded(Text, Buffer.from("ü"))).toBe("ü");
    expect(decoded(Text, "\ufeffx")).toBe("\ufeffx");
    for (const other of [
      new ArrayBuffer(2),
      new Uint16Array(2),
      new DataView(new ArrayBuffer(2)),
    ]) {
      refuses(Text, other);
    }
  });

  it("refuses lone surrogates, and what is no text", () => {
    const takes = "String takes well-formed text, or bytes as a Uint8Array";
    expect(encoded(Text, "a\ud800")).toBe(
      refused(Text, `${takes}; this holds a lone surrogate`, '"a\\ud800"'),
    );
    expect(encoded(Text, 5)).toBe(refused(Text, takes, "5"));
    for (const value of [...LONE, ...NO_TEXTS, Object("a")]) refuses(Text, value);
  });
});

describe("FixedString", () => {
  it("is filled up with zero bytes", () => {
    const of = FixedString(4);
    expect(encoded(of, "")).toBe("00000000");
    expect(encoded(of, "ab")).toBe("61620000");
    expect(encoded(of, "abcd")).toBe("61626364");
    expect(encoded(of, "éé")).toBe("c3a9c3a9");
    expect(encoded(of, Uint8Array.of(255))).toBe("ff000000");
    expect(encoded(FixedString(1), Buffer.from("x"))).toBe("78");
    expect(encoded(FixedString(100_000), "x")).toBe(`78${"00".repeat(99_999)}`);
    expect(decoded(of, "ab")).toBe("ab\0\0");
    expect(decoded(of, Uint8Array.of(255))).toEqual(Uint8Array.of(255, 0, 0, 0));
  });

  it("refuses longer ones, by their bytes, and what is no text", () => {
    const of = FixedString(4);
    const takes = "FixedString(4) takes at most 4 bytes";
    expect(encoded(of, "abcde")).toBe(refused(of, takes, '"abcde"'));
    expect(encoded(of, "ééé")).toBe(refused(of, takes, '"ééé"'));
    refuses(of, new Uint8Array(5));
    for (const value of [...LONE, ...NO_TEXTS]) refuses(of, value);
    expect(encoded(of, "\ud800")).toMatch(/this holds a lone surrogate; received/);
  });
});

describe("UUID", () => {
  it("is two halves, each little-endian, in upper or lower case", () => {
    const text = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"; // the example of ClickHouse's documentation
    const bytes = "e711b35c04c4f061a0dbd36a00a67b90";
    expect(encoded(UUID, text)).toBe(bytes);
    expect(encoded(UUID, text.toUpperCase())).toBe(bytes);
    expect(decoded(UUID, text.toUpperCase())).toBe(text);
    expect(encoded(UUID, "00000000-0000-0000-0000-000000000000")).toBe("00".repeat(16));
    expect(encoded(UUID, "ffffffff-ffff-ffff-ffff-ffffffffffff")).toBe("ff".repeat(16));
    expect(decoded(UUID, "00000000-0000-0000-0000-000000000001")).toBe(
      "00000000-0000-0000-0000-000000000001",
    );
  });

  it("refuses other forms", () => {
    const text = "61f0c404-5cb3-11e7-907b-a6006ad3dba0";
    const takes = "UUID takes a UUID such as 123e4567-e89b-12d3-a456-426614174000";
    expect(encoded(UUID, "x")).toBe(refused(UUID, takes, '"x"'));
    const forms = [
      "",
      `{${text}}`,
      `urn:uuid:${text}`,
      text.replaceAll("-", ""),
      `${text} `,
      ` ${text}`,
      `${text}\n`,
      text.slice(1),
      `${text}0`,
      text.replace("f", "g"),
      text.replace("-", "_"),
    ];
    for (const value of [...forms, ...NO_TEXTS, new Uint8Array(16), ...LONE]) refuses(UUID, value);
  });
});

describe("IPv4", () => {
  it("is a little-endian number", () => {
    expect(encoded(IPv4, "1.2.3.4")).toBe("04030201");
    expect(encoded(IPv4, "0.0.0.0")).toBe("00000000");
    expect(encoded(IPv4, "255.255.255.255")).toBe("ffffffff");
    expect(decoded(IPv4, "192.0.2.255")).toBe("192.0.2.255");
  });

  it("refuses all that node:net refuses", () => {
    const takes = "IPv4 takes an address such as 192.0.2.1";
    expect(encoded(IPv4, "1.2.3.256")).toBe(refused(IPv4, takes, '"1.2.3.256"'));
    const texts = [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.04",
      "1.2.3.-4",
      "1.2.3.4 ",
      "::1",
      "1.2.3.1e1",
    ];
    for (const text of texts) {
      expect(isIPv4(text)).toBe(false);
      refuses(IPv4, text);
    }
    for (const value of [...NO_TEXTS, 0x01020304]) refuses(IPv4, value);
  });
});

describe("IPv6", () => {
  it("is sixteen bytes in the order they are read", () => {
    expect(encoded(IPv6, "::")).toBe("00".repeat(16));
    expect(encoded(IPv6, "::1")).toBe(`${"00".repeat(15)}01`);
    expect(encoded(IPv6, "2001:db8::1")).toBe(`20010db8${"00".repeat(11)}01`);
    expect(encoded(IPv6, "1:2:3:4:5:6:7:8")).toBe("00010002000300040005000600070008");
    expect(encoded(IPv6, "1::8")).toBe(`0001${"00".repeat(12)}0008`);
    expect(encoded(IPv6, "1:2:3:4:5:6:7::")).toBe("00010002000300040005000600070000");
    expect(encoded(IPv6, "::2:3:4:5:6:7:8")).toBe("00000002000300040005000600070008");
    expect(encoded(IPv6, "FFFF:ffff:FFFF:ffff:FFFF:ffff:FFFF:ffff")).toBe("ff".repeat(16));
    const mapped = `${"00".repeat(10)}ffff01020304`;
    for (const text of ["1.2.3.4", "::ffff:1.2.3.4", "::FFFF:102:304", "0:0:0:0:0:ffff:1.2.3.4"]) {
      expect(encoded(IPv6, text)).toBe(mapped);
    }
    expect(encoded(IPv6, "64:ff9b::1.2.3.4")).toBe(`0064ff9b${"00".repeat(8)}01020304`);
  });

  it("is decoded in the shortest form", () => {
    for (const [text, short] of [
      ["0:0:0:0:0:0:0:0", "::"],
      ["0:0:0:0:0:0:0:1", "::1"],
      ["1:0:0:0:0:0:0:0", "1::"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
      ["1.2.3.4", "::ffff:1.2.3.4"],
      ["::1.2.3.4", "::102:304"],
    ] as const) {
      expect(decoded(IPv6, text)).toBe(short);
    }
  });

  it("takes what node:net calls an address, apart from zones, and nothing else", () => {
    const group = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom("0", "1", "ab", "FFFF", "00f", "0000") },
      { weight: 2, arbitrary: fc.constantFrom("", "1.2.3.4", "255.255.255.255") },
      {
        weight: 1,
        arbitrary: fc.constantFrom("g", "12345", "1.2.3", "01.2.3.4", " 1", "%1", "-1"),
      },
    );
    const text = fc.oneof(
      fc.array(group, { maxLength: 10 }).map((groups) => groups.join(":")),
      fc
        .tuple(fc.array(group, { maxLength: 5 }), fc.array(group, { maxLength: 5 }))
        .map((halves) => halves.map((groups) => groups.join(":")).join("::")),
      fc.ipV6(),
      fc.string({ unit: fc.constantFrom(..."0123456789abcdefABCDEF:.g"), maxLength: 46 }),
    );
    fc.assert(
      fc.property(text, (address) => {
        const isAddress = isIPv4(address) || (isIPv6(address) && !address.includes("%"));
        const result = encoded(IPv6, address);
        expect(/^[\da-f]{32}$/.test(result), address).toBe(isAddress);
        if (isAddress) expect(isIPv6(String(decoded(IPv6, address)))).toBe(true);
      }),
      { numRuns: 1_500, seed: 1 },
    );
  });

  it("refuses zones, and what is no text", () => {
    const takes = "IPv6 takes an address such as 2001:db8::1 or 192.0.2.1";
    expect(encoded(IPv6, "fe80::1%eth0")).toBe(refused(IPv6, takes, '"fe80::1%eth0"'));
    for (const value of ["[::1]", "::1/64", " ::1", ...NO_TEXTS, new Uint8Array(16)]) {
      refuses(IPv6, value);
    }
  });
});

describe("enums", () => {
  it("write the number of a name, little-endian", () => {
    const eight = Enum8({ low: -128, zero: 0, high: 127 });
    expect(["low", "zero", "high"].map((name) => encoded(eight, name))).toEqual(["80", "00", "7f"]);
    const sixteen = Enum16({ low: -32_768, one: 1, high: 32_767 });
    expect(["low", "one", "high"].map((name) => encoded(sixteen, name))).toEqual([
      "0080",
      "0100",
      "ff7f",
    ]);
    expect(decoded(sixteen, "one")).toBe("one");
  });

  it("say their names in the order of the numbers, quoted", () => {
    expect(Enum8({ b: 2, a: 1, c: -1 }).type).toBe("Enum8('c' = -1, 'a' = 1, 'b' = 2)");
    expect(Enum16({ "it's": 1, "\\": 2, "": 3, "') --": 4 }).type).toBe(
      "Enum16('it\\'s' = 1, '\\\\' = 2, '' = 3, '\\') --' = 4)",
    );
  });

  it("escape what ClickHouse escapes, and no more", () => {
    const names = { "\0\b\t\n\f\r": 1, "\u0001\u000b\u007f\u2028": 2, '`"': 3 };
    expect(Enum8(names).type).toBe(
      "Enum8('\\0\\b\\t\\n\\f\\r' = 1, '\u0001\u000b\u007f\u2028' = 2, '`\"' = 3)",
    );
  });

  it("take hostile names for names and nothing else", () => {
    const names = [
      "__proto__",
      "constructor",
      "toString",
      "",
      "'",
      "\\",
      "`",
      "\n",
      "\u2028",
      "\0",
    ];
    const of = Enum8(Object.fromEntries(names.map((name, index) => [name, index])));
    for (const [index, name] of names.entries()) expect(encoded(of, name)).toBe(`0${index}`);
    for (const name of ["valueOf", "hasOwnProperty", "__defineGetter__"]) refuses(of, name);
    for (const name of ["__proto__", "constructor", "toString"]) refuses(Enum8({ a: 1 }), name);
  });

  it("refuse other names, and numbers", () => {
    const of = Enum8({ a: 1, b: 2 });
    const takes = `${of.type} takes one of "a", "b"`;
    expect(encoded(of, "c")).toBe(refused(of, takes, '"c"'));
    expect(encoded(of, 1)).toBe(refused(of, takes, "1"));
    for (const value of ["A", "a ", "", ...NO_TEXTS, ...LONE]) refuses(of, value);
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["no names", {}],
    ["text", "ab"],
    ["a list", ["a"]],
    ["a number that is text", { a: "1" }],
    ["a fraction", { a: 0.5 }],
    ["NaN", { a: Number.NaN }],
    ["128", { a: 128 }],
    ["-129", { a: -129 }],
    ["one number twice", { a: 1, b: 1 }],
    ["0 and -0", { a: 0, b: -0 }],
    ["a lone surrogate", { "\ud800": 1 }],
  ])("refuse %s for names", (_, names) => {
    const message = refusalOf(() => Enum8(names as never));
    expect(message).toMatch(
      /^SLUICE_ERR_OPTION_INVALID: Enum8 must be names, each with a whole number of its own from -128 to 127; received /,
    );
  });

  it("Enum16 reaches further", () => {
    expect(Enum16({ a: 128, b: -129 }).type).toBe("Enum16('b' = -129, 'a' = 128)");
    expect(refusalOf(() => Enum16({ a: 32_768 }))).toMatch(/from -32768 to 32767/);
  });
});

describe("JSON", () => {
  it("is what JSON.stringify says, as text", () => {
    expect(encoded(Json, { a: 1 })).toBe(`07${hex('{"a":1}')}`);
    expect(encoded(Json, { a: undefined, b: new Date(0) })).toBe(
      `20${hex('{"b":"1970-01-01T00:00:00.000Z"}')}`,
    );
    expect(encoded(Json, "\\ud800")).toBe(`09${hex('"\\\\ud800"')}`);
    expect(encoded(Json, "😀")).toBe(`06${hex('"😀"')}`);
    expect(encoded(Json, null)).toBe(`04${hex("null")}`);
    expect(encoded(Json, [1, "é"])).toBe(`08${hex('[1,"é"]')}`);
    expect(decoded(Json, { a: [1, { b: null }] })).toEqual({ a: [1, { b: null }] });
  });

  it("refuses what JSON cannot say", () => {
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    const throwing = {
      toJSON: () => {
        throw new Error("mine");
      },
    };
    const takes = "JSON takes what JSON can say";
    expect(encoded(Json, cycle)).toBe(refused(Json, takes, "[object]"));
    expect(encoded(Json, { a: 5n })).toBe(refused(Json, takes, "[object]"));
    expect(encoded(Json, { a: "\\\ud800" })).toMatch(/what JSON can say; received/);
    for (const value of [5n, Symbol("s"), () => 1, throwing, "\ud800"]) refuses(Json, value);
  });
});
