import { Buffer } from "node:buffer";

/** Reads values out of RowBinary. Throws a RangeError where the bytes end too early. */
export class RowReader {
  readonly bytes: Buffer;
  readonly view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Steps over `count` bytes; where they begin. */
  skip(count: number): number {
    const { at } = this;
    if (at + count > this.bytes.length) {
      throw new RangeError(`${count} bytes are missing at ${at} of ${this.bytes.length}`);
    }
    this.at = at + count;
    return at;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.view.getUint8(this.skip(1));
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new RangeError(`there is no length at ${this.at}`);
  }

  /** A length and that many bytes, as a copy. */
  lengthAndBytes(): Uint8Array {
    const length = this.varint();
    const at = this.skip(length);
    return new Uint8Array(this.bytes.subarray(at, at + length));
  }
}
