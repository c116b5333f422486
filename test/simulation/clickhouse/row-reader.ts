/** Rows of one table as RowBinaryWithNamesAndTypes has them, read by the format's own description. */
export interface ReadRow {
  readonly id: number;
  readonly k: string;
  readonly w: number;
}

const HEADER = ["id", "k", "w", "UInt32", "String", "Int32"];

/** Reads a body. Throws where it is anything but whole rows under the right header. */
export function readRows(body: Buffer): ReadRow[] {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = body.readUInt8(at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const text = (): string => {
    const length = varint();
    if (at + length > body.length) throw new RangeError("a text goes beyond the end");
    at += length;
    return body.toString("utf8", at - length, at);
  };
  if (varint() !== HEADER.length / 2) throw new Error("the header has other columns");
  for (const expected of HEADER) {
    const found = text();
    if (found !== expected) throw new Error(`the header says ${found}, and not ${expected}`);
  }
  const rows: ReadRow[] = [];
  while (at < body.length) {
    const id = body.readUInt32LE(at);
    at += 4;
    const k = text();
    const w = body.readInt32LE(at);
    at += 4;
    rows.push({ id, k, w });
  }
  return rows;
}
