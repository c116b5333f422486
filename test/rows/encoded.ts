/** One row, encoded both ways, for the tests of RowBinary. */
import { type AnyColumnType, type Columns, type RowBatch, rows } from "sluice/clickhouse";
import { expect } from "vitest";
import { isSluiceError } from "../../packages/sluice/src/errors.ts";
import {
  type EncodeRow,
  generatedEncoder,
  loopingEncoder,
  type RowField,
} from "../../packages/sluice/src/shapes/row-binary/row-encoder.ts";
import { RowWriter } from "../../packages/sluice/src/shapes/row-binary/row-writer.ts";

/** The fields of these columns, as `rows` gives them to an encoder. */
export const fieldsOf = (columns: Columns): readonly RowField[] =>
  Object.entries(columns).map(([name, of]) => ({ name, of: { ...of, ...of.flat } }));

export const ENCODERS: readonly [
  name: string,
  make: (fields: readonly RowField[], writer: RowWriter, where: string) => EncodeRow,
][] = [
  ["generated", generatedEncoder],
  ["looping", loopingEncoder],
];

/** The bytes of a batch in hexadecimal. */
export const hexOf = ({ chunks }: RowBatch): string =>
  chunks.map(({ bytes }) => Buffer.from(bytes).toString("hex")).join("");

/** What a call throws, if it is an error of Sluice: its code and message. */
export function refusalOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (isSluiceError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return expect.fail("nothing was thrown");
}

/**
 * The bytes of a row in hexadecimal, or the error that refuses it. Both encoders must agree, and a
 * row that is taken must be the same row after it was decoded and encoded again.
 */
export function encodedRow(columns: Columns, row: unknown): string {
  const [one, other] = ENCODERS.map(([, make]) => {
    const writer = new RowWriter(8);
    const encode = make(fieldsOf(columns), writer, "t");
    try {
      encode(row as object);
    } catch (error) {
      if (isSluiceError(error)) return `${error.code}: ${error.message}`;
      throw error;
    }
    return writer.bytes.toString("hex", writer.start, writer.at);
  });
  expect(other, "the looping encoder does as the generated one").toBe(one);
  const shape = rows(columns, { table: "t" });
  const add = (item: unknown): RowBatch => {
    const accumulator = shape.accumulator();
    accumulator.measure(item as never);
    accumulator.fold();
    return accumulator.seal(1).batch;
  };
  if (one?.startsWith("SLUICE_ERR_") === true) {
    expect(refusalOf(() => add(row))).toBe(one);
    return one;
  }
  const batch = add(row);
  expect(hexOf(batch)).toBe(one);
  expect(hexOf(add(shape.entryAt(batch, 0))), "decoded and encoded again").toBe(one);
  return one ?? "";
}

/** As `encodedRow`, for one column named "v". */
export const encoded = (of: AnyColumnType, value: unknown): string =>
  encodedRow({ v: of }, { v: value });

/** What the refusal of a value in the column "v" says. */
export const refused = (of: AnyColumnType, takes: string, received: string): string =>
  `SLUICE_ERR_ITEM_INVALID: t: column "v" (${of.type}): ${takes}; received ${received}`;

/** What decoding gives of a value in the column "v". */
export function decoded(of: AnyColumnType, value: unknown): unknown {
  const shape = rows({ v: of });
  const accumulator = shape.accumulator();
  accumulator.measure({ v: value } as never);
  accumulator.fold();
  return shape.entryAt(accumulator.seal(1).batch, 0).v;
}
