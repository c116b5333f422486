/**
 * Types made of other types.
 */
import { quote } from "../../errors.ts";
import { invalidOption } from "../../core/validate.ts";
import { fieldOf } from "../field.ts";
import { type AnyColumnType, type ColumnType, quotedName, Refusal } from "./column-type.ts";
import type { RowReader } from "./row-reader.ts";
import type { RowWriter } from "./row-writer.ts";

/** What a column of this type takes. */
export type In<Type> = Type extends ColumnType<infer Value, unknown> ? Value : never;
/** What a column of this type is decoded to. */
export type Out<Type> = Type extends ColumnType<never, infer Value> ? Value : never;

/** The write of a type whose values come from outside, unchecked. */
type Write = (value: unknown, to: RowWriter) => void;
const writeOf = (of: AnyColumnType): Write => of.write as Write;

/** Those of JavaScript that have the name of a type. */
const BUILT_IN: readonly unknown[] = [
  globalThis.Array,
  globalThis.Date,
  globalThis.JSON,
  globalThis.Map,
  globalThis.String,
];

/** Refuses what is not a type of column. */
export function checkType(where: string, of: unknown): void {
  const { type, write, read } = (of ?? {}) as Partial<AnyColumnType>;
  const isType =
    typeof type === "string" && typeof write === "function" && typeof read === "function";
  if (!isType) {
    const isOwn = BUILT_IN.includes(of);
    const example = isOwn
      ? 'and not JavaScript\'s own: import it from "sluice/clickhouse"'
      : typeof of === "function"
        ? "what the function returns, as in DateTime64(3)"
        : "such as UInt64 or Array(String)";
    throw invalidOption(where, `a column type, ${example}`, of);
  }
}

/** A name as ClickHouse writes it: plain identifiers stand alone, apart from a few keywords. */
const nameOf = (name: string): string =>
  /^(?!(?:all|distinct|from|select|table)$)[a-z_]\w*$/i.test(name) ? name : quotedName("`", name);

/** A value of the type, or null; `undefined` counts as null, so the field may be left out. */
export function Nullable<I, O>(of: ColumnType<I, O>): ColumnType<I | null | undefined, O | null> {
  checkType("Nullable: the type", of);
  const write = writeOf(of);
  return {
    type: `Nullable(${of.type})`,
    nullable: true,
    fixedBytes: 1 + (of.fixedBytes ?? 0),
    write: (value, to) => {
      to.reserve(1);
      const isNull = value === null || value === undefined;
      to.bytes[to.at++] = isNull ? 1 : 0;
      if (!isNull) write(value, to);
    },
    read: (from) => (from.view.getUint8(from.skip(1)) === 0 ? of.read(from) : null),
    inline: (v, code) =>
      `if (${v} === null || ${v} === undefined) b[p++] = 1; else { b[p++] = 0; ${code.put(of, v)} }`,
  };
}

/** The type itself: rows say nothing of dictionaries. */
export function LowCardinality<I, O>(of: ColumnType<I, O>): ColumnType<I, O> {
  checkType("LowCardinality: the type", of);
  return { ...of, type: `LowCardinality(${of.type})` };
}

const isTyped = (value: unknown): value is ArrayLike<unknown> =>
  ArrayBuffer.isView(value) && !(value instanceof DataView);

/** A typed array, of numbers or bigints. */
type Numbers<I> = ArrayLike<I & (number | bigint)>;

function ArrayType<I, O>(of: ColumnType<I, O>): ColumnType<readonly I[] | Numbers<I>, O[]> {
  checkType("Array: the type", of);
  const type = `Array(${of.type})`;
  const write = writeOf(of);
  const self: ColumnType<readonly I[] | Numbers<I>, O[]> = {
    type,
    nullable: false,
    fixedBytes: of.fixedBytes ?? 0,
    write: (value: unknown, to) => {
      if (!Array.isArray(value) && !isTyped(value)) throw new Refusal(type, "an array", value);
      const elements: ArrayLike<unknown> = value;
      const { length } = elements; // once: a getter of an element may change it
      to.varint(length);
      for (let index = 0; index < length; index += 1) write(elements[index], to);
    },
    read: (from) => readMany(from, () => of.read(from)),
    inline: (v, code) => {
      const [n, i, e] = [code.variable(), code.variable(), code.variable()];
      // What reserves by itself needs no reservation before it.
      const room = (of.fixedBytes ?? 0) === 0 ? "" : code.reserve("0");
      return `if (Array.isArray(${v})) {
  const ${n} = ${v}.length;
  ${code.reserve("1")}
  if (${n} < 128) b[p++] = ${n}; else { w.at = p; w.varint(${n}); p = w.at; b = w.bytes; d = w.view; }
  for (let ${i} = 0; ${i} < ${n}; ${i}++) { const ${e} = ${v}[${i}]; ${room} ${code.put(of, e)} }
} else { ${code.call(self, v)} }`;
    },
  };
  return self;
}
/** Values of one type, as an array or, of numbers, a typed array. */
export { ArrayType as Array };

function readMany<Value>(from: RowReader, read: () => Value): Value[] {
  const values: Value[] = [];
  for (let left = from.varint(); left > 0; left -= 1) values.push(read());
  return values;
}

/** Whether the value's fields are what there is to it: a Set, a Date or an array has none or others. */
const isRecord = (value: unknown): value is object =>
  Object.prototype.toString.call(value) === "[object Object]";

/** An object in place of a Map: only where keys can be text. */
type Pairs<Key, Value> = [Key & string] extends [never]
  ? never
  : string extends Key
    ? Readonly<Record<string, Value>>
    : { readonly [Name in Key & string]?: Value };

/** Pairs of a Map, or the fields of an object. Decoded as a Map, which keeps the last of equal keys. */
function MapType<KI, KO, VI, VO>(
  key: ColumnType<KI, KO>,
  value: ColumnType<VI, VO>,
): ColumnType<ReadonlyMap<KI, VI> | Pairs<KI, VI>, Map<KO, VO>> {
  checkType("Map: the key", key);
  checkType("Map: the value", value);
  const type = `Map(${key.type}, ${value.type})`;
  const [writeKey, writeValue] = [writeOf(key), writeOf(value)];
  return {
    type,
    nullable: false,
    write: (pairs: unknown, to) => {
      if (!(pairs instanceof Map) && !isRecord(pairs)) {
        throw new Refusal(type, "a Map or an object", pairs);
      }
      const entries = pairs instanceof Map ? [...pairs] : Object.entries(pairs);
      to.varint(entries.length);
      for (const [name, held] of entries) {
        writeKey(name, to);
        writeValue(held, to);
      }
    },
    read: (from) => new Map(readMany(from, () => [key.read(from), value.read(from)] as const)),
  };
}
export { MapType as Map };

/** Named types: the elements of a Tuple or the subcolumns of a Nested. */
export type Fields = Readonly<Record<string, AnyColumnType>>;
/** What is taken for named types: those that take NULL may be left out. */
export type FieldsIn<F extends Fields> = {
  readonly [Name in keyof F as undefined extends In<F[Name]> ? never : Name]: In<F[Name]>;
} & {
  readonly [Name in keyof F as undefined extends In<F[Name]> ? Name : never]?: In<F[Name]>;
};
/** What named types are decoded to. */
export type FieldsOut<F extends Fields> = { [Name in keyof F]: Out<F[Name]> };

function checkFields(kind: string, fields: Fields): (readonly [name: string, of: AnyColumnType])[] {
  const entries = isRecord(fields) ? Object.entries(fields) : [];
  if (entries.length === 0) throw invalidOption(kind, "an object of at least one type", fields);
  for (const [name, of] of entries) {
    if (name === "" || !name.isWellFormed() || name.includes("\0")) {
      throw invalidOption(`${kind}: a name`, "text without NUL or lone surrogates", name);
    }
    checkType(`${kind}: ${quote(name)}`, of);
  }
  return entries;
}

function checkFieldNames(
  type: string,
  fields: readonly (readonly [name: string, of: AnyColumnType])[],
  value: unknown,
): asserts value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Refusal(type, "an object", value);
  }
  for (const name in value) {
    if (fields.some(([known]) => known === name)) continue;
    throw new Refusal(type, `no field ${quote(name)}`, value);
  }
}

const readFields = (
  fields: readonly (readonly [name: string, of: AnyColumnType])[],
  from: RowReader,
): Record<string, unknown> => Object.fromEntries(fields.map(([name, of]) => [name, of.read(from)]));

/** Values of several types: `Tuple(A, B)` takes an array, `Tuple({ a: A, b: B })` an object. */
export function Tuple<F extends Fields>(fields: F): ColumnType<FieldsIn<F>, FieldsOut<F>>;
export function Tuple<const T extends readonly AnyColumnType[]>(
  ...types: T
): ColumnType<
  { readonly [Index in keyof T]: In<T[Index]> },
  { -readonly [Index in keyof T]: Out<T[Index]> }
>;
export function Tuple(...types: readonly (AnyColumnType | Fields)[]): AnyColumnType {
  const [first] = types;
  if (types.length === 1 && isRecord(first) && typeof first.write !== "function") {
    return namedTuple(checkFields("Tuple", first as Fields));
  }
  if (types.length === 0) throw invalidOption("Tuple", "at least one type", types);
  for (const [index, of] of types.entries()) checkType(`Tuple: type ${index}`, of);
  const elements = types as readonly AnyColumnType[];
  const type = `Tuple(${elements.map((of) => of.type).join(", ")})`;
  return {
    type,
    nullable: false,
    write: (value: unknown, to) => {
      if (!Array.isArray(value) || value.length !== elements.length) {
        throw new Refusal(type, `an array of ${elements.length}`, value);
      }
      for (const [index, of] of elements.entries()) writeOf(of)(value[index], to);
    },
    read: (from) => elements.map((of) => of.read(from)),
  };
}

function namedTuple(
  fields: readonly (readonly [name: string, of: AnyColumnType])[],
  kind: string = "Tuple",
): AnyColumnType {
  const type = `${kind}(${fields.map(([name, of]) => `${nameOf(name)} ${of.type}`).join(", ")})`;
  return {
    type,
    nullable: false,
    write: (value: unknown, to) => {
      checkFieldNames(type, fields, value);
      for (const [name, of] of fields) writeOf(of)(fieldOf(value, name), to);
    },
    read: (from) => readFields(fields, from),
  };
}

/**
 * Rows within a row: takes an array of objects. As a column it lands, as ClickHouse stores it, in one
 * array column per field, `name.field`. Within another type it is an Array(Tuple(…)), and so should
 * it be stated for a table that was made with `flatten_nested = 0`.
 */
export function Nested<F extends Fields>(
  fields: F,
): ColumnType<readonly FieldsIn<F>[], FieldsOut<F>[]> {
  const entries = checkFields("Nested", fields);
  const { type } = namedTuple(entries, "Nested");
  const whole = ArrayType(namedTuple(entries)) as ColumnType<
    readonly FieldsIn<F>[],
    FieldsOut<F>[]
  >;
  return {
    ...whole,
    type,
    inline: undefined,
    flat: {
      columns: entries.map(([name, of]) => ({ name, type: `Array(${of.type})` })),
      write: (rows: unknown, to) => {
        if (!Array.isArray(rows)) throw new Refusal(type, "an array of objects", rows);
        const held: readonly unknown[] = [...rows]; // a getter of a row may change how many there are
        for (const row of held) checkFieldNames(type, entries, row);
        for (const [name, of] of entries) {
          to.varint(held.length);
          for (const row of held) writeOf(of)(fieldOf(row as object, name), to);
        }
      },
      read: (from) => {
        const columns = entries.map(
          ([name, of]) => [name, readMany(from, () => of.read(from))] as const,
        );
        const length = columns[0]?.[1].length ?? 0;
        return Array.from({ length }, (_, index) =>
          Object.fromEntries(columns.map(([name, values]) => [name, values[index]])),
        ) as FieldsOut<F>[];
      },
    },
  };
}
