/**
 * Every error that Sluice raises: one registry, one class. docs/errors.md is tested against it.
 */

/** The registry: code, then what happened, in one sentence. */
export const ERRORS = {
  SLUICE_ERR_OPTION_INVALID: "An option has a wrong type or lies outside its range.",
  SLUICE_ERR_OPTION_CONFLICT: "Two options contradict each other.",
  SLUICE_ERR_OPTION_UNKNOWN: "An option of this name does not exist.",
  SLUICE_ERR_ITEM_INVALID: "An item is not of the form that its shape takes.",
  SLUICE_ERR_ITEM_UNKNOWN_FIELD: "An item has a field that its shape does not know.",
  SLUICE_ERR_ITEM_TOO_LARGE: "An item could never fit into the buffer.",
  SLUICE_ERR_KEY_INVALID: "A key part is missing, not a string, or holds NUL or a lone surrogate.",
  SLUICE_ERR_KEY_TOO_LONG: "The parts of a key are longer than maxKeyBytes.",
  SLUICE_ERR_SUM_INVALID: "A sum is not a safe integer, or would stop being one.",
  SLUICE_ERR_TIME_INVALID: "A time is not a Date or epoch milliseconds within the years 1 to 9999.",
  SLUICE_ERR_VERSION_INVALID: "A version is not a time, or not a whole number, as its shape asks.",
  SLUICE_ERR_VALUE_INVALID: "A value is missing, not a scalar, or holds NUL or a lone surrogate.",
  SLUICE_ERR_VALUE_TOO_LONG: "The values of an item are longer than maxValueBytes.",
  SLUICE_ERR_PAYLOAD_INVALID: "A payload cannot be published, or is not what its decoder reads.",
  SLUICE_ERR_PUBSUB_CLOSED: "The pubsub is closed.",
  SLUICE_ERR_BATCH_INVALID: "Bytes do not decode to a batch of this shape.",
  SLUICE_ERR_BATCHER_FULL: "The buffer is full and the overflow policy refuses the item.",
  SLUICE_ERR_BATCHER_CLOSED: "The batcher is closed or closing and accepts nothing more.",
  SLUICE_ERR_ADD_INCOMPLETE: "addMany() stopped before the last item.",
  SLUICE_ERR_SINK_RETRYABLE: "The sink failed in a way that may pass; the batch is tried again.",
  SLUICE_ERR_SINK_REJECTED: "The sink refused the batch for good and applied nothing of it.",
  SLUICE_ERR_SINK_UNKNOWN:
    "The sink gave up: the batch may have been applied, and sending it again is not safe.",
  SLUICE_ERR_WRITE_TIMEOUT: "An attempt took longer than writeTimeoutMs; its outcome is not known.",
  SLUICE_ERR_DELIVERY_REJECTED: "The entry was rejected by the sink and dead-lettered.",
  SLUICE_ERR_DELIVERY_EXPIRED: "deliveryTimeoutMs passed; nothing of the batch was applied.",
  SLUICE_ERR_DELIVERY_UNKNOWN: "Delivery ended without an answer; the batch may have been applied.",
  SLUICE_ERR_DELIVERY_DROPPED: "The entry was dropped before it was written.",
  SLUICE_ERR_FLUSH_INCOMPLETE: "Something that flush() covered did not land.",
  SLUICE_ERR_FLUSH_TIMEOUT: "flush() stopped waiting; delivery goes on.",
  SLUICE_ERR_CLOSE_INCOMPLETE: "close() reached its deadline with items not known to have landed.",
  SLUICE_ERR_CALL_UNANSWERED: "No call answered the question in its time or its attempts.",
  SLUICE_ERR_CALL_WITHDRAWN: "Nobody waits for what the call would answer; it is given up.",
  SLUICE_ERR_ANSWER_MISSING: "The call was answered, and this question was not.",
  SLUICE_ERR_ANSWER_INVALID: "What resolve() returned is no set of answers to what it was asked.",
  SLUICE_ERR_STATSIG_NAME: "The name of a gate or config is not one that the flag API takes.",
  SLUICE_ERR_STATSIG_USER: "A user is not of the form that the flag API takes.",
  SLUICE_ERR_STATSIG_EVENT: "An event is not of the form that the flag API takes.",
  SLUICE_ERR_POSTGRES_IDENTIFIER: "A table, column or other name is not acceptable to PostgreSQL.",
  SLUICE_ERR_POSTGRES_OPTION: "An option of a PostgreSQL sink is wrong or contradicts another.",
  SLUICE_ERR_POSTGRES_DRIVER: "The object given is not a driver that sluice/postgres knows.",
  SLUICE_ERR_POSTGRES_VALUE: "A value cannot be stored in its column.",
  SLUICE_ERR_POSTGRES_LISTEN: "The listener cannot connect, or hears nothing of what is published.",
  SLUICE_ERR_CLICKHOUSE_IDENTIFIER:
    "A table, column or other name is not acceptable to ClickHouse.",
  SLUICE_ERR_CLICKHOUSE_OPTION: "An option of a ClickHouse sink is wrong or contradicts another.",
  SLUICE_ERR_CLICKHOUSE_TRANSPORT: "The object given is no way to a ClickHouse that sluice knows.",
  SLUICE_ERR_CLICKHOUSE_SCHEMA: "The table is not one that these rows can be written to.",
  SLUICE_ERR_CLICKHOUSE_DEDUPLICATION: "The server would not recognise a batch that is sent again.",
} as const;

/** A stable code; test errors by it, never by message. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * What the caller may do. `usage`: mend the call. `overflow`: slow down or shed. `closed`: stop.
 * `retryable`: the engine tries again. `rejected`: never lands as it is. `expired`, `dropped`: it was
 * not applied and will not be. `unknown`: it may or may not have been applied.
 */
export type Disposition =
  | "usage"
  | "overflow"
  | "closed"
  | "retryable"
  | "rejected"
  | "expired"
  | "dropped"
  | "unknown"
  | "incomplete";

/** The parts of a `SluiceError` beyond its message. */
export interface ErrorDetails {
  readonly cause?: unknown;
  /** With `retryable`: the store asks to be left alone this long, in milliseconds; 10 minutes count. */
  readonly retryAfterMs?: number | undefined;
  /**
   * With `retryable`: whether the attempt may have been applied after all. With `rejected`: whether
   * an earlier attempt that was ambiguous may have been. Default true.
   */
  readonly ambiguous?: boolean | undefined;
  /** With `rejected`: halving cannot help, the batch is refused as a whole. Default false. */
  readonly whole?: boolean | undefined;
  /** With `incomplete`: the figures of the flush or close that fell short. */
  readonly report?: unknown;
}

const BRAND = Symbol.for("sluice.error");

const DISPOSITIONS: readonly (readonly [prefix: string, disposition: Disposition])[] = [
  ["SLUICE_ERR_BATCHER_FULL", "overflow"],
  ["SLUICE_ERR_BATCHER_CLOSED", "closed"],
  ["SLUICE_ERR_PUBSUB_CLOSED", "closed"],
  ["SLUICE_ERR_SINK_RETRYABLE", "retryable"],
  ["SLUICE_ERR_WRITE_TIMEOUT", "retryable"],
  ["SLUICE_ERR_SINK_REJECTED", "rejected"],
  ["SLUICE_ERR_SINK_UNKNOWN", "unknown"],
  ["SLUICE_ERR_DELIVERY_REJECTED", "rejected"],
  ["SLUICE_ERR_DELIVERY_EXPIRED", "expired"],
  ["SLUICE_ERR_DELIVERY_UNKNOWN", "unknown"],
  ["SLUICE_ERR_DELIVERY_DROPPED", "dropped"],
  ["SLUICE_ERR_CALL_UNANSWERED", "expired"],
  ["SLUICE_ERR_CALL_WITHDRAWN", "dropped"],
  ["SLUICE_ERR_ANSWER_", "rejected"],
  ["SLUICE_ERR_ADD_", "incomplete"],
  ["SLUICE_ERR_FLUSH_", "incomplete"],
  ["SLUICE_ERR_CLOSE_", "incomplete"],
];

/** The one error class. Recognise it with `isSluiceError`, which also works across two installed copies. */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly disposition: Disposition;
  readonly retryAfterMs: number | undefined;
  readonly ambiguous: boolean;
  readonly whole: boolean;
  readonly report: unknown;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.name = "SluiceError";
    this.code = code;
    this.disposition = DISPOSITIONS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "usage";
    this.retryAfterMs = details.retryAfterMs;
    this.ambiguous = details.ambiguous ?? true;
    this.whole = details.whole ?? false;
    this.report = details.report;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Whether `error` is a `SluiceError`, from this copy of the library or another. */
export function isSluiceError(error: unknown): error is SluiceError {
  return typeof error === "object" && error !== null && BRAND in error;
}

/**
 * Thrown by a sink: this attempt failed, try the same batch again. `ambiguous: false` promises that
 * nothing was applied; it decides whether a batch that runs out of time is `expired` or `unknown`.
 */
export function retryable(message: string, details: ErrorDetails = {}): SluiceError {
  return new SluiceError("SLUICE_ERR_SINK_RETRYABLE", message, details);
}

/**
 * Thrown by a sink: this attempt applied nothing of the batch and trying it again is useless. The
 * engine halves the batch until the entries at fault stand alone, unless it is refused as a `whole`.
 * After an earlier attempt that was ambiguous the batch is not halved but `unknown`, unless
 * `ambiguous: false` promises that none was applied.
 */
export function rejected(message: string, details: ErrorDetails = {}): SluiceError {
  return new SluiceError("SLUICE_ERR_SINK_REJECTED", message, details);
}

/**
 * Thrown by a sink: the batch may have been applied, now or earlier, and sending it again is not safe.
 * It is not tried again but `unknown`.
 */
export function undecided(message: string, details: ErrorDetails = {}): SluiceError {
  return new SluiceError("SLUICE_ERR_SINK_UNKNOWN", message, details);
}

/**
 * Shows a received value in a message: quoted, typed where that helps, and never long. What may be a
 * password is covered: values are received in the wrong place, and one that belongs elsewhere may be a
 * URL with credentials, or the options of a driver.
 */
export function quote(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(clip(covered(value)));
  if (typeof value === "bigint") return `${clip(String(value))}n`;
  if (typeof value === "function") return "[function]";
  if (typeof value !== "object" || value === null) return String(value);
  try {
    if (value instanceof Date) return `Date(${String(value.getTime())})`;
    return clip(JSON.stringify(value, coveredField) ?? String(value));
  } catch {
    return "[object]"; // cyclic, a toJSON that throws, or a proxy that does not want to be seen
  }
}

const COVER = "***";
const SECRET = /password|secret|token|authorization|api.?key/i;
/** As in the query of a URL, or in a connection string, where quotes allow blanks. */
const NAMED_SECRET = /((?:password|secret|token)=)(?:'[^']*'?|[^\s&]*)/gi;

/** A text with the password of a URL, and what is named as a secret, covered. */
function covered(text: string): string {
  // A password that was not encoded may hold anything: it ends at the last @.
  const [before = ""] = /^.*?:\/\/[^\s:@/?#]*:/s.exec(text) ?? [];
  const end = text.lastIndexOf("@");
  const held = before !== "" && before.length <= end;
  const shown = held ? `${before}${COVER}${text.slice(end)}` : text;
  return shown.replace(NAMED_SECRET, `$1${COVER}`);
}

const coveredField = (name: string, value: unknown): unknown => {
  if (typeof value !== "string") return value;
  return SECRET.test(name) ? COVER : covered(value);
};

/** What went wrong, in words, whatever was thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : quote(error);

function clip(text: string): string {
  const limit = 80;
  return text.length <= limit
    ? text
    : `${text.slice(0, limit).toWellFormed()}… (${text.length} long)`;
}
