import { describe, expect, test } from "vitest";
import { createLineSplitter, type TextLine } from "./split-lines.ts";

function split(chunks: readonly Uint8Array[], maxLineBytes?: number): TextLine[] {
  const splitter = createLineSplitter(maxLineBytes);
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
}

const INPUT = Buffer.from("\ufeffone\r\n\n\r\nzwölf 🦥\nlong line here\n\xff\nlast", "utf8");
const EXPECTED: readonly TextLine[] = [
  { line: 1, text: "one" },
  { line: 2, text: "" },
  { line: 3, text: "" },
  { line: 4, text: "zwölf 🦥" },
  { line: 5, tooLong: true },
  { line: 6, text: "ÿ" },
  { line: 7, text: "last" },
];
const MAX = 12;

test("cuts the same lines whatever the boundaries of the chunks", () => {
  expect(split([INPUT], MAX)).toEqual(EXPECTED);
  expect(
    split(
      [...INPUT].map((byte) => Uint8Array.of(byte)),
      MAX,
    ),
  ).toEqual(EXPECTED);
  for (let cut = 0; cut <= INPUT.length; cut += 1) {
    expect(split([INPUT.subarray(0, cut), INPUT.subarray(cut)], MAX)).toEqual(EXPECTED);
  }
});

describe("edges", () => {
  test("no bytes are no lines", () => {
    expect(split([])).toEqual([]);
    expect(split([new Uint8Array()])).toEqual([]);
  });

  test("a final newline starts no further line", () => {
    expect(split([Buffer.from("a\n")])).toEqual([{ line: 1, text: "a" }]);
  });

  test("bytes that are not UTF-8 become replacement characters", () => {
    expect(split([Uint8Array.of(0x61, 0xff, 0xc3)])).toEqual([{ line: 1, text: "a\ufffd\ufffd" }]);
  });

  test("a line of exactly the limit is kept, one byte more is not", () => {
    expect(split([Buffer.from("abcd\nabcde\nabcde")], 4)).toEqual([
      { line: 1, text: "abcd" },
      { line: 2, tooLong: true },
      { line: 3, tooLong: true },
    ]);
  });

  test("a line without an end costs no more memory than the limit", () => {
    const splitter = createLineSplitter(1_000);
    const chunk = Buffer.alloc(65_536, "x");
    const before = process.memoryUsage().arrayBuffers;
    for (let index = 0; index < 2_000; index += 1) splitter.push(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
    expect(splitter.push(Buffer.from("\nnext\n"))).toEqual([
      { line: 1, tooLong: true },
      { line: 2, text: "next" },
    ]);
  });
});
