import type { RowColumn } from "./row-batch.ts";
import { RowWriter } from "./row-writer.ts";

/** The header of RowBinaryWithNamesAndTypes: how many columns, their names, their types. */
export function rowHeader(columns: readonly RowColumn[]): Uint8Array {
  const writer = new RowWriter(256);
  writer.varint(columns.length);
  for (const { name } of columns) writer.at = writer.text(name, writer.at);
  for (const { type } of columns) writer.at = writer.text(type, writer.at);
  return writer.bytes.subarray(0, writer.at);
}
