/**
 * Retry-After, RFC 9110 §10.2.3: whole seconds, or a date in one of the three forms of §5.6.7.
 */

const TIME = "\\d{2}:\\d{2}:\\d{2}";
const MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
// `Date.parse` alone would take "try 5 times" for a day in May.
const WITH_ZONE = new RegExp(
  `^[A-Z][a-z]+, \\d{2}(?: ${MONTH} \\d{4}|-${MONTH}-\\d{2}) ${TIME} GMT$`,
);
const ASCTIME = new RegExp(`^[A-Z][a-z]{2} ${MONTH} [ \\d]\\d ${TIME} \\d{4}$`);

/** How long to wait, from 0 to `maxMs`; undefined without a header, or with one of no known form. */
export function retryAfterMs(
  header: string | null,
  epochMs: number,
  maxMs: number,
): number | undefined {
  if (header === null) return undefined;
  const ms = /^-?\d+$/.test(header) ? Number(header) * 1_000 : dateMs(header) - epochMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maxMs);
}

function dateMs(text: string): number {
  if (WITH_ZONE.test(text)) return Date.parse(text);
  return ASCTIME.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;
}
