import type { Clock, Random } from "../clock.ts";
import type { Limits, RetryOptions } from "../core/options.ts";
import {
  checkOneOf,
  count,
  duration,
  invalidOption,
  refuseAbove,
  refuseUnknown,
} from "../core/validate.ts";
import type { Observe } from "../events.ts";
import type { CallKey } from "./key.ts";
import type { Answers } from "./answers.ts";
import type { MakeCache } from "./cache.ts";

/** The type, in a place that tells nothing of it: what answers are is for `resolve` to say. */
type Uninferred<Answer> = [Answer][Answer extends unknown ? 0 : never];

/** What `resolve` is told about a call. */
export interface CallContext<Request> {
  /** Aborted when the call is given up: its time is over, nobody waits any more, or `close()` ends it. */
  readonly signal: AbortSignal;
  /** Who asked first, for each key, in the order of the keys. */
  readonly requests: readonly [Request, ...Request[]];
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** The time that this attempt has, in milliseconds. */
  readonly timeoutMs: number;
}

/** The options of `createCoalescer`. */
export interface CoalescerOptions<
  Request,
  Answer,
  Key extends CallKey = CallKey,
  Group extends CallKey | undefined = undefined,
> {
  /** Names the coalescer in events and errors. Default "calls". */
  readonly name?: string | undefined;
  /**
   * Which requests may share a call: text that says everything that the answers depend on but the
   * key. What it throws fails that caller alone. Default: all may.
   */
  readonly group?: ((request: Request) => Group & CallKey) | undefined;
  /** Which requests of a group are the same question. What it throws fails that caller alone. */
  readonly key: (request: Request) => Key;
  /**
   * Asks: gives a Map by key or an array in the order of `keys`. An `Error` in a place fails that key
   * alone; `undefined` is no answer. It must not load from the same coalescer: a call that waits for another
   * may wait for itself. What it throws fails the call: `retryable(…)` is tried again,
   * `rejected(…)` is halved until the key at fault stands alone, anything else fails all its callers.
   */
  readonly resolve: (
    group: Group,
    keys: readonly Key[],
    context: CallContext<Request>,
  ) => Answers<Key, Answer> | PromiseLike<Answers<Key, Answer>>;
  /** What a question without an answer comes to: `SLUICE_ERR_ANSWER_MISSING`, or `undefined`. Default "error". */
  readonly missing?: "error" | "undefined" | undefined;
  /** Keys in a call at most; the rest go in further calls. Default 1,000. */
  readonly maxEntries?: number | undefined;
  /** How long a call gathers, in milliseconds. Default 0: to the end of the current tick. */
  readonly maxDelayMs?: number | undefined;
  /** Whether a group with no call under way is not to wait for maxDelayMs. Default false. */
  readonly dispatchWhenIdle?: boolean | undefined;
  /**
   * Calls in flight at most, over all groups; a pause before another attempt is none. Default 16. A
   * group has a quarter of them at most, rounded up: below 5, one at a time.
   */
  readonly maxInFlight?: number | undefined;
  /**
   * Questions held at most, in flight included. Default 50,000, or 4 × maxEntries if that is more. All
   * groups share it: one that hangs and goes on asking fills it, unless callTimeoutMs ends its calls.
   */
  readonly maxBufferedEntries?: number | undefined;
  /** What a new question does when there is no room. Default "wait". */
  readonly overflow?: "wait" | "reject" | undefined;
  /** How long one attempt may take, in milliseconds. Default 10,000, never above deliveryTimeoutMs. */
  readonly callTimeoutMs?: number | undefined;
  /**
   * How long a question may take from when its call is due: the wait for a free call and all attempts
   * together, in milliseconds. Default 30,000. The wait for room, under overload, is not part of it.
   */
  readonly deliveryTimeoutMs?: number | undefined;
  readonly retry?: Omit<RetryOptions, "circuitAfter"> | undefined;
  /** How long `close()` may take, in milliseconds. Default 15,000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Keeps answers: `lruCache({ … })` of `sluice/lru-cache`. Failures and missing answers are not kept. */
  readonly cache?: MakeCache<Uninferred<Answer>> | undefined;
  readonly observe?: Observe | undefined;
  /** Default: real time. */
  readonly clock?: Clock | undefined;
  /** Jitter. Default: real chance. */
  readonly random?: Random | undefined;
}

const OPTIONS: readonly string[] = [
  "name",
  "group",
  "key",
  "resolve",
  "missing",
  "maxEntries",
  "maxDelayMs",
  "dispatchWhenIdle",
  "maxInFlight",
  "maxBufferedEntries",
  "overflow",
  "callTimeoutMs",
  "deliveryTimeoutMs",
  "retry",
  "closeTimeoutMs",
  "cache",
  "observe",
  "clock",
  "random",
];

/** What everybody's options have in common, whatever they ask and answer. */
type AnyOptions = {
  readonly [option in keyof CoalescerOptions<never, unknown>]?: unknown;
};

/** The limits of the batcher behind a coalescer, checked under the names that its user knows. */
export function batcherLimits<Options extends AnyOptions & Limits>(
  options: Options,
): Limits & {
  readonly lanes: number;
  readonly maxEntries: number;
  readonly closeTimeoutMs: number;
} {
  refuseUnknown(options, OPTIONS);
  const { group, key, resolve, cache, missing = "error", overflow = "wait", retry = {} } = options;
  const { observe } = options;
  for (const [option, value] of Object.entries({ group, cache, observe })) {
    if (value !== undefined) checkFunction(option, value);
  }
  for (const [option, value] of Object.entries({ key, resolve })) checkFunction(option, value);
  checkOneOf("missing", missing, ["error", "undefined"]);
  checkOneOf("overflow", overflow, ["wait", "reject"]);
  refuseUnknown(retry, ["baseDelayMs", "maxDelayMs", "maxAttempts"], "retry.");
  const { callTimeoutMs, deliveryTimeoutMs: stated } = options;
  const most = duration("deliveryTimeoutMs", stated, Infinity, 1, Infinity);
  const writeTimeoutMs = duration("callTimeoutMs", callTimeoutMs, Math.min(most, 10_000), 1);
  const deliveryTimeoutMs = stated ?? Math.max(writeTimeoutMs, 30_000);
  refuseAbove("callTimeoutMs", writeTimeoutMs, "deliveryTimeoutMs", deliveryTimeoutMs);
  const { maxDelayMs = 0, dispatchWhenIdle, maxBufferedEntries } = options;
  const room = count("maxBufferedEntries", maxBufferedEntries, Infinity, Infinity);
  const maxEntries = count("maxEntries", options.maxEntries, Math.min(room, 1_000));
  return {
    lanes: count("maxInFlight", options.maxInFlight, 16, 1_024),
    maxEntries,
    maxDelayMs,
    dispatchWhenIdle,
    maxBufferedEntries,
    overflow,
    retry,
    deliveryTimeoutMs,
    writeTimeoutMs,
    closeTimeoutMs: duration("closeTimeoutMs", options.closeTimeoutMs, 15_000, 0),
    // Questions are limited by number: what they hold is the callers' own.
    maxBytes: MOST,
    maxBufferedBytes: MOST,
  };
}

const MOST = 2 ** 40;

function checkFunction(option: string, value: unknown): void {
  if (typeof value !== "function") throw invalidOption(option, "a function", value);
}
