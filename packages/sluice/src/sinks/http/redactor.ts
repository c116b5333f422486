/**
 * Keeps secrets out of what is shown, in whichever spelling a server gives them back.
 */
import { Buffer } from "node:buffer";

/** Takes secrets out of texts. */
export interface Redactor {
  redact(text: string): string;
  /** The same for the beginning of a longer text: also drops an end that may begin a secret. */
  redactStart(text: string): string;
}

/** Shorter ones are words of any text. */
const MIN_LENGTH = 6;
const REDACTED = "[redacted]";

/**
 * A redactor of header values and of the credentials within them. Most requests succeed and show
 * nothing: the values are looked at when something is to be shown.
 */
export function createRedactor(values: readonly string[]): Redactor {
  let known: readonly Secret[] | undefined;
  const redact = (text: string, end: number): string => {
    const secrets = (known ??= readSecrets(values));
    if (secrets.length === 0) return text.slice(0, end);
    const reading = read(text);
    const ranges = secrets.flatMap(({ exact, plain }) => [
      ...placesOf(exact, text).map((at): Range => [at, at + exact.length]),
      ...placesOf(plain, reading.plain).map((at) => rangeOf(reading, at, plain.length)),
    ]);
    return replace(text, ranges, end);
  };
  const endOf = (text: string): number => {
    const secrets = (known ??= readSecrets(values));
    if (secrets.length === 0) return text.length;
    const end = Math.max(0, text.length - MAX_SPELLING);
    const start = text.slice(0, end);
    // Read with what follows, so that no spelling is cut in two: it would not be known for one.
    const { plain, starts, ends } = read(text);
    const count = ends.filter((at) => at <= end).length;
    const whole = plain.slice(0, count);
    return secrets.reduce((least, secret) => {
      const at = starts[count - overlap(whole, secret.plain)] ?? end;
      return Math.min(least, at, end - overlap(start, secret.exact));
    }, end);
  };
  return {
    redact: (text) => redact(text, text.length),
    redactStart: (text) => redact(text, endOf(text)),
  };
}

interface Secret {
  readonly exact: string;
  /** Without its spelling. */
  readonly plain: string;
}

const readSecrets = (values: readonly string[]): readonly Secret[] =>
  [...new Set(values.flatMap(secretsOf))]
    .filter((secret) => secret.length >= MIN_LENGTH)
    .map((exact) => ({ exact, plain: read(exact).plain }));

/**
 * A value and its parts that a server may show alone: what follows the scheme (RFC 9110 §11.4), each
 * parameter or cookie and its value, and what Basic (RFC 7617) encodes.
 */
function secretsOf(value: string): readonly string[] {
  const [, scheme = "", credentials = value] = /^([\w-]+) +(.+)$/s.exec(value) ?? [];
  const parts = credentials.split(/[\s,;]+/);
  const inner = parts.map((part) => part.replace(/^[^=]*=/, "").replace(/^"|"$/g, ""));
  const basic = scheme.toLowerCase() === "basic" ? decodeBasic(credentials) : [];
  return [value, credentials, ...parts, ...inner, ...basic];
}

function decodeBasic(credentials: string): readonly string[] {
  const pair = Buffer.from(credentials, "base64").toString();
  return [pair, pair.slice(pair.indexOf(":") + 1)];
}

type Range = readonly [start: number, end: number];

/** A text without its spelling, and where each character of that comes from. */
interface Reading {
  readonly plain: string;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** The longest that one character becomes: some backslashes and "u0041". */
const MAX_SPELLING = 32;

/** One character, spelt by JSON (of JSON), a URL (in a URL), HTML (in HTML), or as it is. */
const SPELLING = new RegExp(
  [
    String.raw`\\+(?:u([\da-f]{4})|[nrt])`,
    String.raw`%(?:25)*([\da-f]{2})`,
    String.raw`&(?:amp;)*(?:#(\d{1,7})|#x([\da-f]{1,6})|(amp|lt|gt|quot|apos)|[a-z]\w{1,8});`,
    ".",
  ].join("|"),
  "gisu",
);
const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

/** All beyond ASCII is one to us: a Latin-1 byte that is read as UTF-8 becomes something else. */
const FOREIGN = "\u0080";

/**
 * Reads a text as whoever undoes its escapes would. Case counts for nothing; blanks, "+" (a blank in a
 * form), backslashes and what cannot be seen are left out.
 */
function read(text: string): Reading {
  const starts: number[] = [];
  const ends: number[] = [];
  let plain = "";
  for (const match of text.matchAll(SPELLING)) {
    const character = decode(match);
    if (character === "") continue;
    const end = match.index + match[0].length;
    if (character === FOREIGN && plain.endsWith(FOREIGN)) {
      ends[ends.length - 1] = end;
      continue;
    }
    plain += character;
    starts.push(match.index);
    ends.push(end);
  }
  return { plain, starts, ends };
}

/** The character that a match of `SPELLING` stands for, in lower case; "" for one that is left out. */
function decode([spelling, json, url, decimal, hex, name]: RegExpMatchArray): string {
  const code = json ?? url ?? hex;
  let character = spelling;
  if (code !== undefined) character = fromCode(Number.parseInt(code, 16));
  else if (decimal !== undefined) character = fromCode(Number(decimal));
  else if (name !== undefined) character = NAMED[name.toLowerCase()] ?? "";
  else if (spelling.startsWith("\\")) return "";
  else if (spelling.length > 2) return FOREIGN; // another name of HTML
  if (character >= FOREIGN) return FOREIGN;
  return /[\s\p{Cc}\\+]/u.test(character) ? "" : character.toLowerCase();
}

const fromCode = (code: number): string => (code < 0x80 ? String.fromCharCode(code) : FOREIGN);

function placesOf(part: string, text: string): readonly number[] {
  const places: number[] = [];
  if (part === "") return places;
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) {
    places.push(at);
  }
  return places;
}

const rangeOf = ({ starts, ends }: Reading, at: number, length: number): Range => [
  starts[at] ?? 0,
  ends[at + length - 1] ?? 0,
];

/** How much of the end of `text` is a beginning of `secret`. */
function overlap(text: string, secret: string): number {
  let length = Math.min(text.length, secret.length);
  while (length > 0 && !text.endsWith(secret.slice(0, length))) length -= 1;
  return length;
}

/** The start of `text`, up to `end`, with what touches a range replaced. */
function replace(text: string, ranges: readonly Range[], end: number): string {
  let shown = "";
  let position = 0;
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    if (from >= end) break;
    if (from >= position) shown += text.slice(position, from) + REDACTED;
    position = Math.max(position, to);
  }
  return shown + text.slice(position, Math.max(position, end));
}
