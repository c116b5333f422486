import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";

/**
 * Passes plain bytes through and unpacks gzip, told apart by the first two bytes: standard input
 * has no name to go by, and names lie. Rejects where the gzip data is corrupt or cut off.
 */
export async function* gunzipWhenNeeded(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    const head = await readHead(iterator);
    const whole = chain(head, iterator);
    if (head[0] === 0x1f && head[1] === 0x8b) yield* gunzip(whole);
    else yield* whole;
  } finally {
    await iterator.return?.();
  }
}

async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array();
  while (head.length < 2) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

async function* chain(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
    yield next.value;
  }
}

async function* gunzip(
  packed: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const unpacked = createGunzip();
  // A failure of either end destroys the other, and surfaces where `unpacked` is read.
  pipeline(Readable.from(packed), unpacked, () => undefined);
  for await (const chunk of unpacked as AsyncIterable<Uint8Array>) yield chunk;
}
