/**
 * What it costs to encode a row of six columns: against a straight line written by hand for these
 * columns, which only makes room, checks no value and keeps no boundaries, and against `JSON.stringify`.
 */
import {
  Array as ArrayOf,
  DateTime,
  Float64,
  rows,
  String as Text,
  UInt32,
  UInt64,
} from "sluice/clickhouse";
import { compare } from "./compare.js";

const ROWS = 50_000;

/** @param {(second: number) => Date | number} at */
const some = (at) =>
  Array.from({ length: ROWS }, (_, index) => ({
    id: index,
    total: index * 4_294_967,
    ratio: index / 7,
    name: `user-${index % 1_000}-name`,
    at: at(1_700_000_000 + index),
    tags: ["red", "green", `blue${index % 10}`],
  }));

const shape = rows({
  id: UInt32,
  total: UInt64,
  ratio: Float64,
  name: Text,
  at: DateTime,
  tags: ArrayOf(Text),
});
const accumulator = shape.accumulator();

/** @param {ReturnType<typeof some>} items */
const encode = (items) => () => {
  for (const item of items) {
    accumulator.measure(item);
    accumulator.fold();
  }
  return accumulator.seal(ROWS);
};

let buffer = Buffer.alloc(0);
let view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);

/**
 * Makes room for `more` bytes behind the first `p`.
 * @param {number} p
 * @param {number} more
 */
function grow(p, more) {
  const larger = Buffer.alloc(2 * (p + more));
  buffer.copy(larger, 0, 0, p);
  buffer = larger;
  view = new DataView(larger.buffer, larger.byteOffset, larger.length);
}

/**
 * @param {string} text
 * @param {number} p
 */
function writeText(text, p) {
  const { length } = text;
  if (p + 3 * length + 32 > buffer.length) grow(p, 3 * length + 32);
  if (length < 64) {
    let index = 0;
    for (; index < length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit > 127) break;
      buffer[p + 1 + index] = unit;
    }
    if (index === length) {
      buffer[p] = length;
      return p + 1 + length;
    }
  }
  const bytes = Buffer.byteLength(text);
  let rest = bytes;
  for (; rest > 127; rest >>>= 7) buffer[p++] = (rest & 127) | 128;
  buffer[p++] = rest;
  return p + buffer.write(text, p);
}

/** @param {ReturnType<typeof some>} items */
const byHand = (items) => () => {
  let p = 0;
  for (const { id, total, ratio, name, at, tags } of items) {
    if (p + 32 > buffer.length) grow(p, 32);
    view.setUint32(p, id, true);
    view.setUint32(p + 4, total, true);
    view.setUint32(p + 8, total / 4_294_967_296, true);
    view.setFloat64(p + 12, ratio, true);
    p = writeText(name, p + 20);
    view.setUint32(p, typeof at === "number" ? at : at.getTime() / 1_000, true);
    p += 4;
    buffer[p++] = tags.length;
    for (const tag of tags) p = writeText(tag, p);
  }
  return p;
};

/** @param {ReturnType<typeof some>} items */
const stringify = (items) => () => {
  let length = 0;
  for (const item of items) length += JSON.stringify(item).length;
  return length;
};

const dated = some((second) => new Date(second * 1_000));
const numbered = some((second) => second);
const units = ROWS;

await compare(
  "a row of six columns",
  { name: "sluice", units, run: encode(dated) },
  { name: "a straight line by hand", units, run: byHand(dated) },
  "at least 0.8",
);
await compare(
  "the same against JSON, times as Date",
  { name: "sluice", units, run: encode(dated) },
  { name: "JSON.stringify", units, run: stringify(dated) },
  "at least 12",
);
await compare(
  "the same against JSON, times as Unix seconds",
  { name: "sluice", units, run: encode(numbered) },
  { name: "JSON.stringify", units, run: stringify(numbered) },
  "none: the hand-written line itself is 7 to 9 times as fast here",
);
