import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readAccessLog } from "./access-log.ts";
import { gunzipWhenNeeded } from "./gunzip.ts";

const GOOD = 'h - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1';

async function* chunksOf(...chunks: (Uint8Array | string)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

async function unpacked(...chunks: Uint8Array[]): Promise<string> {
  return Buffer.concat(await all(gunzipWhenNeeded(chunksOf(...chunks)))).toString();
}

describe("the reader", () => {
  test("numbers lines as editors do, skips blank ones, and survives malformed ones", async () => {
    const log = `${GOOD}\r\n\n  \nnonsense\n${"x".repeat(500)}\n${GOOD}`;
    const entries = await all(readAccessLog(chunksOf(log), 400));
    expect(entries.map((entry) => [entry.line, "malformed" in entry])).toEqual([
      [1, false],
      [4, true],
      [5, true],
      [6, false],
    ]);
    expect(entries[2]).toEqual({ line: 5, malformed: "is too long" });
  });

  test("asks for a chunk only when the one before is consumed", async () => {
    let asked = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        asked += 1;
        yield Buffer.from(`${GOOD}\n${GOOD}\n`);
      }
    }
    const entries = readAccessLog(endless());
    for (let index = 0; index < 4; index += 1) await entries.next();
    expect(asked).toBe(2);
    await entries.return();
  });
});

describe("gzip", () => {
  const packed = gzipSync("hello");

  test("is told from plain bytes whatever the boundaries of the chunks", async () => {
    for (let cut = 0; cut <= packed.length; cut += 1) {
      expect(await unpacked(packed.subarray(0, cut), packed.subarray(cut))).toBe("hello");
    }
    expect(await unpacked(...[...packed].map((byte) => Uint8Array.of(byte)))).toBe("hello");
  });

  test("may have several members", async () => {
    expect(await unpacked(packed, gzipSync(" world"))).toBe("hello world");
  });

  test("plain bytes pass, however few", async () => {
    expect(await unpacked()).toBe("");
    expect(await unpacked(Buffer.from("h"))).toBe("h");
    expect(await unpacked(Buffer.from("he"), Buffer.from("llo"))).toBe("hello");
    expect(await unpacked(Uint8Array.of(0x1f))).toBe("\x1f");
  });

  test("fails where it is corrupt or cut off", async () => {
    const corrupt = Buffer.from(packed);
    corrupt.fill(0xff, 10, 14);
    await expect(unpacked(corrupt)).rejects.toHaveProperty("code", "Z_DATA_ERROR");
    await expect(unpacked(packed.subarray(0, 15))).rejects.toHaveProperty("code", "Z_BUF_ERROR");
  });

  test("a failing source fails the reading", async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield packed.subarray(0, 12);
      throw new Error("the disk is gone");
    }
    await expect(all(gunzipWhenNeeded(failing()))).rejects.toThrow("the disk is gone");
  });

  test("closes its source when the reader leaves early", async () => {
    let closed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield packed;
      } finally {
        closed = true;
      }
    }
    for await (const _ of gunzipWhenNeeded(endless())) break;
    expect(closed).toBe(true);
  });
});
