import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LogReadError, openLog, type OpenedLog } from "./open-log.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-open-log-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const open = (path: string, stdin = new PassThrough(), signal = new AbortController().signal) =>
  openLog(path, () => stdin, signal);

async function textOf(log: OpenedLog): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of log.chunks) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test("reads a file and knows how far it is", async () => {
  const path = join(folder, "plain.log");
  writeFileSync(path, "hello");
  const log = await open(path);
  expect([log.size, log.position()]).toEqual([5, 0]);
  expect(await textOf(log)).toBe("hello");
  expect(log.position()).toBe(5);
});

test("reads standard input, packed or not", async () => {
  const stdin = new PassThrough();
  stdin.end(gzipSync("hello"));
  const log = await open("-", stdin);
  expect(log.size).toBeUndefined();
  expect(await textOf(log)).toBe("hello");
});

test("says why a log cannot be read", async () => {
  const missing = open(join(folder, "missing.log"));
  await expect(missing).rejects.toThrow("there is no such file");
  await expect(missing).rejects.toBeInstanceOf(LogReadError);
  await expect(open(folder)).rejects.toThrow("it is a directory");

  const corrupt = join(folder, "corrupt.gz");
  writeFileSync(corrupt, gzipSync("hello").subarray(0, 15));
  const reading = textOf(await open(corrupt));
  await expect(reading).rejects.toMatchObject({ name: "LogReadError", path: corrupt });
  await expect(reading).rejects.toThrow("its gzip data ends too early");
});

test("an abort closes a log that nobody reads", async () => {
  const stdin = new PassThrough();
  const interrupt = new AbortController();
  const log = await open("-", stdin, interrupt.signal);
  interrupt.abort();
  expect(await textOf(log)).toBe("");
  expect(stdin.destroyed).toBe(true);
});

test("an abort ends the reading although the input has not ended", async () => {
  const stdin = new PassThrough();
  const interrupt = new AbortController();
  const log = await open("-", stdin, interrupt.signal);
  stdin.write("hello");
  const received: string[] = [];
  for await (const chunk of log.chunks) {
    received.push(Buffer.from(chunk).toString());
    interrupt.abort();
  }
  expect(received).toEqual(["hello"]);
  expect(stdin.destroyed).toBe(true);
});
