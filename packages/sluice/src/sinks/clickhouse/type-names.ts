/**
 * ClickHouse's type names, read into what their RowBinary bytes are and mean. What the bytes do not
 * show is left out: LowCardinality, time zones, aliases, functions of aggregates.
 */
import { fieldOf, type NamedText, parseCall, splitList, unquoted } from "./type-text.ts";

/** A type as far as its bytes and their meaning go. */
export type BinaryType =
  | { readonly kind: "scalar"; readonly name: string }
  | { readonly kind: "decimal"; readonly precision: number; readonly scale: number }
  | {
      readonly kind: "enum";
      readonly bits: 8 | 16;
      readonly values: ReadonlyMap<string, number>;
    }
  | { readonly kind: "nullable" | "array"; readonly of: BinaryType }
  | { readonly kind: "map"; readonly key: BinaryType; readonly value: BinaryType }
  | { readonly kind: "tuple"; readonly elements: readonly TupleElement[] }
  | { readonly kind: "json" };

/** An element of a tuple, which may have a name. */
interface TupleElement {
  readonly name: string | undefined;
  readonly type: BinaryType;
}

/** Deeper types than this are nonsense, or an attack. */
const MAX_DEPTH = 64;

/** Reads a type name; `undefined` if it is none, or one whose bytes are not known here. */
export function parseType(text: string): BinaryType | undefined {
  return parse(text, MAX_DEPTH);
}

/** Whether rows written as `ours` are read as the same values by a column of type `theirs`. */
export function fits(ours: string, theirs: string): boolean {
  const [from, to] = [parseType(ours), parseType(theirs)];
  if (from === undefined || to === undefined) return onOneLine(ours) === onOneLine(theirs);
  return readsAs(from, to);
}

/** Whether a type's values travel as JSON text, which a server must be told. */
export function holdsJson(text: string): boolean {
  const type = parseType(text);
  return type !== undefined && hasJson(type);
}

/**
 * A type as DESCRIBE shows it, without the line breaks that DESCRIBE adds to tuples. A line break
 * within a name or a value is always shown as an escape.
 */
export function onOneLine(text: string): string {
  return text
    .trim()
    .replace(/,\s*\n\s*/g, ", ")
    .replace(/\s*\n\s*/g, "");
}

const SCALARS: ReadonlySet<string> = new Set(
  [
    "UInt8 UInt16 UInt32 UInt64 UInt128 UInt256",
    "Int8 Int16 Int32 Int64 Int128 Int256",
    "Float32 Float64 BFloat16",
    "Bool String UUID IPv4 IPv6 Date Date32 Time",
  ].flatMap((names) => names.split(" ")),
);

const ALIASES: ReadonlyMap<string, string> = new Map([
  ["INET4", "IPv4"],
  ["INET6", "IPv6"],
]);

const DECIMAL_PRECISION: ReadonlyMap<string, number> = new Map([
  ["Decimal32", 9],
  ["Decimal64", 18],
  ["Decimal128", 38],
  ["Decimal256", 76],
]);

function parse(text: string, depth: number): BinaryType | undefined {
  const call = depth > 0 ? parseCall(text) : undefined;
  if (call === undefined) return undefined;
  const { name, args } = call;
  if (args === undefined) return parseBare(name);
  const inner = (arg: string | undefined): BinaryType | undefined =>
    arg === undefined ? undefined : parse(arg, depth - 1);
  if (name === "JSON") return { kind: "json" };
  const list = splitList(args);
  if (list === undefined) return undefined;
  const [first, second] = list;
  const only = list.length === 1 ? first : undefined;
  switch (name) {
    case "Nullable":
    case "Array": {
      const of = inner(only);
      return of && { kind: name === "Array" ? "array" : "nullable", of };
    }
    case "LowCardinality":
      return inner(only);
    case "SimpleAggregateFunction":
      return list.length === 2 ? inner(second) : undefined;
    case "Map": {
      const [key, value] = list.length === 2 ? [inner(first), inner(second)] : [];
      return key && value && { kind: "map", key, value };
    }
    case "Tuple":
      return parseTuple(list.map(fieldOf), depth);
    case "Nested": {
      const fields = list.map(fieldOf);
      if (fields.some((field) => field.name === undefined)) return undefined;
      const of = parseTuple(fields, depth);
      return of && { kind: "array", of };
    }
    case "Enum":
    case "Enum8":
    case "Enum16":
      return parseEnum(name, list);
    case "FixedString":
      return isCount(only) ? { kind: "scalar", name: `FixedString(${Number(only)})` } : undefined;
    case "DateTime":
      return list.length === 1 ? { kind: "scalar", name: "DateTime" } : undefined;
    case "DateTime64":
    case "Time64":
      if (!isCount(first) || list.length > 2) return undefined;
      return { kind: "scalar", name: `${name}(${Number(first)})` };
    default:
      return parseDecimal(name, list);
  }
}

function parseBare(name: string): BinaryType | undefined {
  const scalar = ALIASES.get(name) ?? name;
  if (SCALARS.has(scalar)) return { kind: "scalar", name: scalar };
  if (name === "DateTime" || name === "DateTime32") return { kind: "scalar", name: "DateTime" };
  if (name === "DateTime64") return { kind: "scalar", name: "DateTime64(3)" };
  if (name === "JSON") return { kind: "json" };
  return undefined;
}

function parseTuple(fields: readonly NamedText[], depth: number): BinaryType | undefined {
  const elements: TupleElement[] = [];
  for (const field of fields) {
    const type = parse(field.text, depth - 1);
    if (type === undefined) return undefined;
    elements.push({ name: field.name, type });
  }
  return { kind: "tuple", elements };
}

function parseDecimal(name: string, list: readonly string[]): BinaryType | undefined {
  const [first, second = "0"] = list;
  const fixed = DECIMAL_PRECISION.get(name);
  if (fixed !== undefined) {
    if (list.length !== 1 || !isCount(first)) return undefined;
    return { kind: "decimal", precision: fixed, scale: Number(first) };
  }
  if (name !== "Decimal" || list.length > 2 || !isCount(first) || !isCount(second)) {
    return undefined;
  }
  return { kind: "decimal", precision: Number(first), scale: Number(second) };
}

/** `'a' = 1`, or `'a'` alone, which is one more than the value before it. */
function parseEnum(name: string, list: readonly string[]): BinaryType | undefined {
  const values = new Map<string, number>();
  let next = 1;
  for (const entry of list) {
    const match = /^('(?:[^'\\]|\\.|'')*')(?:\s*=\s*(-?\d+))?$/s.exec(entry);
    if (match?.[1] === undefined) return undefined;
    const value = match[2] === undefined ? next : Number(match[2]);
    values.set(unquoted(match[1]), value);
    next = value + 1;
  }
  const small = [...values.values()].every((value) => value >= -128 && value <= 127);
  const bits = name === "Enum16" || (name === "Enum" && !small) ? 16 : 8;
  return { kind: "enum", bits, values };
}

const isCount = (text: string | undefined): text is string =>
  text !== undefined && /^\d{1,9}$/.test(text);

/** How many bits a decimal takes: the precision says so. */
const decimalBits = (precision: number): number =>
  precision <= 9 ? 32 : precision <= 18 ? 64 : precision <= 38 ? 128 : 256;

function readsAs(from: BinaryType, to: BinaryType): boolean {
  if (from.kind === "json") {
    return to.kind === "json" || (to.kind === "scalar" && to.name === "String");
  }
  if (from.kind === "scalar") {
    if (to.kind !== "scalar") return false;
    // Of servers without Bool; not the other way: 5 would be neither true nor false.
    return from.name === to.name || (from.name === "Bool" && to.name === "UInt8");
  }
  if (from.kind === "decimal") {
    return (
      to.kind === "decimal" &&
      from.scale === to.scale &&
      from.precision <= to.precision &&
      decimalBits(from.precision) === decimalBits(to.precision)
    );
  }
  if (from.kind === "enum") {
    if (to.kind !== "enum" || from.bits !== to.bits) return false;
    return [...from.values].every(([name, value]) => to.values.get(name) === value);
  }
  if (from.kind === "map") {
    return to.kind === "map" && readsAs(from.key, to.key) && readsAs(from.value, to.value);
  }
  if (from.kind === "tuple") {
    if (to.kind !== "tuple" || from.elements.length !== to.elements.length) return false;
    return from.elements.every(({ name, type }, index) => {
      const other = to.elements[index];
      if (other === undefined || !readsAs(type, other.type)) return false;
      return name === undefined || other.name === undefined || name === other.name;
    });
  }
  return to.kind === from.kind && readsAs(from.of, to.of);
}

function hasJson(type: BinaryType): boolean {
  if (type.kind === "json") return true;
  if (type.kind === "nullable" || type.kind === "array") return hasJson(type.of);
  if (type.kind === "map") return hasJson(type.key) || hasJson(type.value);
  return type.kind === "tuple" && type.elements.some((element) => hasJson(element.type));
}
