/**
 * What a failure of ClickHouse means for a batch, by its code and its message. Numbers and names are
 * those of src/Common/ErrorCodes.cpp.
 */

import { messageOf } from "../../errors.ts";

/** What a failure means. */
export interface ClickHouseFailure {
  /** `retryable`: the batch may land later as it is. `rejected`: something in it is at fault. */
  readonly outcome: "retryable" | "rejected";
  /**
   * `retryable`: whether the batch may have been applied. `rejected`: whether the refusal says nothing
   * of attempts before it; false where the same bytes can only ever have been refused.
   */
  readonly ambiguous: boolean;
  /** How long the server wants to be left alone, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** The table or the server may have changed: look at them again. */
  readonly schema: boolean;
  /**
   * `rejected`: raised before any partition is written, on any server. `retryable`: false where a table
   * that hands rows on to several others may have handed some on by then.
   */
  readonly early?: boolean | undefined;
  /** `retryable`: it fails the same way until somebody mends the server. */
  readonly lasting?: boolean | undefined;
}

const DATA: ClickHouseFailure = { outcome: "rejected", ambiguous: false, schema: false };
const EARLY: ClickHouseFailure = { ...DATA, early: true };
/** Refused this time, for a reason that need not be in the bytes themselves. */
const DATA_NOW: ClickHouseFailure = { outcome: "rejected", ambiguous: true, schema: false };
const SCHEMA: ClickHouseFailure = { outcome: "retryable", ambiguous: false, schema: true };
const NOT_APPLIED: ClickHouseFailure = { outcome: "retryable", ambiguous: false, schema: false };
/** Nobody but the one who deploys can mend it. */
const MISTAKE: ClickHouseFailure = { ...NOT_APPLIED, lasting: true };
/** Of the user, or of a server that was replaced by one of another version. */
const UNKNOWN_SETTING: ClickHouseFailure = { ...MISTAKE, schema: true };
const AMBIGUOUS: ClickHouseFailure = { outcome: "retryable", ambiguous: true, schema: false };
const TOO_MANY_PARTS: ClickHouseFailure = { ...NOT_APPLIED, early: false, retryAfterMs: 5_000 };
const BUSY: ClickHouseFailure = { ...NOT_APPLIED, retryAfterMs: 1_000 };
/** The memory of the server or the user: at what point of the insert, nothing tells. */
const OUT_OF_MEMORY: ClickHouseFailure = { ...AMBIGUOUS, retryAfterMs: 1_000 };
/** Refused before it was looked into: less may fit. */
const TOO_LARGE: ClickHouseFailure = { ...EARLY, ambiguous: true };

interface Code {
  readonly name: string;
  readonly failure: ClickHouseFailure;
  /** The same code with this in its message means something else. */
  readonly unless?: readonly (readonly [pattern: RegExp, failure: ClickHouseFailure])[];
}

const table = (
  failure: ClickHouseFailure,
  codes: Readonly<Record<number, string>>,
): readonly (readonly [number, Code])[] =>
  Object.entries(codes).map(([code, name]) => [Number(code), { name, failure }]);

/** Codes that are not here are ambiguous. */
const CODES: ReadonlyMap<number, Code> = new Map([
  // Raised while the one block of a batch is parsed, checked or sorted. In a table of several
  // partitions the first of them may be written by then, unless the server holds them back.
  ...table(DATA, {
    6: "CANNOT_PARSE_TEXT",
    19: "SIZE_OF_FIXED_STRING_DOESNT_MATCH",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    128: "TOO_LARGE_ARRAY_SIZE",
    130: "CANNOT_READ_ARRAY_FROM_TEXT",
    131: "TOO_LARGE_STRING_SIZE",
    190: "SIZES_OF_ARRAYS_DONT_MATCH",
    248: "INVALID_PARTITION_VALUE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    366: "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT",
    376: "CANNOT_PARSE_UUID",
    407: "DECIMAL_OVERFLOW",
    441: "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING",
    467: "CANNOT_PARSE_BOOL",
    395: "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
    632: "UNEXPECTED_DATA_AFTER_PARSED_VALUE",
    675: "CANNOT_PARSE_IPV4",
    676: "CANNOT_PARSE_IPV6",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
  }),
  ...table(EARLY, { 469: "VIOLATED_CONSTRAINT" }),
  // The bytes end too early: as they are, or cut off on their way.
  ...table(DATA_NOW, {
    3: "UNEXPECTED_END_OF_FILE",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
  }),
  // The table is not what it was.
  ...table(SCHEMA, {
    8: "THERE_IS_NO_COLUMN",
    10: "NOT_FOUND_COLUMN_IN_BLOCK",
    15: "DUPLICATE_COLUMN",
    16: "NO_SUCH_COLUMN_IN_TABLE",
    20: "NUMBER_OF_COLUMNS_DOESNT_MATCH",
    44: "ILLEGAL_COLUMN",
    47: "UNKNOWN_IDENTIFIER",
    50: "UNKNOWN_TYPE",
    53: "TYPE_MISMATCH",
    60: "UNKNOWN_TABLE",
    81: "UNKNOWN_DATABASE",
    218: "TABLE_IS_DROPPED",
  }),
  ...table(MISTAKE, { 62: "SYNTAX_ERROR" }),
  ...table(UNKNOWN_SETTING, { 115: "UNKNOWN_SETTING" }),
  // Refused at the door.
  ...table(NOT_APPLIED, {
    73: "UNKNOWN_FORMAT",
    164: "READONLY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    195: "IP_ADDRESS_NOT_ALLOWED",
    291: "DATABASE_ACCESS_DENIED",
    373: "SESSION_IS_LOCKED",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
  }),
  ...table(BUSY, {
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    745: "SERVER_OVERLOADED",
  }),
  [
    117,
    {
      name: "INCORRECT_DATA",
      failure: DATA,
      // The header and the table: "Type of 'a' must be UInt64, not UInt32". A refusal of a JSON column
      // shows the row's own words.
      unless: [[/^(?:Type of '|(?:Unknown|Duplicate) field found )/, SCHEMA]],
    },
  ],
  [
    201,
    {
      name: "QUOTA_EXCEEDED",
      failure: AMBIGUOUS,
      // Queries are counted at the door, rows and bytes as they are written.
      unless: [[/exceeded: (?:queries|query_inserts|errors) = |Total queries/, NOT_APPLIED]],
    },
  ],
  [
    252,
    {
      name: "TOO_MANY_PARTS",
      failure: TOO_MANY_PARTS, // the server merges too slowly: trying again at once makes it slower
      unless: [[/Too many partitions for single INSERT block/i, TOO_LARGE]],
    },
  ],
  [
    241,
    {
      name: "MEMORY_LIMIT_EXCEEDED",
      failure: OUT_OF_MEMORY,
      // "Query memory limit exceeded", "Memory limit (for query) exceeded": half of it may fit.
      unless: [[/query memory limit|memory limit \(for query\)/i, DATA_NOW]],
    },
  ],
]);

/** Failures to connect: the server has not seen the batch. */
const NOT_CONNECTED: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** The certificate is not accepted: no request was sent. */
const NOT_TRUSTED = /^(?:CERT_|DEPTH_ZERO_|SELF_SIGNED|UNABLE_TO_|ERR_TLS_CERT_)/;

/** What a server says before its own words, once or twice. */
const PREFIX =
  /^(?:\s*(?:Code|Error): \d+[.,](?: e\.displayText\(\) =)? (?:DB::)?(?:\w*Exception): )+/;

/** Classifies what a transport threw. */
export function classifyClickHouse(error: unknown): ClickHouseFailure {
  const code = serverCode(error);
  if (code === undefined) {
    if (neverConnected(error, 0)) return NOT_APPLIED;
    return property(error, "status") === 413 ? TOO_LARGE : AMBIGUOUS; // a proxy's limit
  }
  const known = CODES.get(code);
  if (known === undefined) return AMBIGUOUS;
  const text = messageOf(error).replace(PREFIX, "");
  // The table itself may have the rows by then, or other servers that they were handed on to.
  const isLate = isOfView(text) || text.startsWith("Received from ");
  if (isLate) return { ...AMBIGUOUS, lasting: known.failure.outcome === "rejected" };
  const failure = known.unless?.find(([pattern]) => pattern.test(text))?.[1] ?? known.failure;
  const cut = failure.outcome === "rejected" && isCut(error, known.name);
  return cut ? AMBIGUOUS : failure;
}

/**
 * Whether a view failed. A row's own words may say so too, but never at the end: behind them comes a quote,
 * or which row it was. Behind the view's name comes nothing but "(version …)" and the like.
 */
function isOfView(text: string): boolean {
  const phrase = ": while pushing to view ";
  const at = text.lastIndexOf(phrase); // once, however often a row says it
  return at >= 0 && VIEW.test(text.slice(at + phrase.length, at + 10_000));
}

const VIEW = /^(?:`(?:[^`\\]|\\.)*`|[^`'"(]|\((?!at row))*$/s;

/** The code of an error that a server answered with; `undefined` if it was no server's answer. */
export function serverCode(error: unknown): number | undefined {
  const ofChdb = property(error, "clickhouseCode");
  if (typeof ofChdb === "number") return ofChdb;
  const code = property(error, "code"); // a number is the browser's: an AbortError has 20
  if (typeof code === "string" && /^\d{1,4}$/.test(code)) return Number(code);
  // "Error: 407 …" alone is a proxy's.
  const match = /^\s*(?:Code: |Error: (?=.*DB::))(\d{1,4})\b/s.exec(messageOf(error));
  return match === null ? undefined : Number(match[1]);
}

/**
 * Whether the driver cut the message off. The official client ends it at the first capitals in
 * brackets, which should be the error's name but may be a value; what came behind is not known.
 */
function isCut(error: unknown, name: string): boolean {
  const type = property(error, "type");
  return typeof type === "string" && type !== name;
}

/**
 * Whether it was the connection that failed, in whichever layer, and nothing but that. A host may also become
 * unreachable while an answer is read.
 */
function neverConnected(error: unknown, depth: number): boolean {
  if (depth > 5) return false;
  const code = property(error, "code");
  if (typeof code === "string" && (NOT_CONNECTED.has(code) || NOT_TRUSTED.test(code))) {
    return !/^(?:read|write)/.test(String(property(error, "syscall")));
  }
  const errors = property(error, "errors");
  if (Array.isArray(errors) && errors.length > 0) {
    return errors.every((one) => neverConnected(one, depth + 1));
  }
  const cause = property(error, "cause");
  return cause !== undefined && neverConnected(cause, depth + 1);
}

const property = (error: unknown, name: string): unknown =>
  typeof error === "object" && error !== null && name in error
    ? (error as Readonly<Record<string, unknown>>)[name]
    : undefined;
