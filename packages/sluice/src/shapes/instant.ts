/**
 * Reading instants out of text and out of what may be a `Date`.
 */

/** The years 1 to 9999, in epoch milliseconds: what ISO 8601 writes in four digits and stores read. */
export const MIN_TIME = -62_135_596_800_000;
export const MAX_TIME = 253_402_300_799_999;

/** The milliseconds of a Date; `undefined` of an invalid one, and of all that only looks like one. */
export function millisOf(value: unknown): number | undefined {
  if (!(value instanceof Date)) return undefined;
  try {
    const time = value.getTime();
    return Number.isNaN(time) ? undefined : time;
  } catch {
    return undefined;
  }
}

const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d{2})(?::?(\d{2}))?)?)?$/;

/** A moment that a text tells. */
export interface Moment {
  /** Unix seconds, rounded down. */
  readonly seconds: number;
  /** 0 to 999,999,999. */
  readonly nanos: number;
  /** Whether the text gives a time of day. */
  readonly timed: boolean;
}

/** Reads ISO 8601 to the nanosecond, in UTC where it names no zone; `undefined` where there is no such day or time. */
export function parseIso(text: string): Moment | undefined {
  const found = ISO.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const [fraction = "", sign, zoneHours, zoneMinutes] = found.slice(7);
  const date = new Date(0);
  date.setUTCFullYear(year ?? 0, (month ?? 0) - 1, day);
  const isDay = date.getUTCMonth() + 1 === month && date.getUTCDate() === day;
  const isTime = (hour ?? 0) < 24 && (minute ?? 0) < 60 && (second ?? 0) < 60;
  const offset = Number(zoneHours ?? 0) * 3_600 + Number(zoneMinutes ?? 0) * 60;
  if (!isDay || !isTime || offset > 50_400 || Number(zoneMinutes ?? 0) > 59) return undefined;
  const ofDay = (hour ?? 0) * 3_600 + (minute ?? 0) * 60 + (second ?? 0);
  return {
    seconds: date.getTime() / 1_000 + ofDay - (sign === "-" ? -offset : offset),
    nanos: Number(fraction.padEnd(9, "0")),
    timed: found[4] !== undefined,
  };
}
