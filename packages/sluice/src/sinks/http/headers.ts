/**
 * Header fields as callers give them. Their values are secrets: no error shows one.
 */
import { invalidOption } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";

/** A field: its name in lower case, and its value. */
export type HeaderField = readonly [name: string, value: string];

/** RFC 9110 §5.6.2. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** The connection's own, RFC 9110 §7.6.1 and RFC 9112 §6: `fetch` sets them or fails. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

/** Whether `text` is a token, the form of names and methods. */
export const isToken = (text: string): boolean => TOKEN.test(text);

/** Checks headers. Errors name the header. */
export function readHeaders(option: string, headers: unknown): readonly HeaderField[] {
  if (headers === undefined) return [];
  if (!isPlainObject(headers)) {
    throw invalid(`${option} must be a plain object of strings; received ${kindOf(headers)}`);
  }
  return Object.entries(headers).map(([name, value]: [string, unknown]) => {
    checkName(option, name);
    return [name.toLowerCase(), checkValue(`${option}[${quote(name)}]`, value)];
  });
}

function checkName(option: string, name: string): void {
  if (!isToken(name)) {
    // "Authorization: Bearer …" as a name: what follows the first fault may be a value.
    const start = /^[\w!#$%&'*+.^`|~-]*/.exec(name)?.[0] ?? "";
    throw invalidOption(option, "named by tokens of RFC 9110", `${start}…`);
  }
  if (OF_CONNECTION.has(name.toLowerCase())) {
    throw invalidOption(option, "without what belongs to the connection", name);
  }
}

/** RFC 9110 §5.5: what is visible, blanks, and bytes above ASCII, which travel as Latin-1. */
function checkValue(what: string, value: unknown): string {
  if (typeof value !== "string")
    throw invalid(`${what} must be a string; received ${kindOf(value)}`);
  if (/^(?:[\t\u0020-\u007e]|[\u0080-\u00ff])*$/.test(value)) {
    return value.replace(/^[\t ]+|[\t ]+$/g, ""); // as `fetch` sends it
  }
  throw invalid(
    `${what} holds a line break, another control character or one beyond Latin-1; its value is not shown`,
  );
}

const invalid = (message: string): SluiceError =>
  new SluiceError("SLUICE_ERR_OPTION_INVALID", message);

function isPlainObject(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

const kindOf = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? (value.constructor?.name ?? "object")
    : typeof value;
