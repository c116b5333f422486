const DATE = /^(\d{2})\/([A-Za-z]{3})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2}):?(\d{2})$/;
const MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split(" ");
const MINUTE_MS = 60_000;

/**
 * The date of an access log, such as `17/May/2015:10:05:03 +0200`, in milliseconds since the
 * epoch; undefined where no calendar has it. A leap second counts as the second after it.
 */
export function parseLogDate(text: string): number | undefined {
  const match = DATE.exec(text);
  if (match === null) return undefined;
  const field = (index: number): number => Number(match[index]);
  const [day, year, hour, minute, second] = [field(1), field(3), field(4), field(5), field(6)];
  const month = MONTHS.indexOf((match[2] ?? "").toLowerCase());
  const [zoneHour, zoneMinute] = [field(8), field(9)];

  if (month < 0 || year < 1970 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60 || zoneHour > 23 || zoneMinute > 59) return undefined;

  const offset = (zoneHour * 60 + zoneMinute) * MINUTE_MS * (match[7] === "-" ? -1 : 1);
  return Date.UTC(year, month, day, hour, minute, second) - offset;
}

function daysIn(year: number, month: number): number {
  // Day 0 of a month is the last day of the month before it.
  return new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
}
