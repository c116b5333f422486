import { parseLogDate } from "./log-date.ts";
import type { ParsedLine } from "./request.ts";

/** No DNS name is longer, and every database can index it. */
const MAX_HOST_BYTES = 255;

// The user field may hold spaces and brackets, so the date is found by its own form.
const DATE_AND_QUOTE = / \[(\d\d\/[A-Za-z]{3}\/\d{4}:[\d:]{8} [+-][\d:]{4,5})\] "/;
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
const PROTOCOL = /^HTTP\/\d(?:\.\d+)?$/i;
const PATH_OR_URL = /^(?:\/|[a-z][a-z0-9+.-]*:\/\/)/i;
const STATUS_AND_BYTES = /^ (\d{3}) (\d{1,15}|-)(?: |$)/;
/** Stores keep seconds in 32 bits, and no log is from after 2106-02-07 06:28:15 UTC. */
const END_OF_TIME_MS = 2 ** 32 * 1_000;

/**
 * Reads one line of a common or combined access log (no line ending). No referrer or user agent
 * makes a line malformed: they may hold anything, be missing, or be cut off.
 */
export function parseLine(line: string): ParsedLine {
  if (line.includes("\0")) return { malformed: "holds a NUL" };

  const hostEnd = line.indexOf(" ");
  if (hostEnd <= 0) return { malformed: "does not start with a host" };
  const client = line.slice(0, hostEnd);
  if (Buffer.byteLength(client) > MAX_HOST_BYTES) {
    return { malformed: `has a host of more than ${MAX_HOST_BYTES} bytes` };
  }

  const afterHost = line.slice(hostEnd);
  const date = DATE_AND_QUOTE.exec(afterHost);
  if (date === null) return { malformed: "has no [date] before a quoted request" };
  if (!/^ \S+ \S/.test(afterHost.slice(0, date.index))) {
    return { malformed: "lacks the identity or the user field" };
  }
  const at = parseLogDate(date[1] ?? "");
  if (at === undefined) return { malformed: "has a date that does not exist" };
  if (at < 0 || at >= END_OF_TIME_MS) return { malformed: "has a date outside 1970 to 2106" };

  const quoted = afterHost.slice(date.index + date[0].length);
  const requestEnd = closingQuote(quoted);
  if (requestEnd < 0) return { malformed: "has a request without a closing quote" };
  const request = parseRequest(unescape(quoted.slice(0, requestEnd)));
  if (request === undefined) return { malformed: "has a request that is not HTTP" };

  const figures = STATUS_AND_BYTES.exec(quoted.slice(requestEnd + 1));
  if (figures === null) return { malformed: "has no status and byte count" };
  const status = Number(figures[1]);
  if (status < 100 || status > 599) return { malformed: "has a status outside 100 to 599" };

  const bytes = figures[2] === "-" ? 0 : Number(figures[2]);
  const [referrer, rest] = takeQuoted(quoted.slice(requestEnd + 1 + figures[0].length));
  const [userAgent] = takeQuoted(rest.replace(/^ /, ""));
  return { request: { client, at, status, ...request, bytes, referrer, userAgent } };
}

/** A quoted field at the start of a text, and what follows it; `-` and no field at all are empty. */
function takeQuoted(text: string): readonly [field: string, rest: string] {
  if (!text.startsWith('"')) return ["", ""];
  const quoted = text.slice(1);
  const end = closingQuote(quoted);
  const field = end < 0 ? quoted : quoted.slice(0, end);
  return [field === "-" ? "" : unescape(field), end < 0 ? "" : quoted.slice(end + 1)];
}

function closingQuote(text: string): number {
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index];
    if (char === '"') return index;
    // A backslash takes the next character with it, so `\\"` closes and `\"` does not.
    if (char === "\\") index += 1;
  }
  return -1;
}

function unescape(text: string): string {
  return text.replace(/\\(["\\])/g, "$1");
}

function parseRequest(text: string): { method: string; target: string } | undefined {
  const methodEnd = text.indexOf(" ");
  if (methodEnd < 0) return undefined;
  const method = text.slice(0, methodEnd);
  if (!METHOD.test(method)) return undefined;

  const rest = text.slice(methodEnd + 1);
  const targetEnd = rest.lastIndexOf(" ");
  if (PROTOCOL.test(rest.slice(targetEnd + 1))) {
    const target = rest.slice(0, Math.max(targetEnd, 0)).trim();
    return target === "" ? undefined : { method, target };
  }
  // HTTP/0.9 names no protocol. Only a path or a URL tells such a request from garbage.
  return PATH_OR_URL.test(rest) ? { method, target: rest } : undefined;
}
