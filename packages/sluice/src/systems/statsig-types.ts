import type { CoalescerCloseReport, CoalescerStats } from "../coalescer/coalescer.ts";
import type { CloseOptions, WaitOptions } from "../core/batcher.ts";
import type { Stats } from "../core/books.ts";
import type { CoalescerOptions } from "../coalescer/options.ts";
import type { CloseReport } from "../core/reports.ts";
import type { JsonClientOptions } from "../sinks/http/json-client.ts";
import type { Json, StatsigUser } from "./statsig-user.ts";

/** The options of `createStatsigClient`. Times are in milliseconds. */
export interface StatsigOptions
  extends Pick<JsonClientOptions, "fetch" | "maxResponseBytes">,
    Pick<
      CoalescerOptions<unknown, unknown>,
      "maxInFlight" | "maxBufferedEntries" | "closeTimeoutMs" | "observe" | "clock" | "random"
    > {
  /** A server secret key, or a client key: visible ASCII characters. Appears in no error. */
  readonly apiKey: string;
  /** Default "https://api.statsig.com". */
  readonly baseUrl?: string | URL | undefined;
  /** Where events go. Default "https://events.statsigapi.net". */
  readonly eventsBaseUrl?: string | URL | undefined;
  /** How long one call may take. Default 30,000. */
  readonly timeoutMs?: number | undefined;
  /** How often a call is tried again after a failure that may pass; 0 for never. Default 3. */
  readonly retryAttempts?: number | undefined;
  /** The most that the first pause lasts; they double up to 60 s, with full jitter. Default 1,000. */
  readonly retryDelayMs?: number | undefined;
  /** How long an answer is good for. Default 300,000. */
  readonly cacheTtlMs?: number | undefined;
  /** Answers kept at most; 0 keeps none. Default 10,000. */
  readonly cacheMaxEntries?: number | undefined;
  /** Gates of a user in a call at most, 1 to 100, the API's limit. Default 100, or maxBufferedEntries if less. */
  readonly batchSize?: number | undefined;
  /**
   * How long questions about a user gather while a call about the same user is under way. What comes
   * when there is none goes at the end of the tick. Default 100.
   */
  readonly batchFlushIntervalMs?: number | undefined;
  /**
   * While the API gives no answer, after all attempts, or none that makes sense, gates are closed and
   * configs `null`, instead of an error. What it refuses (an API key, a request) is an error still.
   * Default false.
   */
  readonly offlineFallback?: boolean | undefined;
  /** Asks the API not to count what is asked as exposures. Default false. */
  readonly exposureLoggingDisabled?: boolean | undefined;
  /** Told to the API. Default "sluice". */
  readonly sdkType?: string | undefined;
  /** Told to the API. Default the version of this library. */
  readonly sdkVersion?: string | undefined;
  /** Events in a call at most. Default 500, or maxBufferedEvents if less. */
  readonly eventBatchSize?: number | undefined;
  /** How long events gather. Default 1,000. */
  readonly eventFlushIntervalMs?: number | undefined;
  /** Events held at most; `logEvent` waits for room. Default 10,000, or 4 × eventBatchSize if more. */
  readonly maxBufferedEvents?: number | undefined;
}

/** The API's answer about a gate. Shared between callers, and frozen. */
export interface GateEvaluation {
  readonly name: string;
  readonly value: boolean;
  readonly ruleId: string | null;
  readonly groupName: string | null;
}

/** The API's answer about a config. Shared between callers, and frozen. */
export interface ConfigEvaluation {
  readonly name: string;
  readonly value: Json;
  readonly ruleId: string | null;
  readonly groupName: string | null;
  readonly group: string | null;
}

/** Something that a user did. */
export interface StatsigEvent {
  /** 1 to 256 characters. */
  readonly eventName: string;
  readonly user: StatsigUser;
  readonly value?: string | number | undefined;
  readonly metadata?: object | undefined;
  /** When it happened: a Date or epoch milliseconds. Default: when it is logged. */
  readonly time?: Date | number | undefined;
}

/** The accounts of a client. */
export interface StatsigStats {
  /** Questions about gates and configs; `calls` are those to the API, `cache` is what was not asked. */
  readonly evaluations: CoalescerStats;
  readonly events: Stats;
  /** Answers that `offlineFallback` gave. */
  readonly fallbacks: number;
}

/** What a client closed with. */
export interface StatsigCloseReport {
  readonly evaluations: CoalescerCloseReport;
  readonly events: CloseReport<readonly unknown[]>;
}

/** Gates, configs and events of a flag API. Made by `createStatsigClient`. */
export interface StatsigClient {
  /**
   * Whether a gate is open for a user. Names have 2 to 100 characters. Rejects with
   * `SLUICE_ERR_STATSIG_NAME`, `SLUICE_ERR_STATSIG_USER`, or as `Coalescer.load` does.
   */
  checkGate(name: string, user: StatsigUser, options?: WaitOptions): Promise<boolean>;
  /** The same for any number of gates, by name. Rejects with the first failure. */
  checkGates(
    names: readonly string[],
    user: StatsigUser,
    options?: WaitOptions,
  ): Promise<Map<string, boolean>>;
  /** A gate with the rule that decided; `null` is what `offlineFallback` gives. */
  getGateEvaluation(
    name: string,
    user: StatsigUser,
    options?: WaitOptions,
  ): Promise<GateEvaluation | null>;
  /**
   * The value of a config for a user, `null` where `offlineFallback` gives none. Names have 2 to 100
   * letters, digits, blanks and `_-.`. `Value` is what the caller expects; nothing checks it.
   */
  getConfig<Value = Json>(
    name: string,
    user: StatsigUser,
    options?: WaitOptions,
  ): Promise<Value | null>;
  /** The same for any number of configs, by name. Rejects with the first failure. */
  getConfigs(
    names: readonly string[],
    user: StatsigUser,
    options?: WaitOptions,
  ): Promise<Map<string, Json>>;
  /** A config with the rule that decided; `null` is what `offlineFallback` gives. */
  getConfigEvaluation(
    name: string,
    user: StatsigUser,
    options?: WaitOptions,
  ): Promise<ConfigEvaluation | null>;
  /**
   * Accepts an event; it is sent with others, and again until the API has taken it, or refused it for
   * good: that is a `dead-lettered` event for `observe`. A call whose answer
   * was lost may count twice: the API knows no batch again. Rejects with `SLUICE_ERR_STATSIG_EVENT`, or
   * as `Batcher.add` does.
   */
  logEvent(event: StatsigEvent, options?: WaitOptions): Promise<void>;
  /** The same for several, at least one; all are checked before the first is accepted. */
  logEvents(events: readonly StatsigEvent[], options?: WaitOptions): Promise<void>;
  /** Forgets all answers that are kept. */
  clearCache(): void;
  /** Sends what is gathered and waits for it. Rejects when events did not land. */
  flush(options?: WaitOptions): Promise<void>;
  /** Answers what was asked and sends what was logged, within `timeoutMs` (default closeTimeoutMs). */
  close(options?: CloseOptions): Promise<StatsigCloseReport>;
  stats(): StatsigStats;
  /** `close()`, which rejects with `SLUICE_ERR_CLOSE_INCOMPLETE` when events did not land. */
  [Symbol.asyncDispose](): Promise<void>;
}
