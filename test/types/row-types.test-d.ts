/** The types of rows, as a caller of `rows` meets them. `npm run check -- types` compiles this file. */
import { createBatcher } from "sluice";
import {
  Array as ArrayOf,
  type Bool,
  type Date as Day,
  DateTime,
  DateTime64,
  Decimal,
  type DecodedRow,
  Enum8,
  type In,
  JSON as Json,
  LowCardinality,
  Map as MapOf,
  Nested,
  Nullable,
  type Out,
  type RowOf,
  rows,
  String as Text,
  Tuple,
  UInt8,
  UInt64,
  UUID,
} from "sluice/clickhouse";

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

holds<Equal<string, string>>();
// @ts-expect-error: the comparison itself is worth something only if it can fail.
holds<Equal<string, string | undefined>>();

const columns = {
  id: UInt64,
  kind: Enum8({ get: 1, put: 2 }),
  name: Text,
  note: LowCardinality(Nullable(Text)),
  at: DateTime64(3),
};
const row: RowOf<typeof columns> = { id: 1n, kind: "get", name: "a", at: new Date(0) };

export function valuesOfEachType(): void {
  holds<Equal<In<typeof UInt8>, number>>();
  holds<Equal<In<typeof UInt64>, bigint | number | string>>();
  holds<Equal<Out<typeof UInt64>, bigint>>();
  holds<Equal<In<typeof Text>, string | Uint8Array>>();
  holds<Equal<In<typeof Day>, Date | string>>();
  holds<Equal<Out<typeof Day>, string>>();
  holds<Equal<In<typeof DateTime>, Date | number | string>>();
  holds<Equal<Out<typeof DateTime>, Date>>();
  holds<Equal<In<typeof Bool>, boolean>>();
  holds<Equal<In<typeof Json>, unknown>>();
  const [millis, micros] = [DateTime64(3), DateTime64(6)];
  holds<Equal<Out<typeof millis>, Date>>();
  holds<Equal<Out<typeof micros>, bigint>>();
  const money = Decimal(18, 2);
  holds<Equal<In<typeof money>, string | number | bigint>>();
  holds<Equal<Out<typeof money>, string>>();
  const kind = Enum8({ get: 1, put: 2 });
  holds<Equal<In<typeof kind>, "get" | "put">>();
  holds<Equal<Out<typeof kind>, "get" | "put">>();
  const perhaps = Nullable(UUID);
  holds<Equal<In<typeof perhaps>, string | null | undefined>>();
  holds<Equal<Out<typeof perhaps>, string | null>>();
  const low = LowCardinality(Nullable(Text));
  holds<Equal<In<typeof low>, string | Uint8Array | null | undefined>>();
  const map = MapOf(Text, UInt8);
  holds<Equal<Out<typeof map>, Map<string | Uint8Array, number>>>();
  const pair = Tuple(UInt8, Text);
  holds<Equal<Out<typeof pair>, [number, string | Uint8Array]>>();
  const point = Tuple({ x: UInt8, label: Nullable(Text) });
  holds<Equal<Out<typeof point>, { x: number; label: string | Uint8Array | null }>>();
  const steps = Nested({ at: DateTime, code: UInt8 });
  holds<Equal<Out<typeof steps>, { at: Date; code: number }[]>>();
}

export function rowsTakeTheirColumns(): void {
  const batcher = createBatcher({
    shape: rows(columns),
    sink: (batch) => void [batch.rows satisfies number, batch.columns[0]?.type satisfies unknown],
    deadLetter: ({ entry }) => {
      holds<Equal<typeof entry.id, bigint>>();
      holds<Equal<typeof entry.kind, "get" | "put">>();
      holds<Equal<typeof entry.note, string | Uint8Array | null>>();
      holds<Equal<typeof entry.at, Date>>();
      batcher.tryAdd(entry);
    },
  });
  batcher.tryAdd(row);
  for (const id of [1n, 1, "1"]) batcher.tryAdd({ ...row, id });
  for (const at of [new Date(0), 0, "2024-01-01", 1n]) batcher.tryAdd({ ...row, at });
  batcher.tryAdd({ ...row, note: null });
  batcher.tryAdd({ ...row, note: undefined });
  batcher.tryAdd({ ...row, note: Buffer.of(1) });
  // @ts-expect-error: a boolean is no number.
  batcher.tryAdd({ ...row, id: true });
  // @ts-expect-error: it is no name of the enum.
  batcher.tryAdd({ ...row, kind: "delete" });
  // @ts-expect-error: the number of an enum is not its name.
  batcher.tryAdd({ ...row, kind: 1 });
  // @ts-expect-error: only Nullable takes null.
  batcher.tryAdd({ ...row, name: null });
  // @ts-expect-error: only Nullable may be left out.
  batcher.tryAdd({ id: 1n, kind: "get", at: new Date(0) });
  // @ts-expect-error: there is no such column.
  batcher.tryAdd({ id: 1n, kind: "get", name: "a", at: new Date(0), nmae: "a" });
}

export function typesWithinTypes(): void {
  const shape = rows({
    tags: ArrayOf(LowCardinality(Text)),
    samples: ArrayOf(UInt8),
    totals: ArrayOf(UInt64),
    counts: MapOf(Text, UInt8),
    byId: MapOf(UInt8, Text),
    byWide: MapOf(UInt64, UInt8),
    byKind: MapOf(Enum8({ get: 1, put: 2 }), UInt8),
    pair: Tuple(UInt8, Nullable(Text)),
    point: Tuple({ x: UInt8, label: Nullable(Text) }),
    steps: Nested({ at: DateTime, note: Nullable(Text) }),
  });
  const { measure } = shape.accumulator();
  type Row = Parameters<typeof measure>[0];
  const good: Row = {
    tags: ["a"],
    samples: Uint8Array.of(1),
    totals: BigUint64Array.of(1n),
    counts: { a: 1 },
    byId: new Map([[1, "a"]]),
    byWide: { 7: 1 },
    byKind: { get: 1 },
    pair: [1, null],
    point: { x: 1 },
    steps: [{ at: new Date(0) }, { at: 5, note: "n" }],
  };
  measure(good);
  measure({ ...good, tags: ["a"] as const, samples: [1, 2], totals: [1, 2n, "3"] });
  measure({ ...good, counts: new Map([["a", 1]]), pair: [1, "x"] });
  // @ts-expect-error: text has no place among numbers.
  measure({ ...good, samples: ["1"] });
  // @ts-expect-error: one value is no array.
  measure({ ...good, tags: "a" });
  // @ts-expect-error: the values are numbers.
  measure({ ...good, counts: { a: "1" } });
  // @ts-expect-error: the keys are numbers.
  measure({ ...good, byId: new Map([["a", "a"]]) });
  // @ts-expect-error: an object's keys are text.
  measure({ ...good, byId: { 1: "a" } });
  // @ts-expect-error: it is no name of the enum.
  measure({ ...good, byKind: { delete: 1 } });
  // @ts-expect-error: a pair has two.
  measure({ ...good, pair: [1] });
  // @ts-expect-error: the names are those of the Tuple.
  measure({ ...good, point: { y: 1 } });
  // @ts-expect-error: each row of a Nested has its columns.
  measure({ ...good, steps: [{ note: "n" }] });
}

/** What a dead letter shows may be added again, whatever the columns. */
export function decodedRowsAreRows(decoded: DecodedRow<typeof columns>): void {
  row satisfies RowOf<typeof columns>;
  decoded satisfies RowOf<typeof columns>;
  const nested = {
    a: ArrayOf(Tuple({ x: UInt8, y: Nullable(MapOf(Text, ArrayOf(UInt64))) })),
    n: Nested({ at: DateTime64(9), kind: Enum8({ a: 1 }) }),
    j: Json,
    d: Decimal(9, 2),
  };
  const again = (entry: DecodedRow<typeof nested>): RowOf<typeof nested> => entry;
  void again;
}

export function columnsAreTypes(): void {
  // @ts-expect-error: DateTime64 is called with its precision.
  rows({ at: DateTime64 });
  // @ts-expect-error: the name of a type is not the type.
  rows({ id: "UInt64" });
  // @ts-expect-error: an Array is of something.
  ArrayOf();
  // @ts-expect-error: the numbers of an enum are numbers.
  Enum8({ a: "1" });
  // @ts-expect-error: there is no such option.
  rows({ id: UInt64 }, { tabel: "t" });
}
