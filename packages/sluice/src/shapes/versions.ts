/**
 * Versions, by which `latest` tells newer from older: whole numbers of 64 bits, however they are
 * written. A time counts as its microseconds since the Unix epoch, which is what PostgreSQL keeps.
 */
import { MAX_TIME, millisOf, MIN_TIME, parseIso } from "./instant.ts";

/** What a version is: a time to the microsecond, or a whole number. */
export type VersionType = "time" | "number";

/**
 * A version as items have it. A time: a `Date`, epoch milliseconds (fractions count to the microsecond),
 * ISO 8601 text, in UTC where it names no zone (digits beyond the microsecond are cut off), or epoch
 * microseconds as a bigint; within the years 1 to 9999. A number: a safe integer, or a bigint of 64 bits.
 */
export type Version = Date | number | string | bigint;

const MIN_MICROS = BigInt(MIN_TIME) * 1_000n;
const MAX_MICROS = BigInt(MAX_TIME) * 1_000n + 999n;

/** What each type takes, for messages. */
export const VERSION_TAKES: Readonly<Record<VersionType, string>> = {
  time: "a time within the years 1 to 9999: a Date, epoch milliseconds, ISO 8601 text, or epoch microseconds as a bigint",
  number: "a whole number: within ±(2^53 - 1), or a bigint of 64 bits",
};

/** Reads a version; `undefined` where it is none. */
export function readVersion(type: VersionType, value: unknown): bigint | undefined {
  if (type === "number") {
    if (typeof value === "bigint") return BigInt.asIntN(64, value) === value ? value : undefined;
    return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
  }
  const micros = microsOf(value);
  return micros !== undefined && micros >= MIN_MICROS && micros <= MAX_MICROS ? micros : undefined;
}

function microsOf(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value === "string") {
    const moment = parseIso(value);
    if (moment === undefined) return undefined;
    return BigInt(moment.seconds) * 1_000_000n + BigInt(Math.floor(moment.nanos / 1_000));
  }
  const millis = typeof value === "number" ? value : millisOf(value);
  if (millis === undefined || !Number.isFinite(millis)) return undefined;
  const whole = Math.floor(millis);
  return BigInt(whole) * 1_000n + BigInt(Math.round((millis - whole) * 1_000));
}

/** Writes a version the way stores read it: ISO 8601 with six digits of a second, or digits. */
export function writeVersion(type: VersionType, version: bigint): string {
  if (type === "number") return version.toString();
  const micros = (version - MIN_MICROS) % 1_000n; // the remainder of no negative number
  const millis = Number((version - micros) / 1_000n);
  return new Date(millis).toISOString().replace("Z", `${micros.toString().padStart(3, "0")}Z`);
}

/** A version as a reader of single entries wants it: ISO 8601, a number, or a bigint beyond ±2^53. */
export function showVersion(type: VersionType, version: bigint): string | number | bigint {
  if (type === "time") return writeVersion(type, version);
  const number = Number(version);
  return Number.isSafeInteger(number) ? number : version;
}
