/**
 * Text as stores see it: UTF-8 bytes. One place for its rules.
 */
import { Buffer } from "node:buffer";

/** Length in UTF-8 bytes. */
export const byteLength = (text: string): number => Buffer.byteLength(text);

/** The longest start of `text` that has at most `maxBytes` in UTF-8; no character is cut in two. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1; // within a character
  return bytes.toString("utf8", 0, end);
}

/** Why a store cannot keep `text` as it is; `undefined` when it can. */
export function textFault(text: string): string | undefined {
  if (text.includes("\0")) return "NUL";
  return text.isWellFormed() ? undefined : "a lone surrogate";
}

/**
 * The order of UTF-8 bytes, which is the order of `COLLATE "C"` in PostgreSQL and of code points.
 * Every Sluice of every version sorts keys by it, so that concurrent writers lock rows in one order.
 * JavaScript's own `<` orders UTF-16 units: surrogates (U+10000 and above) before U+E000 to U+FFFF.
 */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    const x = a.charCodeAt(index);
    const y = b.charCodeAt(index);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Moves the surrogates above all other units, U+FFFF included. */
const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x2800 : unit);
