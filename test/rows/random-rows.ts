/** Schemas by chance, with rows for them, for the tests of RowBinary. */
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
import { RowWriter } from "../../packages/sluice/src/shapes/row-binary/row-writer.ts";

/** A type, and values that it takes. */
interface Typed {
  readonly of: AnyColumnType;
  readonly value: fc.Arbitrary<unknown>;
}

/** Columns, and rows that fit them. */
export interface Table {
  readonly columns: Columns;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** How fast-check shows a table that fails. */
  readonly [fc.toStringMethod]: () => string;
}

/** Names that something may take for more than a name. */
export const HOSTILE_NAMES: readonly string[] = [
  '"];process.exit(1);//',
  '"]; throw 1; //',
  "'; DROP TABLE t; --",
  "`",
  "``) AS x",
  "${(() => { throw 1; })()}",
  "\\",
  '\\"',
  "\\`",
  "a\nb",
  "\r",
  "\t",
  "\u2028",
  "\u2029",
  "*/ throw 1 /*",
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "row",
  "v0",
  "w",
  "x",
  "1",
  " ",
  "g.h",
  "é",
  "😀",
];

const small = (of: AnyColumnType, least: number, most: number): Typed => ({
  of,
  value: fc.oneof(fc.constantFrom(least, most, 0, -0, 1), fc.integer({ min: least, max: most })),
});

const wide = (of: AnyColumnType, bits: number, signed: boolean): Typed => {
  const max = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  const min = signed ? -max - 1n : 0n;
  const whole = fc.oneof(fc.constantFrom(min, max, 0n, 1n), fc.bigInt({ min, max }));
  const safe = fc.integer({
    min: signed ? Number.MIN_SAFE_INTEGER : 0,
    max: Number.MAX_SAFE_INTEGER,
  });
  return { of, value: fc.oneof(whole, whole.map(String), safe, fc.constant(-0)) };
};

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 8 }),
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.integer({ min: 55, max: 140 }).map((length) => "x".repeat(length)),
  fc.integer({ min: 55, max: 70 }).map((length) => `${"x".repeat(length)}é`),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ maxLength: 12 }).map((held) => Buffer.from(held)),
);

const date = (min: string, max: string): fc.Arbitrary<Date> =>
  fc.date({ min: new Date(min), max: new Date(max), noInvalidDate: true });
const dayOf = (at: Date): string => at.toISOString().slice(0, 10);
const days = (of: AnyColumnType, min: string, max: string): Typed => ({
  of,
  value: fc.oneof(date(min, max), date(min, max).map(dayOf), fc.constantFrom(min, max)),
});

/** An instant as ISO 8601, as somebody else's clock would show it. */
const zoned = fc
  .tuple(date("1970-01-02", "2106-02-06"), fc.integer({ min: -14 * 60, max: 14 * 60 }), fc.nat(9))
  .map(([at, minutes, digits]) => {
    const there = new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, 19);
    const fraction = digits === 0 ? "" : `.${"123456789".slice(0, digits)}`;
    const two = (part: number): string => String(part).padStart(2, "0");
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    return `${there}${fraction}${minutes < 0 ? "-" : "+"}${two(hours)}:${two(rest)}`;
  });

const dateTime: Typed = {
  of: DateTime,
  value: fc.oneof(
    date("1970-01-01", "2106-02-07T06:28:15Z"),
    fc.integer({ min: 0, max: 4_294_967_295 }),
    zoned,
  ),
};

const dateTime64 = fc
  .tuple(fc.nat(9), fc.constantFrom(undefined, "UTC", "Europe/Zurich"))
  .map(([precision, zone]): Typed => {
    const perSecond = 10n ** BigInt(precision);
    const min = -2_208_988_800n * perSecond;
    const end = 10_413_792_000n * perSecond;
    const max = end > 2n ** 63n ? 2n ** 63n - 1n : end - 1n;
    const value = fc.oneof(
      fc.constantFrom(min, max),
      fc.bigInt({ min, max }),
      date("1900-01-01", "2262-04-11"),
      fc.double({ min: -2_208_988_800, max: 9_223_372_036, noNaN: true }),
      zoned,
    );
    return { of: DateTime64(precision, zone), value };
  });

const decimal = fc
  .integer({ min: 1, max: 76 })
  .chain((precision) => fc.tuple(fc.constant(precision), fc.nat(precision)))
  .map(([precision, scale]): Typed => {
    const max = 10n ** BigInt(precision) - 1n;
    const units = fc.oneof(fc.constantFrom(-max, max, 0n), fc.bigInt({ min: -max, max }));
    const most = 10n ** BigInt(precision - scale) - 1n;
    return {
      of: Decimal(precision, scale),
      value: fc.oneof(
        units.map((held) => `${held}e-${scale}`),
        fc.bigInt({ min: -most, max: most }),
      ),
    };
  });

const enumeration = fc
  .uniqueArray(fc.oneof(fc.constantFrom(...HOSTILE_NAMES, ""), text), {
    minLength: 1,
    maxLength: 4,
  })
  .chain((names) =>
    fc.tuple(
      fc.boolean(),
      fc.constant(names),
      fc.uniqueArray(fc.integer({ min: -128, max: 127 }), {
        minLength: names.length,
        maxLength: names.length,
      }),
    ),
  )
  .map(([short, names, numbers]): Typed => {
    const pairs = Object.fromEntries(names.map((name, index) => [name, numbers[index] ?? 0]));
    return { of: short ? Enum8(pairs) : Enum16(pairs), value: fc.constantFrom(...names) };
  });

const string: Typed = { of: Text, value: fc.oneof(text, bytes) };
const fixedString = fc.integer({ min: 1, max: 20 }).map((length): Typed => {
  const value = fc.oneof(
    fc.uint8Array({ maxLength: length }),
    fc.string({ unit: "binary-ascii", maxLength: length }),
  );
  return { of: FixedString(length), value };
});
const uuid: Typed = {
  of: UUID,
  value: fc.oneof(
    fc.uuid(),
    fc.uuid().map((id) => id.toUpperCase()),
    fc.constant("00000000-0000-0000-0000-000000000000"),
  ),
};
const ipV4: Typed = { of: IPv4, value: fc.ipV4() };
const ipV6: Typed = { of: IPv6, value: fc.oneof(fc.ipV6(), fc.ipV4()) };
const double = fc.double();
const float: fc.Arbitrary<Typed> = fc.constantFrom(
  { of: Float64, value: double },
  { of: Float32, value: fc.float() },
);
const day = days(Day, "1970-01-01", "2149-06-06");
const whole: fc.Arbitrary<Typed> = fc.constantFrom(
  small(UInt8, 0, 255),
  small(UInt16, 0, 65_535),
  small(UInt32, 0, 4_294_967_295),
  small(Int8, -128, 127),
  small(Int16, -32_768, 32_767),
  small(Int32, -2_147_483_648, 2_147_483_647),
  wide(UInt64, 64, false),
  wide(UInt128, 128, false),
  wide(UInt256, 256, false),
  wide(Int64, 64, true),
  wide(Int128, 128, true),
  wide(Int256, 256, true),
);

/** What a Map's key can be: nothing with NULL or NaN. */
const key: fc.Arbitrary<Typed> = fc.oneof(
  whole,
  fixedString,
  enumeration,
  fc.constantFrom(string, uuid, ipV4, ipV6, day, dateTime, {
    of: LowCardinality(Text),
    value: string.value,
  }),
);
const scalar: fc.Arbitrary<Typed> = fc.oneof(
  whole,
  float,
  fixedString,
  enumeration,
  decimal,
  dateTime64,
  fc.constantFrom(
    { of: Bool, value: fc.boolean() },
    string,
    string,
    uuid,
    ipV4,
    ipV6,
    day,
    days(Date32, "1900-01-01", "2299-12-31"),
    dateTime,
  ),
);
const nullable = ({ of, value }: Typed): Typed => ({
  of: Nullable(of),
  value: fc.option(value, { nil: null }),
});
const low: fc.Arbitrary<Typed> = fc
  .tuple(fc.oneof(whole, fixedString, fc.constantFrom(string, day, dateTime)), fc.boolean())
  .map(([held, isNullable]) => {
    const { of, value } = isNullable ? nullable(held) : held;
    return { of: LowCardinality(of), value };
  });
const json: Typed = {
  of: Json,
  value: fc.dictionary(fc.constantFrom("a", "b", "c"), fc.jsonValue({ maxDepth: 1 })),
};

const names = (maxLength: number): fc.Arbitrary<string[]> =>
  fc.uniqueArray(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom("a", "b", "c", "d", "e_1", "F") },
      { weight: 1, arbitrary: fc.constantFrom(...HOSTILE_NAMES) },
    ),
    { minLength: 1, maxLength },
  );

/** An object with these fields; of those that take NULL some are missing. */
function fieldsOf(fields: readonly (readonly [string, Typed])[]): fc.Arbitrary<object> {
  const values = fields.map(([, { of, value }]) =>
    of.nullable ? fc.option(value, { nil: undefined }) : value,
  );
  return fc.tuple(fc.tuple(...values), fc.boolean()).map(([held, backwards]) => {
    const pairs = fields.flatMap(([name], index): [string, unknown][] =>
      held[index] === undefined ? [] : [[name, held[index]]],
    );
    return Object.fromEntries(backwards ? pairs.reverse() : pairs);
  });
}

const namedTypes = (
  depth: number,
  withJson: boolean,
): fc.Arbitrary<readonly (readonly [string, Typed])[]> =>
  names(3).chain((all) =>
    fc.tuple(
      ...all.map((name) =>
        typed(depth, withJson).map((of): readonly [string, Typed] => [name, of]),
      ),
    ),
  );
const typesOf = (fields: readonly (readonly [string, Typed])[]): Columns =>
  Object.fromEntries(fields.map(([name, { of }]) => [name, of]));

/** A type that a server takes, as deep as `depth`. */
function typed(depth: number, withJson: boolean): fc.Arbitrary<Typed> {
  const plain = fc.oneof(
    { weight: 4, arbitrary: scalar },
    { weight: 2, arbitrary: scalar.map(nullable) },
    { weight: 1, arbitrary: low },
    { weight: withJson ? 1 : 0, arbitrary: fc.constantFrom(json, nullable(json)) },
  );
  if (depth === 0) return plain;
  const array = typed(depth - 1, withJson).map(
    ({ of, value }): Typed => ({ of: ArrayOf(of), value: fc.array(value, { maxLength: 3 }) }),
  );
  const map = fc.tuple(key, typed(depth - 1, withJson)).map(([{ of, value }, held]): Typed => {
    // Values that are one key, 1 and "1", would be two pairs, of which a decoded Map keeps one.
    const pairs = fc.uniqueArray(fc.tuple(value, held.value), {
      maxLength: 3,
      selector: ([name]) => {
        const writer = new RowWriter(64);
        of.write(name as never, writer);
        return writer.bytes.toString("hex", 0, writer.at);
      },
    });
    return { of: MapOf(of, held.of), value: pairs.map((all) => new Map(all)) };
  });
  const tuple = fc
    .array(typed(depth - 1, withJson), { minLength: 1, maxLength: 3 })
    .map((all): Typed => {
      const value = fc.tuple(...all.map((each) => each.value));
      return { of: Tuple(...all.map(({ of }) => of)), value };
    });
  const named = namedTypes(depth - 1, withJson).map(
    (fields): Typed => ({ of: Tuple(typesOf(fields)), value: fieldsOf(fields) }),
  );
  const nested = namedTypes(depth - 1, withJson).map(
    (fields): Typed => ({
      of: Nested(typesOf(fields)),
      value: fc.array(fieldsOf(fields), { maxLength: 3 }),
    }),
  );
  return fc.oneof({ weight: 3, arbitrary: plain }, array, map, tuple, named, nested);
}

/** Tables of up to six columns, each as deep as `depth`. */
export function tables(options: {
  readonly depth: number;
  readonly maxRows: number;
  readonly withJson: boolean;
}): fc.Arbitrary<Table> {
  const { depth, maxRows, withJson } = options;
  return names(6)
    .chain((all) =>
      fc.tuple(
        ...all.map((name) =>
          typed(depth, withJson).map((of): readonly [string, Typed] => [name, of]),
        ),
      ),
    )
    .chain((fields) =>
      fc.array(fieldsOf(fields), { minLength: 1, maxLength: maxRows }).map((held): Table => {
        const columns = typesOf(fields);
        const types = Object.entries(columns).map(([name, { type }]) => [name, type]);
        return {
          columns,
          rows: held as Table["rows"],
          [fc.toStringMethod]: () => `${JSON.stringify(types)} ${fc.stringify(held)}`,
        };
      }),
    );
}
