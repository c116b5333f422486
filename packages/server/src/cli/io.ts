import { fstatSync } from "node:fs";
import type { Readable, Writable } from "node:stream";

/** What a command may touch of its process, so that tests can hand in their own. */
export interface Io {
  /** A function, because merely touching the real standard input opens it. */
  stdin(): Readable;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean | undefined };
  /** A steady clock in milliseconds. */
  now(): number;
  /** Calls back at the first SIGINT; the second one ends the process. Returns how to stop. */
  onInterrupt(callback: () => void): () => void;
}

/** Writes a text and waits until it is out; failures reach the stream's `error` listeners. */
export function print(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve) => {
    stream.write(text, () => resolve());
  });
}

/** The real process. */
export const processIo: Io = {
  stdin: () => {
    // Node takes a directory for an input that is empty.
    if (fstatSync(0).isDirectory()) throw Object.assign(new Error(), { code: "EISDIR" });
    return process.stdin;
  },
  stdout: process.stdout,
  stderr: process.stderr,
  now: () => performance.now(),
  onInterrupt(callback) {
    process.once("SIGINT", callback);
    return () => process.off("SIGINT", callback);
  },
};
