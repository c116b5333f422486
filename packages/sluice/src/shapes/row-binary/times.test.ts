import {
  type AnyColumnType,
  Array as ArrayOf,
  Date as Day,
  Date32,
  DateTime,
  DateTime64,
  Nullable,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { decoded, encoded, refused } from "../../../../../test/rows/encoded.ts";

/** Looks like a Date, and is none. */
const FALSE_DATES: readonly unknown[] = [Object.create(Date.prototype), new Proxy(new Date(5), {})];
/** No instant, whatever the column. */
const NO_TIMES: readonly unknown[] = [
  new Date(Number.NaN),
  ...FALSE_DATES,
  Number.NaN,
  Infinity,
  -Infinity,
  null,
  true,
  {},
  [],
  [5],
  Symbol("s"),
  "",
  " ",
  "x",
  "2024",
  "2024-01",
  "20240101",
  "2024-1-1",
  "01.01.2024",
  "Mon Jan 01 2024",
  "2024-01-01 ",
  " 2024-01-01",
  "2024-01-01T",
  "2024-01-01T00",
  "2024-01-01T00:00:00,5",
  "2024-01-01T00:00:00.",
  "2024-01-01T00:00:00.1234567891",
  "2024-01-01T00:00:00 Z",
  "2024-01-01T00:00:00z",
  "2024-01-01T00:00:00+1",
  "2024-01-01T00:00:00+01:60",
  "2024-01-01T00:00:00+14:01",
  "2024-01-01T00:00:00-15:00",
  "2024-01-01Z",
  "+002024-01-01",
  "-2024-01-01",
  "2024-00-01",
  "2024-13-01",
  "2024-01-00",
  "2024-01-32",
  "2024-04-31",
  "2023-02-29",
  "1900-02-29",
  "2100-02-29",
  "2024-02-30",
  "2024-01-01T24:00:00",
  "2024-01-01T23:60:00",
  "2016-12-31T23:59:60Z",
];

const refuses = (of: AnyColumnType, value: unknown): void =>
  expect(encoded(of, value)).toMatch(/^SLUICE_ERR_ITEM_INVALID: t: column "v" \(/);
const uint32 = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString("hex");
};
const int64 = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes.toString("hex");
};

describe("Date and Date32", () => {
  it("count days from 1970-01-01, in 2 and in 4 bytes", () => {
    expect(encoded(Day, "1970-01-01")).toBe("0000");
    expect(encoded(Day, "1970-01-02")).toBe("0100");
    expect(encoded(Day, "2024-02-29")).toBe("464d"); // 19,782
    expect(encoded(Day, "2000-02-29")).toBe("082b"); // 11,016
    expect(encoded(Day, "2149-06-06")).toBe("ffff");
    expect(encoded(Date32, "1970-01-01")).toBe("00000000");
    expect(encoded(Date32, "1969-12-31")).toBe("ffffffff");
    expect(encoded(Date32, "1900-01-01")).toBe("219cffff"); // -25,567
    expect(encoded(Date32, "2299-12-31")).toBe("d1d60100"); // 120,529
  });

  it("take the day of a Date in UTC", () => {
    for (const ms of [0, 1, 86_399_999]) expect(encoded(Day, new Date(ms))).toBe("0000");
    expect(encoded(Day, new Date(86_400_000))).toBe("0100");
    expect(encoded(Date32, new Date(-1))).toBe("ffffffff");
    expect(encoded(Date32, new Date(-86_400_000))).toBe("ffffffff");
    expect(encoded(Date32, new Date(-86_400_001))).toBe("feffffff");
  });

  it("refuse days out of range", () => {
    const takes = (type: string, first: string, last: string): string =>
      `${type} takes a day from ${first} to ${last}: "YYYY-MM-DD", or a Date, whose day in UTC counts`;
    const short = takes("Date", "1970-01-01", "2149-06-06");
    expect(encoded(Day, "1969-12-31")).toBe(refused(Day, short, '"1969-12-31"'));
    expect(encoded(Day, "2149-06-07")).toBe(refused(Day, short, '"2149-06-07"'));
    expect(encoded(Day, new Date(-1))).toBe(refused(Day, short, "Date(-1)"));
    expect(encoded(Day, new Date(65_536 * 86_400_000))).toMatch(/received Date\(5662310400000\)/);
    const long = takes("Date32", "1900-01-01", "2299-12-31");
    expect(encoded(Date32, "1899-12-31")).toBe(refused(Date32, long, '"1899-12-31"'));
    expect(encoded(Date32, "2300-01-01")).toBe(refused(Date32, long, '"2300-01-01"'));
    for (const text of ["0000-01-01", "0099-12-31", "9999-12-31"]) refuses(Date32, text);
  });

  it("refuse what is no day", () => {
    for (const of of [Day, Date32]) {
      for (const value of NO_TIMES) refuses(of, value);
      for (const value of [0, 19_782, 5n, "2024-01-01T00:00:00", "2024-01-01 00:00"]) {
        refuses(of, value);
      }
    }
    const invalid = new Date(Number.NaN);
    expect(encoded(Day, invalid)).toMatch(/; received Date\(NaN\)$/);
  });

  it("are decoded as text", () => {
    expect(decoded(Day, new Date(5))).toBe("1970-01-01");
    expect(decoded(Date32, "1900-01-01")).toBe("1900-01-01");
  });
});

describe("DateTime", () => {
  it("counts seconds from 1970 in 4 bytes", () => {
    for (const zero of [0, -0, new Date(0), new Date(999), "1970-01-01", "1970-01-01T00:00"]) {
      expect(encoded(DateTime, zero)).toBe("00000000");
    }
    expect(encoded(DateTime, 1_700_000_000)).toBe("00f15365");
    expect(encoded(DateTime, new Date(1_700_000_000_999))).toBe("00f15365");
    const most = 4_294_967_295;
    for (const end of [most, new Date(most * 1_000), "2106-02-07T06:28:15.999999999Z"]) {
      expect(encoded(DateTime, end)).toBe("ffffffff");
    }
  });

  it("reads ISO 8601 with zones, and without as UTC", () => {
    const same = [
      "2023-11-14T22:13:20Z",
      "2023-11-14 22:13:20",
      "2023-11-14T22:13:20.987654321",
      "2023-11-14T23:13:20+01:00",
      "2023-11-14T23:13:20+0100",
      "2023-11-15T12:13:20+14:00",
      "2023-11-14 08:13:20-14:00",
      "2023-11-14T17:43:20.5-04:30",
      "2023-11-15T03:58:20+05:45",
      "2023-11-14T22:13:20-00:00",
    ];
    for (const text of same) expect(encoded(DateTime, text)).toBe("00f15365");
    expect(encoded(DateTime, "2024-02-29T23:59:59Z")).toBe(uint32(1_709_251_199));
    expect(encoded(DateTime, "1970-01-01T00:30+00:30")).toBe("00000000");
  });

  it("refuses what is out of range, and fractions of seconds in numbers", () => {
    const takes =
      "DateTime takes an instant from 1970-01-01 to 2106-02-07 06:28:15 UTC: " +
      "a Date, whole Unix seconds, or ISO 8601 text";
    expect(encoded(DateTime, -1)).toBe(refused(DateTime, takes, "-1"));
    expect(encoded(DateTime, 2 ** 32)).toBe(refused(DateTime, takes, "4294967296"));
    expect(encoded(DateTime, 0.5)).toBe(refused(DateTime, takes, "0.5"));
    expect(encoded(DateTime, new Date(-1))).toBe(refused(DateTime, takes, "Date(-1)"));
    for (const value of [new Date(2 ** 32 * 1_000), Date.UTC(2024, 0, 1), 5n, -0.5]) {
      refuses(DateTime, value);
    }
    for (const text of ["1969-12-31T23:59:59Z", "1970-01-01T00:00+00:01", "2106-02-07T06:28:16Z"]) {
      refuses(DateTime, text);
    }
    for (const value of NO_TIMES) refuses(DateTime, value);
  });

  it("is decoded as a Date", () => {
    expect(decoded(DateTime, "2023-11-14T22:13:20.9Z")).toEqual(new Date(1_700_000_000_000));
  });
});

describe("DateTime64", () => {
  const FIRST = -2_208_988_800n; // 1900-01-01
  const END = 10_413_792_000n; // 2300-01-01
  const PRECISIONS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

  it.each(PRECISIONS)("(%d) counts ticks, digits beyond them cut off", (precision) => {
    const of = DateTime64(precision);
    const perSecond = 10n ** BigInt(precision);
    const cut = (digits: string): bigint => BigInt(digits.slice(0, 10 + precision));
    expect(encoded(of, "2023-11-14T22:13:20.123456789Z")).toBe(int64(cut("1700000000123456789")));
    expect(encoded(of, "2023-11-14T23:13:20.999999999+01:00")).toBe(
      int64(cut("1700000000999999999")),
    );
    expect(encoded(of, "2023-11-14")).toBe(int64(1_699_920_000n * perSecond));
    expect(encoded(of, new Date(1_700_000_000_987))).toBe(int64(cut("1700000000987000000")));
    expect(encoded(of, 1_700_000_000)).toBe(int64(1_700_000_000n * perSecond));
    expect(encoded(of, 1_700_000_000.25)).toBe(int64(cut("1700000000250000000")));
    expect(encoded(of, 0.000001)).toBe(int64(precision < 6 ? 0n : 10n ** BigInt(precision - 6)));
    for (const ticks of [0n, 1n, -1n, 123_456_789n]) expect(encoded(of, ticks)).toBe(int64(ticks));
    // Before 1970 it is cut off downwards too, as a Date's time of day is.
    const before = -(10n ** BigInt(Math.max(0, precision - 3)));
    expect(encoded(of, new Date(-1))).toBe(int64(before));
    expect(encoded(of, -1)).toBe(int64(-perSecond));
    expect(encoded(of, "1969-12-31T23:59:59.5Z")).toBe(
      int64(precision === 0 ? -1n : -5n * 10n ** BigInt(precision - 1)),
    );
  });

  it.each(PRECISIONS)("(%d) goes from end to end and no further", (precision) => {
    const of = DateTime64(precision);
    const perSecond = 10n ** BigInt(precision);
    const first = FIRST * perSecond;
    const last = precision === 9 ? 2n ** 63n - 1n : END * perSecond - 1n;
    for (const value of [first, "1900-01-01", "1900-01-01T01:00:00+01:00", Number(FIRST)]) {
      expect(encoded(of, value)).toBe(int64(first));
    }
    const end =
      precision === 9 ? "2262-04-11T23:47:16.854775807Z" : "2299-12-31T23:59:59.999999999";
    for (const value of [last, end]) expect(encoded(of, value)).toBe(int64(last));
    const takes =
      `DateTime64(${precision}) takes an instant from 1900-01-01 to ` +
      `${precision === 9 ? "2262-04-11" : "2299-12-31"}: a Date, Unix seconds, ISO 8601 text, or ticks as a bigint`;
    expect(encoded(of, first - 1n)).toBe(refused(of, takes, `${first - 1n}n`));
    expect(encoded(of, last + 1n)).toBe(refused(of, takes, `${last + 1n}n`));
    const late = precision === 9 ? "2262-04-11T23:47:16.854775808Z" : "2300-01-01";
    for (const text of ["1899-12-31T23:59:59.999999999Z", late, "9999-12-31", "0001-01-01"]) {
      refuses(of, text);
    }
    for (const value of [Number(END), 1e300, -1e300, Number(FIRST) - 1]) refuses(of, value);
    for (const at of [Number(FIRST) * 1_000 - 1, Number(END) * 1_000, 8.64e15, -8.64e15]) {
      refuses(of, new Date(at));
    }
    for (const value of NO_TIMES) refuses(of, value);
  });

  it("is decoded as a Date up to milliseconds, as ticks beyond, and so again", () => {
    const at = new Date(1_700_000_000_123);
    expect(decoded(DateTime64(3), at)).toEqual(at);
    expect(decoded(DateTime64(2), at)).toEqual(new Date(1_700_000_000_120));
    expect(decoded(DateTime64(1), at)).toEqual(new Date(1_700_000_000_100));
    expect(decoded(DateTime64(0), at)).toEqual(new Date(1_700_000_000_000));
    expect(decoded(DateTime64(4), at)).toBe(17_000_000_001_230n);
    expect(decoded(DateTime64(9), at)).toBe(1_700_000_000_123_000_000n);
  });

  it("names its zone, which changes no value", () => {
    const of = DateTime64(3, "Europe/Zurich");
    expect(of.type).toBe("DateTime64(3, 'Europe/Zurich')");
    expect(encoded(of, "2023-11-14T22:13:20Z")).toBe(int64(1_700_000_000_000n));
    for (const zone of ["UTC", "Etc/GMT+5", "America/Port-au-Prince"]) {
      expect(DateTime64(0, zone).type).toBe(`DateTime64(0, '${zone}')`);
    }
  });
});

describe("a false Date", () => {
  it("is refused in columns within columns too", () => {
    for (const value of FALSE_DATES) {
      expect(encoded(ArrayOf(DateTime), [0, value])).toMatch(
        /\(Array\(DateTime\)\): DateTime takes/,
      );
      expect(encoded(Nullable(DateTime64(3)), value)).toMatch(/: DateTime64\(3\) takes/);
    }
  });
});
