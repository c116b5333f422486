/**
 * Whole numbers, floats and booleans, little-endian.
 */
import { type ColumnType, fixed } from "./column-type.ts";

const MAX_SAFE = Number.MAX_SAFE_INTEGER;

/** A type whose values fit into a JavaScript number. */
function small(signed: boolean, bits: 8 | 16 | 32): ColumnType<number, number> {
  const kind = `${signed ? "Int" : "Uint"}${bits}` as const;
  const type = `${signed ? "Int" : "UInt"}${bits}`;
  const least = signed ? -(2 ** (bits - 1)) : 0;
  const most = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const takes = `a whole number from ${least} to ${most}`;
  return fixed<number, number>({
    type,
    bytes: bits / 8,
    takes,
    store: (view, at, value) => {
      if (typeof value !== "number" || !Number.isInteger(value)) return false;
      if (value < least || value > most) return false;
      view[`set${kind}`](at, value, true);
      return true;
    },
    load: (view, at) => view[`get${kind}`](at, true),
    fast: [
      (v) => {
        const cast = bits === 32 ? `${v} ${signed ? "|" : ">>>"} 0` : narrow(v, signed, bits);
        return `typeof ${v} === "number" && (${cast}) === ${v}`;
      },
      (v) => (bits === 8 ? `b[p] = ${v};` : `d.set${kind}(p, ${v}, true);`),
    ],
  });
}

const narrow = (v: string, signed: boolean, bits: number): string =>
  signed ? `${v} << ${32 - bits} >> ${32 - bits}` : `${v} & ${2 ** bits - 1}`;

/** What the columns of 64 bits and more take: text and safe numbers become exact. */
export type WholeNumber = bigint | number | string;

/** The value as a bigint; `undefined` where it is no exact whole number. */
function wholeNumber(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  if (typeof value !== "string" || value.length > 80 || !/^-?\d+$/.test(value)) return undefined;
  return BigInt(value);
}

/** Writes the lowest `bytes` bytes of a whole number, as many as are a multiple of eight. */
export function storeWide(view: DataView, at: number, value: bigint, bytes: number): void {
  for (let offset = 0; offset < bytes; offset += 8) {
    view.setBigUint64(at + offset, BigInt.asUintN(64, value >> BigInt(offset * 8)), true);
  }
}

/** Reads what `storeWide` wrote. */
export function loadWide(view: DataView, at: number, bytes: number, signed: boolean): bigint {
  let value = 0n;
  for (let offset = bytes - 8; offset >= 0; offset -= 8) {
    value = (value << 64n) | view.getBigUint64(at + offset, true);
  }
  return signed ? BigInt.asIntN(bytes * 8, value) : value;
}

function wide(signed: boolean, bits: 64 | 128 | 256): ColumnType<WholeNumber, bigint> {
  const most = 2n ** BigInt(signed ? bits - 1 : bits) - 1n;
  const least = signed ? -most - 1n : 0n;
  return fixed<WholeNumber, bigint>({
    type: `${signed ? "Int" : "UInt"}${bits}`,
    bytes: bits / 8,
    takes: `a whole number from ${least} to ${most}: a bigint, digits as text, or a number up to 2^53 - 1`,
    store: (view, at, value) => {
      const whole = wholeNumber(value);
      if (whole === undefined || whole < least || whole > most) return false;
      storeWide(view, at, whole, bits / 8);
      return true;
    },
    load: (view, at) => loadWide(view, at, bits / 8, signed),
    fast: bits === 64 ? [(v) => isSafe(v, signed), putSafe] : undefined,
  });
}

const isSafe = (v: string, signed: boolean): string =>
  `typeof ${v} === "number" && ${v} >= ${signed ? -MAX_SAFE : 0} && ${v} <= ${MAX_SAFE} && Math.floor(${v}) === ${v}`;

/** A safe integer as 64 bits: the setters take a number modulo 2^32. */
export const putSafe = (v: string): string =>
  `d.setUint32(p, ${v}, true); d.setInt32(p + 4, Math.floor(${v} / 4294967296), true);`;

export const UInt8: ColumnType<number, number> = small(false, 8);
export const UInt16: ColumnType<number, number> = small(false, 16);
export const UInt32: ColumnType<number, number> = small(false, 32);
export const UInt64: ColumnType<WholeNumber, bigint> = wide(false, 64);
export const UInt128: ColumnType<WholeNumber, bigint> = wide(false, 128);
export const UInt256: ColumnType<WholeNumber, bigint> = wide(false, 256);
export const Int8: ColumnType<number, number> = small(true, 8);
export const Int16: ColumnType<number, number> = small(true, 16);
export const Int32: ColumnType<number, number> = small(true, 32);
export const Int64: ColumnType<WholeNumber, bigint> = wide(true, 64);
export const Int128: ColumnType<WholeNumber, bigint> = wide(true, 128);
export const Int256: ColumnType<WholeNumber, bigint> = wide(true, 256);

function float(bits: 32 | 64): ColumnType<number, number> {
  return fixed<number, number>({
    type: `Float${bits}`,
    bytes: bits / 8,
    takes: bits === 32 ? "a number up to 3.4e38 (it is rounded to 24 bits)" : "a number",
    store: (view, at, value) => {
      if (typeof value !== "number" || overflows(value, bits)) return false;
      view[`setFloat${bits}`](at, value, true);
      return true;
    },
    load: (view, at) => view[`getFloat${bits}`](at, true),
    fast:
      bits === 64
        ? [(v) => `typeof ${v} === "number"`, (v) => `d.setFloat64(p, ${v}, true);`]
        : [
            (v) => `typeof ${v} === "number" && Math.abs(${v}) < 3.4e38`,
            (v) => `d.setFloat32(p, ${v}, true);`,
          ],
  });
}

/** Whether a finite number would silently become infinite. */
const overflows = (value: number, bits: 32 | 64): boolean =>
  bits === 32 && Number.isFinite(value) && !Number.isFinite(Math.fround(value));

/** Rounded to 24 bits; NaN and infinities are values. A finite number beyond its range is refused. */
export const Float32: ColumnType<number, number> = float(32);
/** Any number; NaN and infinities are values. */
export const Float64: ColumnType<number, number> = float(64);

/** Lands in a column of type Bool, or UInt8 on servers that have no Bool. */
export const Bool: ColumnType<boolean, boolean> = fixed<boolean, boolean>({
  type: "Bool",
  bytes: 1,
  takes: "true or false",
  store: (view, at, value) => {
    if (typeof value !== "boolean") return false;
    view.setUint8(at, Number(value));
    return true;
  },
  load: (view, at) => view.getUint8(at) !== 0,
  fast: [(v) => `typeof ${v} === "boolean"`, (v) => `b[p] = ${v} ? 1 : 0;`],
});
