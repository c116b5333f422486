/**
 * Days and instants. Everything is UTC: a column's time zone only concerns how the server prints it.
 */
import { invalidOption } from "../../core/validate.ts";
import { millisOf, type Moment, parseIso } from "../instant.ts";
import { type ColumnType, fixed } from "./column-type.ts";
import { putSafe } from "./numbers.ts";

const DAY_MS = 86_400_000;
/** 1900-01-01 and 2299-12-31, the bounds of Date32 and DateTime64 in ClickHouse's documentation. */
const FIRST_DAY = -25_567;
const LAST_DAY = 120_529;

/** An instant: a Date, Unix seconds, or ISO 8601 text, which means UTC where it names no zone. */
export type Instant = Date | number | string;

/** Days since 1970-01-01 of a Date or of "YYYY-MM-DD". */
function dayOf(value: unknown): number | undefined {
  const millis = millisOf(value);
  if (millis !== undefined) return Math.floor(millis / DAY_MS);
  const moment = typeof value === "string" ? parseIso(value) : undefined;
  return moment === undefined || moment.timed ? undefined : moment.seconds / 86_400;
}

/** Unix seconds and nanoseconds of an instant. */
function momentOf(value: unknown): Omit<Moment, "timed"> | undefined {
  if (typeof value === "string") return parseIso(value);
  const millis = millisOf(value);
  if (millis !== undefined) {
    const seconds = Math.floor(millis / 1_000);
    return { seconds, nanos: (millis - seconds * 1_000) * 1_000_000 };
  }
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  const seconds = Math.floor(value);
  // To the microsecond: what a double of today's seconds tells apart.
  return { seconds, nanos: Math.min(Math.round((value - seconds) * 1e6), 999_999) * 1_000 };
}

const isoDay = (days: number): string => new Date(days * DAY_MS).toISOString().slice(0, 10);

function day(type: "Date" | "Date32"): ColumnType<Date | string, string> {
  const bytes = type === "Date" ? 2 : 4;
  const kind = type === "Date" ? "Uint16" : "Int32";
  const [first, last] = type === "Date" ? [0, 65_535] : [FIRST_DAY, LAST_DAY];
  return fixed<Date | string, string>({
    type,
    bytes,
    takes: `a day from ${isoDay(first)} to ${isoDay(last)}: "YYYY-MM-DD", or a Date, whose day in UTC counts`,
    store: (view, at, value) => {
      const days = dayOf(value);
      if (days === undefined || days < first || days > last) return false;
      view[`set${kind}`](at, days, true);
      return true;
    },
    load: (view, at) => isoDay(view[`get${kind}`](at, true)),
  });
}

/** "YYYY-MM-DD" or a Date, whose day in UTC counts; 1970-01-01 to 2149-06-06. Decoded as text. */
const DateType: ColumnType<Date | string, string> = day("Date");
export { DateType as Date };
/** As Date; 1900-01-01 to 2299-12-31. */
export const Date32: ColumnType<Date | string, string> = day("Date32");

/**
 * To the second, from 1970-01-01 00:00:00 to 2106-02-07 06:28:15 UTC. Takes a Date or ISO text, whose
 * fraction of a second is cut off, or whole Unix seconds. Decoded as a Date.
 */
export const DateTime: ColumnType<Instant, Date> = fixed<Instant, Date>({
  type: "DateTime",
  bytes: 4,
  takes:
    "an instant from 1970-01-01 to 2106-02-07 06:28:15 UTC: a Date, whole Unix seconds, or ISO 8601 text",
  store: (view, at, value) => {
    if (typeof value === "number" && !Number.isInteger(value)) return false;
    const seconds = momentOf(value)?.seconds;
    if (seconds === undefined || seconds < 0 || seconds > 0xffffffff) return false;
    view.setUint32(at, seconds, true);
    return true;
  },
  load: (view, at) => new Date(view.getUint32(at, true) * 1_000),
  fast: [
    (v) =>
      `(x = ${v} instanceof Date ? Math.floor(${v}.getTime() / 1000) : ${v}, typeof x === "number" && x >>> 0 === x)`,
    () => "d.setUint32(p, x, true);",
  ],
});

/**
 * To 10^-precision seconds, 0 to 9 digits; from 1900-01-01 to the end of 2299, with 9 digits to
 * 2262-04-11 23:47:16. Takes a Date, Unix seconds (a number, which tells microseconds apart and no
 * more), ISO text to the nanosecond, or a bigint: ticks of the column. Digits beyond the precision
 * are cut off. Decoded as a Date up to 3 digits, as ticks beyond. `timeZone` is for `createTable`.
 */
export function DateTime64<Precision extends number>(
  precision: Precision,
  timeZone?: string,
): ColumnType<Instant | bigint, Precision extends 0 | 1 | 2 | 3 ? Date : bigint> {
  if (!Number.isInteger(precision) || precision < 0 || precision > 9) {
    throw invalidOption("DateTime64: precision", "a whole number from 0 to 9", precision);
  }
  const isZone = typeof timeZone === "string" && /^[\w+/-]{1,64}$/.test(timeZone);
  if (timeZone !== undefined && !isZone) {
    throw invalidOption("DateTime64: timeZone", "the name of a time zone", timeZone);
  }
  type Out = Precision extends 0 | 1 | 2 | 3 ? Date : bigint;
  const perSecond = 10n ** BigInt(precision);
  const first = BigInt(FIRST_DAY) * 86_400n * perSecond;
  const end = BigInt(LAST_DAY + 1) * 86_400n * perSecond;
  const last = end - 1n > 2n ** 63n - 1n ? 2n ** 63n - 1n : end - 1n;
  const fromMillis = 10 ** (precision - 3);
  return fixed<Instant | bigint, Out>({
    type: `DateTime64(${precision}${timeZone === undefined ? "" : `, '${timeZone}'`})`,
    bytes: 8,
    takes:
      `an instant from 1900-01-01 to ${precision === 9 ? "2262-04-11" : "2299-12-31"}: ` +
      "a Date, Unix seconds, ISO 8601 text, or ticks as a bigint",
    store: (view, at, value) => {
      const ticks = typeof value === "bigint" ? value : ticksOf(value, perSecond);
      if (ticks === undefined || ticks < first || ticks > last) return false;
      view.setBigInt64(at, ticks, true);
      return true;
    },
    load: (view, at) => {
      const ticks = view.getBigInt64(at, true);
      return (precision > 3 ? ticks : new Date(Number(ticks) / fromMillis)) as Out;
    },
    fast:
      precision === 3
        ? [
            (v) =>
              `${v} instanceof Date && (x = ${v}.getTime()) >= ${FIRST_DAY * DAY_MS} && x < ${(LAST_DAY + 1) * DAY_MS}`,
            () => putSafe("x"),
          ]
        : undefined,
  });
}

function ticksOf(value: unknown, perSecond: bigint): bigint | undefined {
  const moment = momentOf(value);
  if (moment === undefined || !Number.isSafeInteger(moment.seconds)) return undefined;
  return BigInt(moment.seconds) * perSecond + (BigInt(moment.nanos) * perSecond) / 1_000_000_000n;
}
