import { Buffer } from "node:buffer";

/** Where the loop over characters stops being faster than a call into the platform. */
const SHORT = 64;

/**
 * Writes one row after another into a buffer. The row under way begins at `start`; it is moved, as
 * far as it got, when a larger buffer is needed, so that a row always lies in one piece. Whoever
 * writes reserves first, always `spare` bytes more than asked: fixed-width values that follow in
 * straight-line code need no check of their own.
 */
export class RowWriter {
  bytes: Buffer;
  view: DataView;
  /** Where the next byte goes. */
  at = 0;
  /** Where the row under way begins. */
  start = 0;
  /** How many bytes straight-line code may write between two reservations. */
  spare = 0;
  readonly #bufferBytes: number;
  readonly #keepBytes: number;
  /** Buffers that nobody reads any more. */
  readonly #resting: Buffer[] = [];

  /** Writes into buffers of `bufferBytes`; those that are given back are kept up to `keepBytes`. */
  constructor(bufferBytes: number, keepBytes: number = 0) {
    this.#bufferBytes = bufferBytes;
    this.#keepBytes = keepBytes;
    this.bytes = Buffer.alloc(0);
    this.view = viewOf(this.bytes);
  }

  /** Makes room for `more` bytes and `spare`, in a new buffer if need be. */
  reserve(more: number): void {
    const need = more + this.spare;
    if (this.at + need <= this.bytes.length) return;
    const row = this.at - this.start;
    // A row that outgrows a buffer of its own doubles it: each byte moves a bounded number of times.
    const size = Math.max(this.#bufferBytes, row + need, row === 0 ? 0 : 2 * row);
    const rested = size === this.#bufferBytes ? this.#resting.pop() : undefined;
    const larger = rested ?? Buffer.allocUnsafeSlow(size);
    this.bytes.copy(larger, 0, this.start, this.at);
    this.#use(larger);
    this.start = 0;
    this.at = row;
  }

  /** Lets the buffer go. */
  release(): void {
    this.#use(Buffer.alloc(0));
    this.start = 0;
    this.at = 0;
  }

  /** Takes back a buffer, for rows to come. */
  giveBack(buffer: Buffer): void {
    const isOurs = buffer.length === this.#bufferBytes;
    const bytes = (this.#resting.length + 1) * this.#bufferBytes;
    if (isOurs && bytes <= this.#keepBytes) this.#resting.push(buffer);
  }

  /** A length: seven bits a byte, the lowest first. */
  varint(value: number): void {
    this.reserve(5);
    let rest = value;
    while (rest > 127) {
      this.bytes[this.at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.bytes[this.at++] = rest;
  }

  /**
   * Writes the length of well-formed text in UTF-8, and the text, at `at`; where the next byte goes.
   * -1, with nothing written, of any other text.
   */
  text(value: string, at: number): number {
    const { length } = value;
    if (length < SHORT) {
      if (at + length + 1 + this.spare > this.bytes.length) {
        this.at = at;
        this.reserve(length + 1);
        at = this.at;
      }
      const { bytes } = this;
      const first = at + 1;
      let index = 0;
      for (; index < length; index += 1) {
        const unit = value.charCodeAt(index);
        if (unit > 127) break;
        bytes[first + index] = unit;
      }
      if (index === length) {
        bytes[at] = length;
        return first + length;
      }
    }
    if (!value.isWellFormed()) return -1;
    const byteLength = Buffer.byteLength(value);
    this.at = at;
    this.varint(byteLength);
    this.reserve(byteLength);
    return this.at + this.bytes.write(value, this.at);
  }

  /** Bytes as they are. */
  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.at);
    this.at += value.length;
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
