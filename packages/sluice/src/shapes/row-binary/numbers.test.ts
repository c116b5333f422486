import {
  type AnyColumnType,
  Bool,
  Decimal,
  Decimal32,
  Decimal64,
  Decimal128,
  Decimal256,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  Int128,
  Int256,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  UInt128,
  UInt256,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { decoded, encoded, refused } from "../../../../../test/rows/encoded.ts";

/** No number, in many ways. */
const NO_NUMBERS: readonly unknown[] = [
  null,
  true,
  {},
  [],
  [1],
  new Date(5),
  Symbol("s"),
  () => 1,
  Object(1),
];

const refuses = (of: AnyColumnType, value: unknown): void =>
  expect(encoded(of, value)).toMatch(/^SLUICE_ERR_ITEM_INVALID: t: column "v" \(/);

describe("whole numbers up to 32 bits", () => {
  const cases: [AnyColumnType, least: number, hex: string, most: number, hex: string][] = [
    [UInt8, 0, "00", 255, "ff"],
    [UInt16, 0, "0000", 65_535, "ffff"],
    [UInt32, 0, "00000000", 4_294_967_295, "ffffffff"],
    [Int8, -128, "80", 127, "7f"],
    [Int16, -32_768, "0080", 32_767, "ff7f"],
    [Int32, -2_147_483_648, "00000080", 2_147_483_647, "ffffff7f"],
  ];
  it.each(cases)("$0.type: little-endian, from end to end and no further", (...each) => {
    const [of, least, leastHex, most, mostHex] = each;
    expect([encoded(of, least), encoded(of, most)]).toEqual([leastHex, mostHex]);
    expect(encoded(of, 1)).toBe("01".padEnd(leastHex.length, "0"));
    expect(encoded(of, -0)).toBe("00".padEnd(leastHex.length, "0"));
    const takes = `${of.type} takes a whole number from ${least} to ${most}`;
    for (const value of [least - 1, most + 1, 0.5, Number.NaN, Infinity, -Infinity, 2 ** 53]) {
      expect(encoded(of, value)).toBe(refused(of, takes, String(value)));
    }
    expect(encoded(of, "1")).toBe(refused(of, takes, '"1"'));
    expect(encoded(of, 1n)).toBe(refused(of, takes, "1n"));
    for (const value of NO_NUMBERS) refuses(of, value);
  });

  it("lie in the order of their bytes", () => {
    expect(encoded(UInt16, 0x0102)).toBe("0201");
    expect(encoded(UInt32, 0x01020304)).toBe("04030201");
    expect(encoded(Int16, -2)).toBe("feff");
    expect(encoded(Int32, -2)).toBe("feffffff");
  });
});

describe("whole numbers of 64 bits and more", () => {
  const cases: [AnyColumnType, signed: boolean, bits: number][] = [
    [UInt64, false, 64],
    [UInt128, false, 128],
    [UInt256, false, 256],
    [Int64, true, 64],
    [Int128, true, 128],
    [Int256, true, 256],
  ];
  it.each(cases)("$0.type: from end to end and no further", (of, signed, bits) => {
    const most = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
    const least = signed ? -most - 1n : 0n;
    const zeros = "00".repeat(bits / 8 - 1);
    expect(encoded(of, most)).toBe(`${"ff".repeat(bits / 8 - 1)}${signed ? "7f" : "ff"}`);
    expect(encoded(of, least)).toBe(`${zeros}${signed ? "80" : "00"}`);
    for (const one of [1, 1n, "1", "001"]) expect(encoded(of, one)).toBe(`01${zeros}`);
    for (const zero of [0, -0, 0n, "0", "-0"]) expect(encoded(of, zero)).toBe(`00${zeros}`);
    expect(encoded(of, String(most))).toBe(encoded(of, most));
    expect(encoded(of, String(least))).toBe(encoded(of, least));
    expect(encoded(of, 2 ** 53 - 1)).toBe(`ffffffffffff1f${"00".repeat(bits / 8 - 7)}`);
    expect(encoded(of, 2 ** 32)).toBe(`0000000001${"00".repeat(bits / 8 - 5)}`);
    if (signed) {
      for (const value of [-1, -1n, "-1"]) expect(encoded(of, value)).toBe("ff".repeat(bits / 8));
      expect(encoded(of, -(2 ** 32))).toBe(`00000000${"ff".repeat(bits / 8 - 4)}`);
      expect(encoded(of, 1 - 2 ** 53)).toBe(`010000000000e0${"ff".repeat(bits / 8 - 7)}`);
    }
    const takes =
      `${of.type} takes a whole number from ${least} to ${most}: ` +
      "a bigint, digits as text, or a number up to 2^53 - 1";
    if (bits === 64) {
      expect(encoded(of, most + 1n)).toBe(refused(of, takes, `${most + 1n}n`));
      expect(encoded(of, least - 1n)).toBe(refused(of, takes, `${least - 1n}n`));
    }
    for (const value of [most + 1n, least - 1n, String(most + 1n), 10n ** 100n]) refuses(of, value);
    expect(encoded(of, 2 ** 53)).toBe(refused(of, takes, "9007199254740992"));
    for (const value of [0.5, Number.NaN, Infinity, -Infinity, -(2 ** 53)]) refuses(of, value);
    for (const text of ["", " ", " 1", "1 ", "+1", "1.0", "1e3", "0x1", "1n", "1_000", "١", "-"]) {
      refuses(of, text);
    }
    refuses(of, "1".repeat(81));
    for (const value of NO_NUMBERS) refuses(of, value);
  });

  it("are decoded exactly", () => {
    expect(decoded(UInt64, "18446744073709551615")).toBe(18_446_744_073_709_551_615n);
    expect(decoded(Int256, -(2n ** 255n))).toBe(-(2n ** 255n));
    expect(decoded(Int64, -5)).toBe(-5n);
    expect(decoded(UInt32, 4_294_967_295)).toBe(4_294_967_295);
  });
});

describe("floats", () => {
  it("Float64 is any number", () => {
    expect(encoded(Float64, 1)).toBe("000000000000f03f");
    expect(encoded(Float64, -0)).toBe("0000000000000080");
    expect(encoded(Float64, 0.1)).toBe("9a9999999999b93f");
    expect(encoded(Float64, Number.MAX_VALUE)).toBe("ffffffffffffef7f");
    expect(encoded(Float64, 5e-324)).toBe("0100000000000000");
    expect(encoded(Float64, -Infinity)).toBe("000000000000f0ff");
    expect(encoded(Float64, Number.NaN)).toBe("000000000000f87f");
  });

  it("Float32 rounds, and refuses what would become infinite", () => {
    expect(encoded(Float32, 1.5)).toBe("0000c03f");
    expect(encoded(Float32, -0)).toBe("00000080");
    expect(encoded(Float32, 0.1)).toBe("cdcccc3d");
    expect(encoded(Float32, 1e-50)).toBe("00000000");
    expect(encoded(Float32, 3.4028234663852886e38)).toBe("ffff7f7f");
    expect(encoded(Float32, 3.4028235e38)).toBe("ffff7f7f");
    expect(encoded(Float32, -3.4028235e38)).toBe("ffff7fff");
    expect(encoded(Float32, Infinity)).toBe("0000807f");
    expect(encoded(Float32, -Infinity)).toBe("000080ff");
    expect(encoded(Float32, Number.NaN)).toBe("0000c07f");
    const takes = "Float32 takes a number up to 3.4e38 (it is rounded to 24 bits)";
    expect(encoded(Float32, 3.4028236e38)).toBe(refused(Float32, takes, "3.4028236e+38"));
    refuses(Float32, -1e300);
  });

  it("take numbers alone", () => {
    for (const of of [Float32, Float64]) {
      for (const value of [...NO_NUMBERS, "1", 1n, ""]) refuses(of, value);
    }
    expect(encoded(Float64, "1")).toBe(refused(Float64, "Float64 takes a number", '"1"'));
  });
});

describe("Bool", () => {
  it("takes true and false alone", () => {
    expect([encoded(Bool, true), encoded(Bool, false)]).toEqual(["01", "00"]);
    expect(encoded(Bool, 1)).toBe(refused(Bool, "Bool takes true or false", "1"));
    for (const value of [0, "true", "", null, {}, Object(true), 1n]) refuses(Bool, value);
  });
});

describe("decimals", () => {
  it("count units of their last digit, in 4, 8, 16 or 32 bytes", () => {
    expect(encoded(Decimal(9, 2), "12.34")).toBe("d2040000");
    expect(encoded(Decimal(1, 0), 7)).toBe("07000000");
    expect(encoded(Decimal(10, 2), "12.34")).toBe("d204000000000000");
    expect(encoded(Decimal(19, 2), "-12.34")).toBe(`2efb${"ff".repeat(14)}`);
    expect(encoded(Decimal(39, 2), "12.34")).toBe(`d204${"00".repeat(30)}`);
    expect(encoded(Decimal32(4), "1")).toBe("10270000");
    expect(encoded(Decimal64(4), "1")).toBe("1027000000000000");
    expect(encoded(Decimal128(4), "1")).toBe(`1027${"00".repeat(14)}`);
    expect(encoded(Decimal256(4), "1")).toBe(`1027${"00".repeat(30)}`);
    expect([Decimal32(4).type, Decimal64(0).type]).toEqual(["Decimal(9, 4)", "Decimal(18, 0)"]);
    expect([Decimal128(1).type, Decimal256(76).type]).toEqual([
      "Decimal(38, 1)",
      "Decimal(76, 76)",
    ]);
  });

  it("read text, bigints and numbers in any form that is exact", () => {
    const same = ["1.5", "1.50", "+1.5", "01.5", "1.5000000000", "15e-1", "0.15E1", 1.5, ".15e+1"];
    for (const value of same) expect(encoded(Decimal(9, 2), value)).toBe("96000000");
    for (const value of [2, 2n, "2", "2.", "2.0", "200e-2", "0.02e2", "2e0"]) {
      expect(encoded(Decimal(9, 2), value)).toBe("c8000000");
    }
    for (const value of [0, -0, 0n, "0", "-0", "0.000", ".0", "0.", "0e9999", "-0.00e-9999"]) {
      expect(encoded(Decimal(9, 2), value)).toBe("00000000");
    }
    expect(encoded(Decimal(38, 0), 1e21)).toBe(encoded(Decimal(38, 0), 10n ** 21n));
    expect(encoded(Decimal(38, 20), 1e-7)).toBe(encoded(Decimal(38, 20), "0.0000001"));
    expect(encoded(Decimal(9, 1), 0.1)).toBe("01000000");
  });

  it.each([
    [9, 2],
    [9, 9],
    [18, 0],
    [18, 18],
    [38, 10],
    [76, 20],
    [76, 76],
  ])("Decimal(%d, %d): all its nines, and not one unit more", (precision, scale) => {
    const of = Decimal(precision, scale);
    const dot = (digits: string): string =>
      scale === 0
        ? digits
        : `${digits.slice(0, -scale) === "" ? "0" : digits.slice(0, -scale)}.${digits.slice(-scale)}`;
    const nines = dot("9".repeat(precision));
    for (const text of [nines, `-${nines}`]) expect(decoded(of, text)).toBe(text);
    const digits = `1${"0".repeat(precision)}`;
    for (const text of [dot(digits), `-${dot(digits)}`, `1e${precision - scale}`]) {
      refuses(of, text);
    }
    refuses(of, scale === 0 ? "0.5" : `0.${"0".repeat(scale)}1`);
    refuses(of, 10n ** BigInt(precision - scale));
    refuses(of, -(10n ** 90n));
  });

  it("refuse what is no decimal, or has digits to lose", () => {
    const of = Decimal(9, 2);
    const takes =
      "Decimal(9, 2) takes a decimal of at most 7 digits before the point and 2 behind it";
    expect(encoded(of, "1.234")).toBe(refused(of, takes, '"1.234"'));
    expect(encoded(of, 0.1 + 0.2)).toBe(refused(of, takes, "0.30000000000000004"));
    expect(encoded(of, 12_345_678)).toBe(refused(of, takes, "12345678"));
    const texts = ["", ".", "e1", ".e1", "-", "1,5", "1 ", " 1", "0x1", "1e", "1e1.5", "--1", "1n"];
    for (const text of texts) refuses(of, text);
    for (const text of ["NaN", "Infinity", "1e-3", "1e-9999", "1e9999", "1e99999"]) {
      refuses(of, text);
    }
    for (const value of [Number.NaN, Infinity, 5e-324, 1e300]) refuses(of, value);
    refuses(of, "1".repeat(300));
    for (const value of [null, true, {}, [], [1], new Date(5), Symbol("s")]) refuses(of, value);
  });

  it("are decoded as text with all their digits", () => {
    expect(decoded(Decimal(9, 2), "-0.5")).toBe("-0.50");
    expect(decoded(Decimal(9, 0), 5n)).toBe("5");
    expect(decoded(Decimal(9, 9), "0.000000001")).toBe("0.000000001");
    expect(decoded(Decimal(38, 10), "12345678901234567890.0123456789")).toBe(
      "12345678901234567890.0123456789",
    );
  });
});
