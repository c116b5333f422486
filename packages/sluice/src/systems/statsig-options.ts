import { lruCache } from "../coalescer/lru-cache.ts";
import type { CoalescerOptions } from "../coalescer/options.ts";
import { given, type Limits } from "../core/options.ts";
import {
  atMost,
  count,
  duration,
  invalidOption,
  refuseAbove,
  refuseUnknown,
} from "../core/validate.ts";
import { isSluiceError, SluiceError } from "../errors.ts";
import { createJsonClient, type JsonClient } from "../sinks/http/json-client.ts";
import { createRedactor } from "../sinks/http/redactor.ts";
import { MAX_GATES, type StatsigMetadata } from "./statsig-api.ts";
import type { StatsigOptions } from "./statsig-types.ts";

/** The version of this library, as `sdkVersion` tells it. */
export const VERSION = "0.1.0";

/** What the parts of a client are made with. */
export interface StatsigParts {
  readonly api: JsonClient;
  readonly eventApi: JsonClient;
  readonly metadata: StatsigMetadata;
  readonly offlineFallback: boolean;
  /** Takes the API key out of what an answer says. */
  readonly redact: (text: string) => string;
  /** Of the coalescer of gates and configs. */
  readonly asking: Omit<CoalescerOptions<never, never>, "group" | "key" | "resolve" | "missing">;
  /** Of the batcher of events. */
  readonly logging: Limits & Pick<StatsigOptions, "observe" | "clock" | "random">;
}

const OPTIONS: Readonly<Record<keyof StatsigOptions, true>> = {
  apiKey: true,
  baseUrl: true,
  eventsBaseUrl: true,
  timeoutMs: true,
  retryAttempts: true,
  retryDelayMs: true,
  cacheTtlMs: true,
  cacheMaxEntries: true,
  batchSize: true,
  batchFlushIntervalMs: true,
  offlineFallback: true,
  exposureLoggingDisabled: true,
  sdkType: true,
  sdkVersion: true,
  eventBatchSize: true,
  eventFlushIntervalMs: true,
  maxBufferedEvents: true,
  maxInFlight: true,
  maxBufferedEntries: true,
  maxResponseBytes: true,
  closeTimeoutMs: true,
  fetch: true,
  observe: true,
  clock: true,
  random: true,
};

const MAX_PAUSE_MS = 60_000;

/** Checks the options, and makes of them what the parts of a client need. */
export function readOptions(options: StatsigOptions): StatsigParts {
  // What stands where the options should is likely to be the key.
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw unshown("the options must be an object", options);
  }
  refuseUnknown(options, Object.keys(OPTIONS));
  const { apiKey, offlineFallback = false, exposureLoggingDisabled = false } = options;
  if (typeof apiKey !== "string" || !/^[!-~]+$/.test(apiKey)) {
    throw unshown("apiKey must be visible ASCII characters, without blanks", apiKey);
  }
  const { sdkType = "sluice", sdkVersion = VERSION } = options;
  for (const [option, value] of Object.entries({ sdkType, sdkVersion })) {
    if (typeof value === "string" && /^[!-~](?:[ -~]*[!-~])?$/.test(value)) continue;
    throw invalidOption(option, "printable ASCII characters", value);
  }
  for (const [option, value] of Object.entries({ offlineFallback, exposureLoggingDisabled })) {
    if (typeof value !== "boolean") throw invalidOption(option, "true or false", value);
  }
  const timeoutMs = duration("timeoutMs", options.timeoutMs, 30_000, 1);
  const attempts = 1 + whole("retryAttempts", options.retryAttempts, 3, 100);
  const baseDelayMs = duration("retryDelayMs", options.retryDelayMs, 1_000, 1, MAX_PAUSE_MS);
  const retry = { baseDelayMs, maxDelayMs: MAX_PAUSE_MS };
  const { fetch, maxResponseBytes, observe, clock, random, closeTimeoutMs } = options;
  const http = {
    headers: { "statsig-api-key": apiKey, "user-agent": `${sdkType}/${sdkVersion}` },
    ...given({ fetch, maxResponseBytes, clock }),
    maxRetryAfterMs: MAX_PAUSE_MS,
  };
  const kept = whole("cacheMaxEntries", options.cacheMaxEntries, 10_000, 2 ** 24);
  const ttlMs = duration("cacheTtlMs", options.cacheTtlMs, 300_000, 1);
  const { maxInFlight, maxBufferedEntries, maxBufferedEvents } = options;
  const gates = atMost(maxBufferedEntries, MAX_GATES);
  const batchSize = count("batchSize", options.batchSize, gates, MAX_GATES);
  const questions = count("maxBufferedEntries", maxBufferedEntries, 50_000);
  refuseAbove("batchSize", batchSize, "maxBufferedEntries", questions);
  const some = atMost(maxBufferedEvents, 500);
  const batchOfEvents = count("eventBatchSize", options.eventBatchSize, some);
  const events = count("maxBufferedEvents", maxBufferedEvents, Math.max(10_000, 4 * batchOfEvents));
  refuseAbove("eventBatchSize", batchOfEvents, "maxBufferedEvents", events);
  const shared = given({ closeTimeoutMs, observe, clock, random });
  return {
    api: createJsonClient({ baseUrl: options.baseUrl ?? "https://api.statsig.com", ...http }),
    eventApi: naming("eventsBaseUrl", () =>
      createJsonClient({
        baseUrl: options.eventsBaseUrl ?? "https://events.statsigapi.net",
        ...http,
      }),
    ),
    metadata: { sdkType, sdkVersion, exposureLoggingDisabled },
    offlineFallback,
    redact: createRedactor([apiKey]).redact,
    asking: {
      ...shared,
      ...given({ maxInFlight }),
      maxEntries: batchSize,
      maxBufferedEntries: questions,
      maxDelayMs: duration("batchFlushIntervalMs", options.batchFlushIntervalMs, 100, 0),
      callTimeoutMs: timeoutMs,
      // As long as all attempts and the pauses between them can take.
      deliveryTimeoutMs: attempts * timeoutMs + (attempts - 1) * MAX_PAUSE_MS,
      retry: { ...retry, maxAttempts: attempts },
      ...(kept === 0 ? {} : { cache: lruCache({ maxEntries: kept, ttlMs }) }),
    },
    logging: {
      ...shared,
      maxEntries: batchOfEvents,
      maxDelayMs: duration("eventFlushIntervalMs", options.eventFlushIntervalMs, 1_000, 0),
      maxBufferedEntries: events,
      writeTimeoutMs: timeoutMs,
      deliveryTimeoutMs: Infinity, // an outage fills the buffer, and loses nothing
      retry,
    },
  };
}

/** A whole number from 0, or the default. */
function whole(option: string, value: unknown, fallback: number, most: number): number {
  if (value === undefined) return fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most) {
    return value;
  }
  throw invalidOption(option, `a whole number from 0 to ${most}`, value);
}

/** A refusal of `baseUrl` names the option that its user knows. */
function naming<Result>(option: string, make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (!isSluiceError(error) || !error.message.startsWith("baseUrl ")) throw error;
    throw new SluiceError(error.code, error.message.replace("baseUrl", option));
  }
}

/** The refusal of what may hold the API key. */
function unshown(rule: string, received: unknown): SluiceError {
  const kind = received === "" ? "an empty string" : `a value of type ${typeof received}`;
  const message = `${rule}; received ${kind}, which is not shown`;
  return new SluiceError("SLUICE_ERR_OPTION_INVALID", message);
}
