import { Buffer } from "node:buffer";
import type { RowColumn } from "../../shapes/row-binary/row-batch.ts";

/** The header of RowBinaryWithNamesAndTypes: how many columns, their names, their types. */
export function rowHeader(columns: readonly RowColumn[]): Uint8Array {
  return Buffer.concat([
    varint(columns.length),
    ...columns.map(({ name }) => text(name)),
    ...columns.map(({ type }) => text(type)),
  ]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([varint(bytes.length), bytes]);
}

/** LEB128: seven bits to a byte, the lowest first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
