/** What rows are encoded to, read by ClickHouse and written by it again: the same bytes. */
import fc from "fast-check";
import {
  type AnyColumnType,
  Array as ArrayOf,
  Bool,
  type Columns,
  Date as Day,
  Date32,
  DateTime,
  DateTime64,
  Decimal,
  Enum8,
  Enum16,
  FixedString,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  Int128,
  Int256,
  IPv4,
  IPv6,
  JSON as Json,
  LowCardinality,
  Map as MapOf,
  Nested,
  Nullable,
  type RowBatch,
  rows,
  String as Text,
  Tuple,
  UInt8,
  UInt16,
  UInt32,
  UInt64,
  UInt128,
  UInt256,
  UUID,
} from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import { hexOf } from "../rows/encoded.ts";
import { tables } from "../rows/random-rows.ts";
import { openChdb } from "./chdb.ts";

const { session, query } = openChdb();

const nameOf = (name: string): string => `\`${name.replace(/[\\`]/g, "\\$&")}\``;

/** Folds the rows, and lands the batch in a new table `t`. */
async function land(columns: Columns, items: readonly object[]): Promise<RowBatch> {
  const shape = rows(columns, { bufferBytes: 64 });
  const accumulator = shape.accumulator();
  for (const item of items) {
    accumulator.measure(item as never);
    accumulator.fold();
  }
  const { batch } = accumulator.seal(items.length);
  const defined = batch.columns.map(({ name, type }) => `${nameOf(name)} ${type}`);
  await query(
    `CREATE OR REPLACE TABLE t (${defined.join(", ")}) ENGINE = Memory
    SETTINGS allow_suspicious_low_cardinality_types = 1`,
  );
  const base64 = Buffer.from(shape.encode(batch)).toString("base64");
  await query(
    `INSERT INTO t SELECT * FROM format(RowBinaryWithNamesAndTypes, base64Decode('${base64}'))
    SETTINGS input_format_binary_read_json_as_string = 1, allow_suspicious_low_cardinality_types = 1`,
  );
  return batch;
}

/** The table as the server's own RowBinary, in hexadecimal. */
const stored = async (): Promise<string> => {
  const answer = await session.queryAsync("SELECT * FROM t", { format: "RowBinary" });
  return Buffer.from(answer.bytes()).toString("hex");
};

const many = "x".repeat(200);
/** A type, a value, and how ClickHouse writes it as text: what the value means, not what its bytes are. */
const KNOWN: readonly (readonly [of: AnyColumnType, value: unknown, text: string])[] = [
  [UInt8, 255, "255"],
  [UInt16, 65_535, "65535"],
  [UInt16, 258, "258"],
  [UInt32, 4_294_967_295, "4294967295"],
  [UInt64, 2n ** 64n - 1n, "18446744073709551615"],
  [UInt64, 2 ** 53 - 1, "9007199254740991"],
  [UInt128, 2n ** 128n - 1n, String(2n ** 128n - 1n)],
  [UInt256, 2n ** 256n - 1n, String(2n ** 256n - 1n)],
  [UInt256, String(2n ** 200n), String(2n ** 200n)],
  [Int8, -128, "-128"],
  [Int16, -32_768, "-32768"],
  [Int32, -2_147_483_648, "-2147483648"],
  [Int64, -(2n ** 63n), "-9223372036854775808"],
  [Int64, -(2 ** 53 - 1), "-9007199254740991"],
  [Int128, -(2n ** 127n), String(-(2n ** 127n))],
  [Int256, -(2n ** 255n), String(-(2n ** 255n))],
  [Int256, "-1", "-1"],
  [Float32, 1.5, "1.5"],
  [Float32, 3.4028234663852886e38, "3.4028235e38"],
  [Float64, 1.7976931348623157e308, "1.7976931348623157e308"],
  [Float64, 5e-324, "5e-324"],
  [Float64, -0, "-0"],
  [Float64, Number.NaN, "nan"],
  [Float64, -Infinity, "-inf"],
  [Bool, true, "true"],
  [Bool, false, "false"],
  [Text, "häß€😀", "häß€😀"],
  [Text, "", ""],
  [Text, many, many],
  [Text, Buffer.from("bytes"), "bytes"],
  [FixedString(4), "€", "€"], // toString leaves zero bytes out
  [UUID, "61F0C404-5cb3-11e7-907b-a6006ad3dba0", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"],
  [Day, "1970-01-01", "1970-01-01"],
  [Day, new Date("2149-06-06T23:59:59.999Z"), "2149-06-06"],
  [Date32, "1900-01-01", "1900-01-01"],
  [Date32, "2299-12-31", "2299-12-31"],
  [DateTime, 0, "1970-01-01 00:00:00"],
  [DateTime, "2106-02-07T06:28:15Z", "2106-02-07 06:28:15"],
  [DateTime, "2024-02-29T01:30:00.9+02:00", "2024-02-28 23:30:00"],
  [DateTime64(0), new Date("2024-02-29T12:34:56.789Z"), "2024-02-29 12:34:56"],
  [DateTime64(3), new Date(-1), "1969-12-31 23:59:59.999"],
  [DateTime64(3), "1900-01-01", "1900-01-01 00:00:00.000"],
  [DateTime64(3), "2299-12-31T23:59:59.999Z", "2299-12-31 23:59:59.999"],
  [DateTime64(3, "Asia/Tokyo"), "2024-01-01T00:00:00Z", "2024-01-01 09:00:00.000"],
  [DateTime64(6), 1_700_000_000.25, "2023-11-14 22:13:20.250000"],
  [DateTime64(9), "2262-04-11T23:47:16.854775807Z", "2262-04-11 23:47:16.854775807"],
  [DateTime64(9), 1n, "1970-01-01 00:00:00.000000001"],
  [Decimal(9, 2), "-1234567.89", "-1234567.89"],
  [Decimal(18, 18), "0.999999999999999999", "0.999999999999999999"],
  [Decimal(38, 10), "12345678901234567890.0123456789", "12345678901234567890.0123456789"],
  [Decimal(76, 20), -7n, "-7"],
  [Decimal(76, 76), `0.${"9".repeat(76)}`, `0.${"9".repeat(76)}`],
  [Decimal(9, 1), 0.1, "0.1"],
  [Enum8({ low: -128, "it's \\ `\n": 127 }), "it's \\ `\n", "it's \\ `\n"],
  [Enum16({ a: -32_768, b: 32_767 }), "a", "a"],
  [IPv4, "192.0.2.255", "192.0.2.255"],
  [IPv6, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  [IPv6, "192.0.2.255", "::ffff:192.0.2.255"],
  [ArrayOf(ArrayOf(Nullable(Text))), [["a", null], [], ["it's"]], "[['a',NULL],[],['it\\'s']]"],
  [ArrayOf(Float32), Float32Array.of(1, 2.5), "[1,2.5]"],
  [Tuple(UInt8, Text), [7, "x"], "(7,'x')"],
  [Tuple({ b: UInt16, "a b": ArrayOf(Int8) }), { "a b": [-1], b: 258 }, "(258,[-1])"],
  [MapOf(Text, UInt64), { a: 1, b: 2n ** 64n - 1n }, "{'a':1,'b':18446744073709551615}"],
  [MapOf(UInt8, ArrayOf(Text)), new Map([[7, ["x"]]]), "{7:['x']}"],
  [LowCardinality(Text), "low", "low"],
  [LowCardinality(Nullable(Text)), "low", "low"],
  [Nullable(Int32), -5, "-5"],
  [Json, { a: 1, b: { c: ["x", "y"] }, d: -1.5 }, '{"a":1,"b":{"c":["x","y"]},"d":-1.5}'],
];

describe("what ClickHouse returns", () => {
  it("is what went in, byte for byte, for any columns and rows", async () => {
    // JSON is left out: the server keeps its meaning, not its text.
    const property = fc.asyncProperty(
      tables({ depth: 3, maxRows: 4, withJson: false }),
      async ({ columns, rows: items }) => {
        const batch = await land(columns, items);
        expect(await stored()).toBe(hexOf(batch));
      },
    );
    await fc.assert(property, { numRuns: 200, seed: 1 });
  });

  it("means what went in: every type as text, at its ends", async () => {
    const name = (index: number): string => `c${String(index).padStart(2, "0")}`;
    const pairs = <Value>(of: (row: (typeof KNOWN)[number]) => Value): Record<string, Value> =>
      Object.fromEntries(KNOWN.map((row, index) => [name(index), of(row)]));
    await land(
      pairs(([of]) => of),
      [pairs(([, value]) => value)],
    );
    const texts = KNOWN.map((_, index) => `toString(${name(index)}) AS ${name(index)}`);
    const found = await query(
      `SELECT ${texts.join(", ")} FROM t SETTINGS session_timezone = 'UTC'`,
    );
    expect(found).toEqual([pairs(([, , text]) => text)]);
  });

  it("is NULL for what is missing, and an array for each field of a Nested", async () => {
    const columns = {
      id: UInt8,
      a: Nullable(Text),
      b: LowCardinality(Nullable(Text)),
      n: Nested({ p: UInt8, "q r": Nullable(Text) }),
      j: Json,
    };
    const n = [{ p: 1, "q r": "x" }, { p: 2 }];
    await land(columns, [
      { id: 1, n, j: { s: "é", deep: { list: [1, 2] }, none: null } },
      { id: 2, a: "", b: "", n: [], j: {} },
    ]);
    expect(await query("SELECT * FROM t ORDER BY id")).toEqual([
      {
        id: 1,
        a: null,
        b: null,
        "n.p": [1, 2],
        "n.q r": ["x", null],
        // A JSON column tells null and absent apart no more.
        j: { s: "é", deep: { list: [1, 2] } },
      },
      { id: 2, a: "", b: "", "n.p": [], "n.q r": [], j: {} },
    ]);
  });
});
