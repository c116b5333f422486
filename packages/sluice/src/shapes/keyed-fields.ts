/**
 * What the keyed shapes ask of the fields of their items, and above all of those that make the key.
 */
import { invalidOption } from "../core/validate.ts";
import { type ErrorCode, quote, SluiceError } from "../errors.ts";
import { byteLength, textFault } from "./text.ts";

/** A refusal by the shape of this kind. */
export const refusal = (kind: string, code: ErrorCode, message: string): SluiceError =>
  new SluiceError(code, `${kind}: ${message}`);

/** Checks an option that lists names of fields. */
export function fieldNames(kind: string, option: string, names: unknown): readonly string[] {
  const isName = (name: unknown): boolean => typeof name === "string" && name !== "";
  if (!Array.isArray(names) || !Array.from(names).every(isName)) {
    throw invalidOption(`${kind}: ${option}`, "a list of field names", names);
  }
  return Object.freeze([...(names as string[])]);
}

/** Refuses shapes without a key, and fields that are named twice. */
export function checkFields(kind: string, key: readonly string[], all: readonly string[]): void {
  const twice = all.find((name, index) => all.indexOf(name) !== index);
  if (twice !== undefined) {
    throw refusal(kind, "SLUICE_ERR_OPTION_CONFLICT", `field ${quote(twice)} is named twice`);
  }
  if (key.length === 0) {
    throw refusal(kind, "SLUICE_ERR_OPTION_INVALID", "key needs at least one field");
  }
}

/** A limit in bytes, or the default. */
export function byteLimit(kind: string, option: string, value: unknown, fallback: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1) return value;
  throw invalidOption(`${kind}: ${option}`, "a whole number above 0", value);
}

/** Refuses what is no object, or has fields that the shape does not know. */
export function checkItem(
  kind: string,
  item: unknown,
  known: ReadonlySet<string>,
): asserts item is object {
  if (typeof item !== "object" || item === null || Array.isArray(item)) {
    const message = `an item is an object; received ${quote(item)}`;
    throw refusal(kind, "SLUICE_ERR_ITEM_INVALID", message);
  }
  for (const name in item) {
    if (known.has(name)) continue;
    const value = (item as Readonly<Record<string, unknown>>)[name];
    const message = `unknown field ${quote(name)} with value ${quote(value)}; the fields are ${[...known].join(", ")}`;
    throw refusal(kind, "SLUICE_ERR_ITEM_UNKNOWN_FIELD", message);
  }
}

/** Refuses parts that make no key; else says how many bytes they have. */
export function measureKey(
  kind: string,
  names: readonly string[],
  parts: readonly unknown[],
  maxKeyBytes: number,
): number {
  let bytes = 0;
  for (const [index, name] of names.entries()) {
    const part = parts[index];
    if (typeof part !== "string") {
      const message = `key field ${quote(name)} must be a string; received ${quote(part)}`;
      throw refusal(kind, "SLUICE_ERR_KEY_INVALID", message);
    }
    const fault = textFault(part);
    if (fault !== undefined) {
      const message = `key field ${quote(name)} holds ${fault}: ${quote(part)}`;
      throw refusal(kind, "SLUICE_ERR_KEY_INVALID", message);
    }
    bytes += byteLength(part);
  }
  if (bytes > maxKeyBytes) {
    const message = `a key of ${bytes} bytes is longer than maxKeyBytes (${maxKeyBytes}): ${quote(parts.slice(0, names.length))}`;
    throw refusal(kind, "SLUICE_ERR_KEY_TOO_LONG", message);
  }
  return bytes;
}

/** FNV-1a over the parts. Parts that are not text are left to `measureKey` to refuse. */
export function hashKey(item: object, key: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const name of key) {
    const part: unknown = (item as Readonly<Record<string, unknown>> | null)?.[name];
    if (typeof part !== "string") continue;
    for (let index = 0; index < part.length; index += 1) {
      hash = Math.imul(hash ^ part.charCodeAt(index), 0x01000193);
    }
    hash = Math.imul(hash ^ 0xffff, 0x01000193);
  }
  return hash >>> 0;
}
