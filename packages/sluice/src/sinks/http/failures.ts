/**
 * What the end of a request means for a batch.
 */
import { messageOf, rejected, retryable, type SluiceError } from "../../errors.ts";
import { excerpt } from "./excerpt.ts";
import type { FetchResponse } from "./fetch.ts";
import { HttpError } from "./http-error.ts";
import type { Redactor } from "./redactor.ts";
import type { ResponseBody } from "./response-body.ts";

/** A request as its errors name it. */
export interface RequestIdentity {
  readonly method: string;
  /** Origin and path. */
  readonly url: string;
  readonly redactor: Redactor;
}

interface Facts {
  readonly status?: number;
  readonly code?: string | undefined;
  readonly body?: string;
}

/** Statuses that pass, besides 5xx: a request timeout, too early, too many requests. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** Statuses that may be the fault of some entries, or of their number. */
const OF_ENTRIES: ReadonlySet<number> = new Set([400, 409, 413, 414, 422]);

/** Failures to connect: the server has not seen the request. */
const NOT_CONNECTED: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);

/** No answer came: `fault` is what `fetch` threw. */
export function unanswered(request: RequestIdentity, fault: unknown): SluiceError {
  const { message, codes } = explain(fault);
  const text = `failed: ${excerpt(message, request.redactor)}`;
  const ambiguous = codes.length === 0 || !codes.every((code) => NOT_CONNECTED.has(code));
  const cause = failure(request, text, { code: codes[0] });
  return retryable(cause.message, { cause, ambiguous });
}

/** The answer began and broke off, or cannot be decompressed. */
export function brokenOff(
  request: RequestIdentity,
  status: number,
  { bytes, fault }: ResponseBody,
): SluiceError {
  const { message, codes } = explain(fault);
  const code = codes[0];
  const why = excerpt(message, request.redactor);
  // zlib's data errors: the body is not what its content-encoding says, and no more JSON than HTML is.
  if (code?.startsWith("Z_") === true) {
    const text = `answered ${status} with a body that cannot be decompressed: ${why}`;
    const cause = failure(request, text, { status, code });
    return rejected(cause.message, { cause, whole: true });
  }
  const text = `answered ${status} and broke off after ${bytes.length} bytes: ${why}`;
  const cause = failure(request, text, { status, code });
  return retryable(cause.message, { cause });
}

/** The answer has a status other than 2xx. */
export function refused(
  request: RequestIdentity,
  response: FetchResponse,
  answer: ResponseBody,
  retryAfterMs: number | undefined,
): SluiceError {
  const { status } = response;
  const body = excerptOf(answer, request.redactor);
  const cause = failure(request, `answered ${status}${describe(response, body)}`, { status, body });
  if (PASSING.has(status) || (status >= 500 && status <= 599)) {
    // 503 too may come from something between that gave up on a server which did not.
    return retryable(cause.message, { cause, retryAfterMs, ambiguous: status !== 429 });
  }
  return rejected(cause.message, { cause, whole: !OF_ENTRIES.has(status) });
}

/**
 * The answer is a success in words that are not JSON. Final: the server did what it was asked to, and
 * would do it again; or it was no API that answered but a sign-in page or a proxy, at an address that
 * somebody has to put right. Neither passes by itself.
 */
export function notJson(
  request: RequestIdentity,
  response: FetchResponse,
  answer: ResponseBody,
): SluiceError {
  const { status } = response;
  const body = excerptOf(answer, request.redactor);
  const text = `answered ${status}, but not in JSON${describe(response, body)}`;
  const cause = failure(request, text, { status, body });
  return rejected(cause.message, { cause, whole: true });
}

/** The answer is a success that is larger than may be read; a smaller batch may have a smaller one. */
export function tooLarge(request: RequestIdentity, status: number, maxBytes: number): SluiceError {
  const text = `answered ${status} with more than ${maxBytes} bytes (maxResponseBytes)`;
  const cause = failure(request, text, { status });
  return rejected(cause.message, { cause, whole: false });
}

/** The body of the request has no form in JSON: nothing was sent. */
export function unserializable(request: RequestIdentity, fault: unknown): SluiceError {
  const why = excerpt(messageOf(fault), request.redactor);
  const cause = failure(request, `was not sent, its body is not JSON: ${why}`, {});
  return rejected(cause.message, { cause, whole: true, ambiguous: false });
}

function failure(
  { method, url, redactor }: RequestIdentity,
  text: string,
  facts: Facts,
): HttpError {
  const { redact } = redactor;
  const code = facts.code === undefined ? undefined : redact(facts.code);
  const safe = { ...facts, method: redact(method), url: redact(url), code };
  return new HttpError(redact(`${method} ${url} ${text}`), safe);
}

/** Decodes leniently, without a character that the end of what was read cuts in two. */
const excerptOf = ({ bytes, ended }: ResponseBody, redactor: Redactor): string =>
  excerpt(new TextDecoder().decode(bytes, { stream: true }), redactor, ended !== "whole");

function describe({ status, headers }: FetchResponse, body: string): string {
  const redirect = status >= 300 && status <= 399 ? " (redirects are not followed)" : "";
  if (body === "") return `${redirect}, with no text`;
  const isHtml =
    /^(?:text\/html|application\/xhtml)/i.test(headers.get("content-type") ?? "") ||
    /^<(?:!doctype html|html)/i.test(body);
  return `${redirect}${isHtml ? " with HTML" : ""}: ${body}`;
}

interface Explanation {
  readonly message: string;
  /** Of everything that failed: several, where several addresses were tried. */
  readonly codes: readonly string[];
}

/** The innermost causes: `fetch` itself says no more than "fetch failed" or "terminated". */
function explain(fault: unknown, depth: number = 0): Explanation {
  const errors = depth > 5 ? undefined : property(fault, "errors");
  if (Array.isArray(errors) && errors.length > 0) {
    const all = errors.map((error: unknown) => explain(error, depth + 1));
    // One without a code counts as one of its own kind: it may have reached the server.
    const codes = all.flatMap((one) => (one.codes.length === 0 ? [""] : one.codes));
    return { message: all.map(({ message }) => message).join("; "), codes };
  }
  const cause = depth > 5 ? undefined : property(fault, "cause");
  if (cause !== undefined) return explain(cause, depth + 1);
  const code = property(fault, "code");
  return { message: messageOf(fault), codes: typeof code === "string" ? [code] : [] };
}

const property = (error: unknown, name: string): unknown =>
  typeof error === "object" && error !== null && name in error
    ? (error as Readonly<Record<string, unknown>>)[name]
    : undefined;
