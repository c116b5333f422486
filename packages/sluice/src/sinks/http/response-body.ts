/**
 * Bodies of answers: read to their end, or cancelled. Otherwise their connection would never go back
 * to its pool.
 */
import { Buffer } from "node:buffer";
import type { BodyReader, FetchResponse } from "./fetch.ts";

/** A body, as far as it was read. */
export interface ResponseBody {
  readonly bytes: Uint8Array;
  /** `limit`: there is more than was to be read. `broken`: the connection, or the compression. */
  readonly ended: "whole" | "limit" | "broken";
  /** With `broken`: what the platform said. */
  readonly fault?: unknown;
}

/** Reads a body, at most `maxBytes` of it, counted after decompression. Cancels it on `signal`. */
export async function readBody(
  { body }: FetchResponse,
  maxBytes: number,
  signal: AbortSignal,
): Promise<ResponseBody> {
  if (body === null) return { bytes: new Uint8Array(), ended: "whole" };
  const reader = body.getReader();
  const onAbort = (): void => cancel(reader);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const chunks: Uint8Array[] = [];
  let room = maxBytes;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined) return { bytes: Buffer.concat(chunks), ended: "whole" };
      chunks.push(value.subarray(0, room));
      room -= value.length;
      if (room >= 0) continue;
      cancel(reader);
      return { bytes: Buffer.concat(chunks), ended: "limit" };
    }
  } catch (fault) {
    return { bytes: Buffer.concat(chunks), ended: "broken", fault };
  }
}

/** How long a body says it is; 0 if it does not, or says it only of its compressed bytes. */
export const statedBytes = ({ body, headers }: FetchResponse): number =>
  body === null || headers.get("content-encoding") !== null
    ? 0
    : Number(headers.get("content-length") ?? 0);

/** Gives up a body that nobody has begun to read. */
export function cancelBody({ body }: FetchResponse): void {
  if (body !== null) cancel(body.getReader());
}

/** A body that is broken already cannot be cancelled, and need not be. */
function cancel(reader: BodyReader): void {
  reader.cancel().catch(() => undefined);
}
