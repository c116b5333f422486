import { once } from "node:events";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Answer } from "./answer.ts";
import type { Trouble } from "./trouble.ts";

const JSON_TYPE = "application/json; charset=utf-8";
const MEBIBYTE = 1024 * 1024;
const BLOCK = Buffer.alloc(64 * 1024, " ");
const PAGE =
  "<!doctype html><html><title>Welcome</title><p>Please sign in to the network.</html>\n";

/** Writes an answer, or what the trouble makes of it; resolves when all is handed over. */
export async function reply(
  response: ServerResponse,
  { status, body }: Answer,
  trouble: Trouble | undefined,
): Promise<void> {
  const text = JSON.stringify(body);
  switch (trouble?.kind) {
    case undefined:
    case "half-answer":
    case "stray-answer":
      return send(response, status, text);
    case "error":
      return sendError(response, trouble.status, "trouble", retryAfter(trouble.retryAfter));
    case "html":
      return send(response, 200, PAGE, { "content-type": "text/html; charset=utf-8" });
    case "invalid-json":
      return send(response, 200, firstHalf(text));
    case "text": {
      const { contentType = JSON_TYPE } = trouble;
      return send(response, trouble.status ?? 200, trouble.text, { "content-type": contentType });
    }
    case "huge":
      response.writeHead(status, { "content-type": JSON_TYPE });
      return pipeline(Readable.from(padded(trouble.megabytes, text)), response);
    case "cut-off":
      response.writeHead(status, {
        "content-type": JSON_TYPE,
        "content-length": Buffer.byteLength(text),
      });
      response.write(firstHalf(text), () => response.destroy());
      await once(response, "close");
      return;
    case "hang":
      await once(response, "close");
      return;
    default:
      return trouble satisfies never;
  }
}

/** Writes an error as the API words it. */
export function sendError(
  response: ServerResponse,
  status: number,
  message: string,
  headers: OutgoingHttpHeaders = {},
): void {
  send(response, status, JSON.stringify({ message }), headers);
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const length = Buffer.byteLength(text);
  response.writeHead(status, { "content-type": JSON_TYPE, "content-length": length, ...headers });
  response.end(text);
}

function retryAfter(when: number | Date | undefined): OutgoingHttpHeaders {
  if (when === undefined) return {};
  return { "retry-after": typeof when === "number" ? String(when) : when.toUTCString() };
}

function firstHalf(text: string): string {
  return text.slice(0, Math.ceil(text.length / 2));
}

function* padded(megabytes: number, text: string): Generator<Buffer> {
  for (let left = megabytes * MEBIBYTE; left > 0; left -= BLOCK.length) {
    yield left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
  }
  yield Buffer.from(text);
}
