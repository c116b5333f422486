import {
  type CoalescerCloseOptions,
  type CoalescerCloseReport,
  createCoalescer,
} from "../../coalescer/coalescer.ts";
import type { CoalescerOptions } from "../../coalescer/options.ts";
import type { WaitOptions } from "../../core/batcher.ts";
import { isSluiceError, messageOf, type SluiceError, undecided } from "../../errors.ts";
import type { SluiceEvent } from "../../events.ts";
import type { JsonRequest } from "./json-client.ts";

/** The names of `RetriedOptions`. */
export const RETRIED = [
  "name",
  "maxInFlight",
  "maxBufferedEntries",
  "overflow",
  "callTimeoutMs",
  "deliveryTimeoutMs",
  "retry",
  "closeTimeoutMs",
  "observe",
  "clock",
  "random",
] as const;

/** How requests are tried again: the options of a coalescer, where each request is a group of its own. */
export type RetriedOptions = Pick<CoalescerOptions<unknown, unknown>, (typeof RETRIED)[number]>;

/** Sends requests by `attempt`, as often as it takes and the options allow. */
export interface Retried {
  request<Answer = unknown>(request: JsonRequest, options?: WaitOptions): Promise<Answer>;
  close(options?: CoalescerCloseOptions): Promise<CoalescerCloseReport>;
}

/** A request, and what is known of its attempts. */
interface Sent {
  readonly id: number;
  readonly request: JsonRequest;
  /** The latest attempt may have been carried out. */
  ambiguous: boolean;
}

/** Methods that may be repeated (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** Asked before anybody has looked at the request: it may be anything. */
function mayRepeat(request: JsonRequest): boolean {
  const { method = "POST", idempotent } = Object(request) as JsonRequest;
  return idempotent ?? IDEMPOTENT.has(String(method).toUpperCase());
}

/** What a request ends with that has had no answer of its own. */
const OPEN: ReadonlySet<string> = new Set([
  "SLUICE_ERR_CALL_UNANSWERED",
  "SLUICE_ERR_BATCHER_CLOSED",
]);

/** There is one loop that tries again, the engine's: a request is a call with one question. */
export function retried(
  attempt: (request: JsonRequest, options: WaitOptions) => Promise<unknown>,
  options: RetriedOptions,
): Retried {
  const { observe, ...limits } = options;
  let sent = 0;
  const requests = createCoalescer({
    name: "http",
    ...limits,
    ...(observe === undefined ? {} : { observe: (event) => observe(withoutHeaders(event)) }),
    group: ({ id }: Sent) => id,
    key: ({ id }) => id,
    resolve: async (_id, _keys, { requests: [one], signal }) => {
      const { request } = one;
      const once = !mayRepeat(request);
      if (one.ambiguous && once) throw notAgain(request, "it had no answer in callTimeoutMs");
      one.ambiguous = true; // until the contrary is known
      try {
        return [await attempt(request, { signal })];
      } catch (error) {
        one.ambiguous = !isSluiceError(error) || error.ambiguous;
        const again = isSluiceError(error) && error.disposition === "retryable";
        throw again && one.ambiguous && once
          ? notAgain(request, messageOf(error), error.cause)
          : error;
      }
    },
    missing: "undefined", // an answer without a body
  });
  return {
    request: async <Answer>(request: JsonRequest, waitOptions?: WaitOptions) => {
      sent += 1;
      const one: Sent = { id: sent, request, ambiguous: false };
      try {
        return (await requests.load(one, waitOptions)) as Answer;
      } catch (error) {
        // Time ran out, or the client closed, while it was under way.
        const aborted =
          waitOptions?.signal?.aborted === true && error === waitOptions.signal.reason;
        const open = !aborted && isSluiceError(error) && OPEN.has(error.code);
        throw open && one.ambiguous && !mayRepeat(request)
          ? notAgain(request, messageOf(error), error)
          : error;
      }
    },
    close: (closeOptions) => requests.close(closeOptions),
  };
}

function notAgain({ method = "POST" }: JsonRequest, why: string, cause?: unknown): SluiceError {
  const message = `a ${method} that may have been carried out is not sent again: ${why}`;
  return undecided(message, cause === undefined ? {} : { cause });
}

/** Observers log what they are told, and headers are secrets; so may bodies and queries be. */
function withoutHeaders(event: SluiceEvent): SluiceEvent {
  if (event.type !== "dead-lettered") return event;
  const { method = "POST", path } = Object((event.entry as Sent).request) as JsonRequest;
  return { ...event, entry: { method, path: String(path).replace(/[?].*$/s, "") } };
}
