/**
 * Arrays as PostgreSQL reads them in text form. One text per column whatever the number of rows, so
 * that a batch never nears the limit of 65,535 parameters, and the same bytes with every driver.
 */

/** An array of text: every element quoted, `null` as NULL. */
export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : quoted(value))).join(",")}}`;
}

/** An array of whole numbers. */
export function numberArray(values: readonly number[]): string {
  return `{${values.join(",")}}`;
}

/** An array of times, from epoch milliseconds. */
export function timeArray(values: readonly (number | null)[]): string {
  const times = values.map((value) => (value === null ? "NULL" : new Date(value).toISOString()));
  return `{${times.join(",")}}`;
}

/** Most values need no escapes, and looking is cheaper than replacing. */
const quoted = (value: string): string =>
  `"${/["\\]/.test(value) ? value.replaceAll(/["\\]/g, "\\$&") : value}"`;
