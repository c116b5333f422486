/**
 * Text, bytes, and what people write as text: UUIDs, addresses, names of enums, JSON.
 */
import { Buffer } from "node:buffer";
import { invalidOption } from "../../core/validate.ts";
import {
  formatIPv4,
  formatIPv6,
  formatUuid,
  parseIPv4,
  parseIPv6,
  parseUuid,
} from "./addresses.ts";
import { type ColumnType, fixed, quotedName, Refusal } from "./column-type.ts";

/** Text, or bytes: a String of ClickHouse is any bytes. */
export type TextOrBytes = string | Uint8Array;

const TEXT = "well-formed text, or bytes as a Uint8Array";

/** What text cannot be a value of: the server would see other characters. */
const expectText = (value: unknown): string =>
  typeof value === "string" ? `${TEXT}; this holds a lone surrogate` : TEXT;

/** Text that the bytes are, else the bytes. */
function textOrBytes(bytes: Uint8Array): TextOrBytes {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes;
  }
}

/** Text as UTF-8, or bytes as they are. Lone surrogates are refused. Decoded as text where it is UTF-8. */
const StringType: ColumnType<TextOrBytes, TextOrBytes> = {
  type: "String",
  nullable: false,
  write: (value, to) => {
    if (value instanceof Uint8Array) {
      to.varint(value.length);
      to.raw(value);
      return;
    }
    const at = typeof value === "string" ? to.text(value, to.at) : -1;
    if (at < 0) throw new Refusal("String", expectText(value), value);
    to.at = at;
  },
  read: (from) => textOrBytes(from.lengthAndBytes()),
  inline: (v, code) =>
    `if (typeof ${v} !== "string" || (x = w.text(${v}, p)) < 0) { ${code.call(StringType, v)} } else { p = x; b = w.bytes; d = w.view; }`,
};
export { StringType as String };

/**
 * Text or bytes of at most `length` bytes; shorter ones are filled up with zero bytes, as the server
 * does. Decoded whole, with its zero bytes.
 */
export function FixedString(length: number): ColumnType<TextOrBytes, TextOrBytes> {
  if (!Number.isInteger(length) || length < 1 || length > 0xffffff) {
    throw invalidOption("FixedString: length", "a whole number from 1 to 16777215", length);
  }
  const type = `FixedString(${length})`;
  return {
    type,
    nullable: false,
    write: (value, to) => {
      const isText = typeof value === "string" && value.isWellFormed();
      const bytes = isText ? Buffer.from(value) : value;
      if (!(bytes instanceof Uint8Array)) throw new Refusal(type, expectText(value), value);
      if (bytes.length > length) throw new Refusal(type, `at most ${length} bytes`, value);
      to.raw(bytes);
      to.reserve(length);
      to.bytes.fill(0, to.at, to.at + length - bytes.length);
      to.at += length - bytes.length;
    },
    read: (from) => {
      const at = from.skip(length);
      return textOrBytes(new Uint8Array(from.bytes.subarray(at, at + length)));
    },
  };
}

export const UUID: ColumnType<string, string> = fixed<string, string>({
  type: "UUID",
  bytes: 16,
  takes: "a UUID such as 123e4567-e89b-12d3-a456-426614174000",
  store: (view, at, value) => {
    const halves = typeof value === "string" ? parseUuid(value) : undefined;
    if (halves === undefined) return false;
    view.setBigUint64(at, halves[0], true);
    view.setBigUint64(at + 8, halves[1], true);
    return true;
  },
  load: (view, at) => formatUuid(view.getBigUint64(at, true), view.getBigUint64(at + 8, true)),
});

export const IPv4: ColumnType<string, string> = fixed<string, string>({
  type: "IPv4",
  bytes: 4,
  takes: "an address such as 192.0.2.1",
  store: (view, at, value) => {
    const address = typeof value === "string" ? parseIPv4(value) : undefined;
    if (address === undefined) return false;
    view.setUint32(at, address, true);
    return true;
  },
  load: (view, at) => formatIPv4(view.getUint32(at, true)),
});

/** IPv6 as text, or IPv4, which becomes ::ffff:a.b.c.d. Decoded in the shortest form, by RFC 5952. */
export const IPv6: ColumnType<string, string> = fixed<string, string>({
  type: "IPv6",
  bytes: 16,
  takes: "an address such as 2001:db8::1 or 192.0.2.1",
  store: (view, at, value) => {
    const groups = typeof value === "string" ? parseIPv6(value) : undefined;
    if (groups === undefined) return false;
    for (const [index, group] of groups.entries()) view.setUint16(at + 2 * index, group);
    return true;
  },
  load: (view, at) =>
    formatIPv6(Array.from({ length: 8 }, (_, index) => view.getUint16(at + 2 * index))),
});

function enumOf<Name extends string>(
  bits: 8 | 16,
  names: Readonly<Record<Name, number>>,
): ColumnType<Name, Name> {
  const pairs = Object.entries<number>(names ?? {}).sort(([, a], [, b]) => a - b); // as the server prints them
  const most = 2 ** (bits - 1);
  const isValue = (value: unknown): boolean =>
    Number.isInteger(value) && Number(value) >= -most && Number(value) < most;
  const distinct = new Set(pairs.map(([, value]) => value)).size === pairs.length;
  if (
    pairs.length === 0 ||
    !distinct ||
    !pairs.every(([name, v]) => name.isWellFormed() && isValue(v))
  ) {
    const expected = `names, each with a whole number of its own from ${-most} to ${most - 1}`;
    throw invalidOption(`Enum${bits}`, expected, names);
  }
  const byName = new Map<unknown, number>(pairs);
  const byValue = new Map(pairs.map(([name, value]) => [value, name as Name]));
  const text = pairs.map(([name, value]) => `${quotedName("'", name)} = ${value}`);
  return fixed<Name, Name>({
    type: `Enum${bits}(${text.join(", ")})`,
    bytes: bits / 8,
    takes: `one of ${pairs.map(([name]) => JSON.stringify(name)).join(", ")}`,
    store: (view, at, name) => {
      const value = byName.get(name);
      if (value === undefined) return false;
      view[`setInt${bits}`](at, value, true);
      return true;
    },
    load: (view, at) => {
      const value = view[`getInt${bits}`](at, true);
      const name = byValue.get(value);
      if (name === undefined) throw new RangeError(`Enum${bits}: there is no name for ${value}`);
      return name;
    },
  });
}

/** One of these names; each stands for a number from -128 to 127. */
export function Enum8<const Name extends string>(
  names: Readonly<Record<Name, number>>,
): ColumnType<Name, Name> {
  return enumOf(8, names);
}

/** One of these names; each stands for a number from -32,768 to 32,767. */
export function Enum16<const Name extends string>(
  names: Readonly<Record<Name, number>>,
): ColumnType<Name, Name> {
  return enumOf(16, names);
}

/**
 * Whatever `JSON.stringify` makes text of, sent as text: for columns of type JSON on servers that read
 * it so (`input_format_binary_read_json_as_string`, ClickHouse 24.10), and for String.
 */
const JsonType: ColumnType<unknown, unknown> = {
  type: "JSON",
  nullable: false,
  write: (value, to) => {
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch {
      // A cycle or a bigint: refused below, with the value.
    }
    // A lone surrogate is what JSON.stringify escapes so; no server takes it.
    const isWhole = text === undefined || !/(?<!\\)(?:\\\\)*\\ud[89a-f]/.test(text);
    if (text === undefined || !isWhole) throw new Refusal("JSON", "what JSON can say", value);
    to.at = to.text(text, to.at);
  },
  read: (from): unknown => JSON.parse(Buffer.from(from.lengthAndBytes()).toString()),
};
export { JsonType as JSON };
