/**
 * A client of JSON APIs: one request, one answer, and an error that says what to do next.
 */
import { systemClock } from "../../clock.ts";
import { onAbort } from "../../core/abort.ts";
import { callOptions, count, duration, invalidOption, refuseUnknown } from "../../core/validate.ts";
import {
  brokenOff,
  notJson,
  refused,
  type RequestIdentity,
  tooLarge,
  unanswered,
  unserializable,
} from "./failures.ts";
import type { Fetch, FetchInit, FetchResponse } from "./fetch.ts";
import { type HeaderField, isToken, readHeaders } from "./headers.ts";
import { createRedactor, type Redactor } from "./redactor.ts";
import { cancelBody, readBody, statedBytes } from "./response-body.ts";
import { retryAfterMs } from "./retry-after.ts";
import { RETRIED, type Retried, retried, type RetriedOptions } from "./retried.ts";
import { joinPath, readBaseUrl } from "./url.ts";

/** Options of `createJsonClient`: how `request` tries again, and */
export interface JsonClientOptions extends RetriedOptions {
  /** http or https; no user, password, query or fragment in it. A path prefix is kept. */
  readonly baseUrl: string | URL;
  /**
   * Sent with every request. Their values are secrets: from 6 characters on, neither they nor the
   * credentials in them (the token of "Bearer token") appear in an error.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Largest answer that is read, in bytes after decompression. Default 10 MiB, at most 256 MiB. */
  readonly maxResponseBytes?: number | undefined;
  /** The most that a Retry-After may ask for, in milliseconds. Default 60 000. */
  readonly maxRetryAfterMs?: number | undefined;
  /** Default: the platform's, which keeps connections for the next request. */
  readonly fetch?: Fetch | undefined;
}

/** One request. */
export interface JsonRequest {
  /**
   * Begins with one "/", percent-encoded, may have a query; appended to the path of `baseUrl`. Errors
   * show it without the query.
   */
  readonly path: string;
  /** Default POST. */
  readonly method?: string | undefined;
  /** Sent as JSON, whatever it is, a string too. Undefined: no body. */
  readonly body?: unknown;
  /**
   * Whether `request` may send it again although an attempt may have been carried out. Default: by its
   * method, as RFC 9110 §9.2.2 has it: false for POST and PATCH.
   */
  readonly idempotent?: boolean | undefined;
  /** Win over those of the client, and are as secret. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of `attempt`. */
export interface AttemptOptions {
  /** Its abort ends the attempt at once, and rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A client of one JSON API. */
export interface JsonClient extends Retried {
  /**
   * Sends a request, and again what `attempt` calls retryable, after pauses with full jitter or as long
   * as the server asks. Each attempt has callTimeoutMs, all together have deliveryTimeoutMs; at most
   * maxInFlight are under way at a time. Rejects with the final error of an attempt; with
   * `SLUICE_ERR_CALL_UNANSWERED`, whose `cause` is the latest one; or with `SLUICE_ERR_SINK_UNKNOWN`
   * where it may have been carried out and is not `idempotent`. Nothing checks that it is an `Answer`.
   */
  request<Answer = unknown>(request: JsonRequest, options?: AttemptOptions): Promise<Answer>;
  /**
   * Sends a request once and resolves to the JSON of a 2xx; to undefined if its body is empty. For
   * resolvers and sinks, whose engine tries again by the disposition of the error. Every `cause` is an
   * `HttpError`.
   *
   * - `retryable`: no answer, one that breaks off, 408, 425, 429 and 5xx; with `retryAfterMs` if the
   *   answer asks for it (RFC 9110 §10.2.3). Ambiguous, except for 429 and where nothing could be
   *   reached: connection refused, name not found.
   * - `rejected`, halving may help: 400, 409, 413, 414, 422, and an answer above `maxResponseBytes`,
   *   to a request that was therefore carried out.
   * - `rejected` as a whole: every other status; redirects, which are not followed because they could
   *   carry headers elsewhere; a 2xx that is not JSON; a body that has no form in JSON.
   * - `usage`: a request that is malformed. Nothing was sent.
   */
  attempt(request: JsonRequest, options?: AttemptOptions): Promise<unknown>;
}

/** What is read of the body of an error: enough to be shown, and mostly all, which saves a connection. */
const MAX_ERROR_BYTES = 64 * 1_024;
/** Every text of so many bytes fits into a string. */
const MAX_BYTES = 2 ** 28;

const OPTIONS: readonly (keyof JsonClientOptions)[] = [
  ...RETRIED,
  "baseUrl",
  "headers",
  "maxResponseBytes",
  "maxRetryAfterMs",
  "fetch",
];
const REQUEST: readonly (keyof JsonRequest)[] = ["path", "method", "body", "headers", "idempotent"];

/** Makes a client. Throws usage errors, which never show the value of a header. */
export function createJsonClient(options: JsonClientOptions): JsonClient {
  refuseUnknown(options, OPTIONS);
  const { baseUrl, headers, maxResponseBytes, maxRetryAfterMs, fetch: given, ...limits } = options;
  const base = readBaseUrl(baseUrl);
  const ownHeaders = readHeaders("headers", headers);
  const maxBytes = count("maxResponseBytes", maxResponseBytes, 10 * 2 ** 20, MAX_BYTES);
  const longestPauseMs = duration("maxRetryAfterMs", maxRetryAfterMs, 60_000, 0);
  const { clock = systemClock } = limits;
  const fetch = given ?? globalThis.fetch;
  if (typeof fetch !== "function") throw invalidOption("fetch", "a function", fetch);

  const prepare = (request: JsonRequest): Prepared => {
    refuseUnknown(request, REQUEST, "request.");
    const fields = [...ownHeaders, ...readHeaders("request.headers", request.headers)];
    const redactor = createRedactor(fields.map(([, value]) => value));
    const { method = "POST", body, path } = request;
    checkMethod(method, body, redactor);
    const url = joinPath(base, path, redactor.redact);
    const identity = { method: method.toUpperCase(), url: url.origin + url.pathname, redactor };
    const text = body === undefined ? undefined : serialize(identity, body);
    return { identity, url: url.href, headers: mergeHeaders(fields, text !== undefined), text };
  };

  const exchange = async (request: Prepared, signal: AbortSignal): Promise<unknown> => {
    const { identity } = request;
    const response = await send(fetch, request, signal);
    const { status, headers } = response;
    if (status < 200 || status > 299) {
      const answer = await readBody(response, Math.min(maxBytes, MAX_ERROR_BYTES), signal);
      const header = headers.get("retry-after");
      const pauseMs = retryAfterMs(header, clock.epochMs(), longestPauseMs);
      throw refused(identity, response, answer, pauseMs);
    }
    if (statedBytes(response) > maxBytes) {
      cancelBody(response);
      throw tooLarge(identity, status, maxBytes);
    }
    const answer = await readBody(response, maxBytes, signal);
    if (answer.ended === "limit") throw tooLarge(identity, status, maxBytes);
    if (answer.ended === "broken") throw brokenOff(identity, status, answer);
    if (answer.bytes.length === 0) return undefined;
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(answer.bytes));
    } catch {
      throw notJson(identity, response, answer); // what the parser says quotes what was received
    }
  };

  const attempt: JsonClient["attempt"] = async (request, attemptOptions) => {
    const { signal } = callOptions("attempt", attemptOptions, ["signal"]);
    signal?.throwIfAborted();
    const prepared = prepare(request);
    return unlessAborted(signal, (own) => exchange(prepared, own));
  };
  return { attempt, ...retried(attempt, limits) };
}

/** A request, checked. */
interface Prepared {
  readonly identity: RequestIdentity;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly text: string | undefined;
}

/** `fetch` refuses the rest as it does a network failure, which would be tried again and again. */
function checkMethod(method: unknown, body: unknown, { redact }: Redactor): void {
  if (typeof method !== "string") throw invalidOption("request.method", "a string", method);
  if (!isToken(method) || /^(?:connect|trace|track)$/i.test(method)) {
    throw invalidOption("request.method", "a method that fetch sends", redact(method));
  }
  if (body !== undefined && /^(?:get|head)$/i.test(method)) {
    throw invalidOption("request.method", "one with a body, which there is", method);
  }
}

function serialize(identity: RequestIdentity, body: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(body);
  } catch (fault) {
    throw unserializable(identity, fault);
  }
  if (text === undefined) throw unserializable(identity, `it is a ${typeof body}`);
  return text;
}

function mergeHeaders(fields: readonly HeaderField[], hasBody: boolean): Record<string, string> {
  const headers = new Map([["accept", "application/json"]]);
  if (hasBody) headers.set("content-type", "application/json");
  for (const [name, value] of fields) headers.set(name, value);
  return Object.fromEntries(headers);
}

async function send(fetch: Fetch, request: Prepared, signal: AbortSignal): Promise<FetchResponse> {
  const { identity, url, headers, text } = request;
  const { method } = identity;
  const body = text === undefined ? {} : { body: text };
  const init: FetchInit = { method, headers, ...body, redirect: "manual", signal };
  try {
    return await fetch(url, init);
  } catch (fault) {
    throw unanswered(identity, fault);
  }
}

/** Settles as `work` does, or with the reason of `signal` at once, whatever `work` makes of its own. */
async function unlessAborted<T>(
  signal: AbortSignal | undefined,
  work: (own: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  return new Promise((resolve, reject) => {
    const unwatch =
      signal &&
      onAbort(signal, () => {
        reject(signal.reason);
        controller.abort(signal.reason);
      });
    work(controller.signal)
      .then(resolve, reject)
      .finally(() => unwatch?.());
  });
}
