import { invalidOption } from "../../core/validate.ts";
import { type ColumnType, fixed } from "./column-type.ts";
import { loadWide, storeWide } from "./numbers.ts";

/** The digits each width of storage holds. */
const WIDTHS = [
  [9, 4],
  [18, 8],
  [38, 16],
  [76, 32],
] as const;

/** A decimal as text, a whole bigint, or a number, which counts as the shortest text that means it. */
export type DecimalValue = string | number | bigint;

/**
 * `precision` digits, `scale` of them behind the point. Exact: digits beyond the scale are refused
 * unless they are zeros. Decoded as text with all its digits.
 */
export function Decimal(precision: number, scale: number): ColumnType<DecimalValue, string> {
  const bytes = WIDTHS.find(([digits]) => precision <= digits)?.[1];
  if (!Number.isInteger(precision) || precision < 1 || bytes === undefined) {
    throw invalidOption("Decimal: precision", "a whole number from 1 to 76", precision);
  }
  if (!Number.isInteger(scale) || scale < 0 || scale > precision) {
    throw invalidOption("Decimal: scale", `a whole number from 0 to ${precision}`, scale);
  }
  const bound = 10n ** BigInt(precision);
  return fixed<DecimalValue, string>({
    type: `Decimal(${precision}, ${scale})`,
    bytes,
    takes: `a decimal of at most ${precision - scale} digits before the point and ${scale} behind it`,
    store: (view, at, value) => {
      const units = unitsOf(value, scale);
      if (units === undefined || units <= -bound || units >= bound) return false;
      if (bytes === 4) view.setInt32(at, Number(units), true);
      else storeWide(view, at, units, bytes);
      return true;
    },
    load: (view, at) =>
      format(
        bytes === 4 ? BigInt(view.getInt32(at, true)) : loadWide(view, at, bytes, true),
        scale,
      ),
  });
}

/** Decimal(9, scale). */
export const Decimal32 = (scale: number): ColumnType<DecimalValue, string> => Decimal(9, scale);
/** Decimal(18, scale). */
export const Decimal64 = (scale: number): ColumnType<DecimalValue, string> => Decimal(18, scale);
/** Decimal(38, scale). */
export const Decimal128 = (scale: number): ColumnType<DecimalValue, string> => Decimal(38, scale);
/** Decimal(76, scale). */
export const Decimal256 = (scale: number): ColumnType<DecimalValue, string> => Decimal(76, scale);

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i;

/** The value as a whole number of 10^-scale; `undefined` where it is no decimal or has more digits. */
function unitsOf(value: unknown, scale: number): bigint | undefined {
  if (typeof value === "bigint") return value * 10n ** BigInt(scale);
  if (typeof value !== "number" && typeof value !== "string") return undefined;
  const text = String(value);
  const found = text.length > 200 ? null : DECIMAL.exec(text);
  if (found === null) return undefined;
  const [sign, whole = "", fraction = "", exponent = "0"] = found.slice(1);
  if (whole + fraction === "") return undefined;
  const shift = scale - fraction.length + Number(exponent);
  const digits = `${whole}${fraction}`.replace(/^0+(?=\d)/, "");
  if (digits === "0") return 0n;
  if (digits.length + shift > 80) return undefined;
  const cut = shift < 0 ? digits.slice(shift) : "";
  const kept = shift < 0 ? digits.slice(0, shift) : digits + "0".repeat(shift);
  if (/[1-9]/.test(cut) || (kept === "" && /[1-9]/.test(digits))) return undefined;
  const units = BigInt(kept);
  return sign === "-" ? -units : units;
}

function format(units: bigint, scale: number): string {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const sign = units < 0n ? "-" : "";
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`;
}
