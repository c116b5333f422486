/**
 * Checks of options and arguments. All throw usage errors that quote the value received.
 */
import { MAX_TIMER_MS } from "../clock.ts";
import { quote, SluiceError } from "../errors.ts";

/** Refuses names in `options` that are not in `known`. */
export function refuseUnknown(
  options: object,
  known: readonly string[],
  prefix: string = "",
): void {
  checkObject(prefix.endsWith(".") ? prefix.slice(0, -1) : `${prefix}the options`, options);
  const unknown = Object.keys(options).find((option) => !known.includes(option));
  if (unknown === undefined) return;
  throw new SluiceError(
    "SLUICE_ERR_OPTION_UNKNOWN",
    `there is no option ${quote(prefix + unknown)}; there are ${known.join(", ")}`,
  );
}

/** Refuses what is no object, or a list. */
export function checkObject(what: string, value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw invalidOption(what, "an object", value);
}

/** The options of a call, checked: none given is none stated. */
export function callOptions<Options extends object>(
  call: string,
  options: Options | undefined,
  known: readonly (keyof Options & string)[],
): Partial<Options> {
  if (options === undefined) return {};
  if (options instanceof AbortSignal) {
    throw invalidOption(`${call}: the options`, "an object, such as { signal }", "an AbortSignal");
  }
  refuseUnknown(options, known, `${call}: `);
  return options;
}

/** Checks the `timeoutMs` of a call. */
export function checkTimeout(value: unknown, fallback: number): number {
  return duration("timeoutMs", value, fallback, 0, Infinity);
}

/** A default that gives way to a stated limit, which is checked in its own place. */
export const atMost = (stated: unknown, fallback: number): number =>
  typeof stated === "number" ? Math.min(stated, fallback) : fallback;

/** The same for a limit from below. */
export const atLeast = (stated: unknown, fallback: number): number =>
  typeof stated === "number" ? Math.max(stated, fallback) : fallback;

/** A whole number, or the default. */
export function count(
  option: string,
  value: unknown,
  fallback: number,
  most: number = 2 ** 40,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > most) {
    throw invalidOption(option, `a whole number from 1 to ${most}`, value);
  }
  return value;
}

/** Milliseconds, or the default. */
export function duration(
  option: string,
  value: unknown,
  fallback: number,
  least: number,
  most: number = MAX_TIMER_MS,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number" || !(value >= least && value <= most)) {
    throw invalidOption(option, `milliseconds from ${least} to ${most}`, value);
  }
  return value;
}

/** Refuses a word that is none of those that the option knows. */
export function checkOneOf(option: string, value: unknown, known: readonly string[]): void {
  if (known.some((word) => word === value)) return;
  throw invalidOption(option, `one of ${known.map(quote).join(", ")}`, value);
}

/** Refuses two options of which one must not be above the other. */
export function refuseAbove(low: string, lowValue: number, high: string, highValue: number): void {
  if (lowValue <= highValue) return;
  throw new SluiceError(
    "SLUICE_ERR_OPTION_CONFLICT",
    `${low} (${lowValue}) must not be above ${high} (${highValue})`,
  );
}

/** The refusal of an option's value. */
export function invalidOption(option: string, expected: string, received: unknown): SluiceError {
  return new SluiceError(
    "SLUICE_ERR_OPTION_INVALID",
    `${option} must be ${expected}; received ${quote(received)}`,
  );
}
