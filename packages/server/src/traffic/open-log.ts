import { createReadStream, fstat, open as openDescriptor } from "node:fs";
import { Socket } from "node:net";
import { addAbortSignal, type Readable } from "node:stream";
import { promisify } from "node:util";
import { gunzipWhenNeeded } from "./gunzip.ts";

/** A log that could be opened. Its bytes may still fail with a {@link LogReadError}. */
export interface OpenedLog {
  /** The unpacked bytes. They end early, without an error, once the signal is aborted. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** How many bytes the file has as it lies there; undefined for pipes and standard input. */
  readonly size: number | undefined;
  /** How many of these bytes have been read. */
  position(): number;
}

/** A log that cannot be read: missing, a directory, forbidden, or corrupt gzip. */
export class LogReadError extends Error {
  readonly path: string;

  constructor(path: string, cause: unknown) {
    super(reasonOf(cause), { cause });
    this.name = "LogReadError";
    this.path = path;
  }
}

/**
 * Opens a log by its path, where `-` is standard input. Rejects with {@link LogReadError}.
 * Aborting the signal closes it, whether it has been read or not.
 */
export async function openLog(
  path: string,
  stdin: () => Readable,
  signal: AbortSignal,
): Promise<OpenedLog> {
  const { stream, size } = await open(path, stdin);
  addAbortSignal(signal, stream);
  // Whoever iterates is told of an error; one before that must not end the process.
  stream.on("error", () => undefined);
  let position = 0;

  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      position += chunk.length;
      yield chunk;
    }
  }

  async function* chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* gunzipWhenNeeded(counted());
    } catch (error) {
      if (!signal.aborted) throw new LogReadError(path, error);
    } finally {
      stream.destroy();
    }
  }

  return { chunks: chunks(), size, position: () => position };
}

async function open(
  path: string,
  stdin: () => Readable,
): Promise<{ stream: Readable; size: number | undefined }> {
  try {
    if (path === "-") return { stream: stdin(), size: undefined };
    const fd = await promisify(openDescriptor)(path, "r");
    const found = await promisify(fstat)(fd);
    // A read of a pipe may block for ever; only a socket can be destroyed while it waits.
    if (found.isFIFO()) {
      return { stream: new Socket({ fd, readable: true, writable: false }), size: undefined };
    }
    const stream = createReadStream(path, { fd });
    if (found.isDirectory()) {
      stream.destroy();
      throw Object.assign(new Error("is a directory"), { code: "EISDIR" });
    }
    return { stream, size: found.isFile() ? found.size : undefined };
  } catch (error) {
    throw new LogReadError(path, error);
  }
}

const REASONS: ReadonlyMap<unknown, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["ENOTDIR", "there is no such file"],
  ["EISDIR", "it is a directory"],
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["Z_BUF_ERROR", "its gzip data ends too early"],
  ["Z_DATA_ERROR", "its gzip data is corrupt"],
]);

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return REASONS.get("code" in cause ? cause.code : undefined) ?? cause.message;
}
