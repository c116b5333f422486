/**
 * The coalescer: many small questions, few calls, and an answer for everybody who asked.
 *
 *     load(request) ─► question ──joins──► call of its group ─► lane ─► resolve(group, keys)
 *                       ▲ equal ones in                                  └► each caller its own answer
 *                         flight are one
 *
 * The engine below is that of every batcher: it gathers, bounds, tries again and closes.
 */
import type { FlushOptions, WaitOptions } from "../core/batcher.ts";
import type { FlushStats } from "../core/reports.ts";
import type { CallKey } from "./key.ts";
import type { CacheStats } from "./cache.ts";
import type { CoalescerOptions } from "./options.ts";
import { Questions } from "./questions.ts";

/** How a coalescer closes. */
export interface CoalescerCloseOptions {
  /** Default: closeTimeoutMs. */
  readonly timeoutMs?: number | undefined;
  /** "drain" answers what has been asked; "reject" fails it at once, also in a drain. Default "drain". */
  readonly pending?: "drain" | "reject" | undefined;
}

/** What became of those who waited when `close()` was called, in callers. */
export interface CoalescerCloseReport {
  readonly answered: number;
  /** Failed for any reason, the deadline of the close included. */
  readonly failed: number;
  readonly aborted: number;
  readonly durationMs: number;
  /** The final accounts. */
  readonly stats: CoalescerStats;
}

/**
 * The accounts of a coalescer, in callers unless said otherwise. At every instant
 *
 *     loads = answered + failed + aborted + pending
 */
export interface CoalescerStats {
  /** Loads that were taken. */
  readonly loads: number;
  /** From a call or from the cache. */
  readonly answered: number;
  readonly failed: number;
  /** Callers that gave up by their own signal. */
  readonly aborted: number;
  readonly pending: number;
  /** Loads turned away at the door: a key that was refused, a closed coalescer. */
  readonly refused: number;
  /** Loads that joined a question that was open already. */
  readonly shared: number;
  /** Questions that a call left without an answer. */
  readonly missing: number;
  /** Questions that are gathered or in flight, and those that wait for room. */
  readonly held: number;
  readonly waiting: number;
  /** Calls of `resolve`, those that repeat one included, and how many of them do. */
  readonly calls: number;
  readonly retries: number;
  readonly cache: CacheStats;
  /** The latest failure of a call; absent after a success. */
  readonly lastError?: unknown;
}

/** Folds concurrent questions into few calls. Made by `createCoalescer`. */
export interface Coalescer<Request, Answer> {
  readonly name: string;
  /**
   * Asks, and resolves with the answer to this very question. Rejects with what failed it: the error
   * in its place, the error of its call, `SLUICE_ERR_CALL_UNANSWERED`, `SLUICE_ERR_ANSWER_MISSING`,
   * `SLUICE_ERR_BATCHER_FULL`, `SLUICE_ERR_BATCHER_CLOSED`, or the reason of `signal`, which ends this
   * caller's wait and nobody else's.
   */
  load(request: Request, options?: WaitOptions): Promise<Answer>;
  /** Sends what is gathered at once, and waits until it has settled, as has what is in flight. */
  flush(options?: FlushOptions): Promise<FlushStats>;
  /** Forgets the answer to a request: one that is cached, and one on its way, which is asked anew. */
  invalidate(request: Request): void;
  /** Forgets all answers, as `invalidate` does each. */
  clear(): void;
  /** Takes no more questions; answers or fails those that are open, at its deadline at the latest. */
  close(options?: CoalescerCloseOptions): Promise<CoalescerCloseReport>;
  /** The accounts, at this instant. */
  stats(): CoalescerStats;
  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a coalescer. Throws a usage error for options that are wrong or contradict each other.
 *
 * @example
 * const prices = createCoalescer({
 *   key: (sku: string) => sku,
 *   resolve: async (_group, skus, { signal }) => new Map(await fetchPrices(skus, signal)),
 *   maxEntries: 100,
 * });
 * const price = await prices.load("A-1");
 */
export function createCoalescer<
  Request,
  Answer,
  Key extends CallKey,
  Group extends CallKey | undefined = undefined,
>(
  options: CoalescerOptions<Request, Answer, Key, Group> & { readonly missing: "undefined" },
): Coalescer<Request, Answer | undefined>;
export function createCoalescer<
  Request,
  Answer,
  Key extends CallKey,
  Group extends CallKey | undefined = undefined,
>(options: CoalescerOptions<Request, Answer, Key, Group>): Coalescer<Request, Answer>;
export function createCoalescer<
  Request,
  Answer,
  Key extends CallKey,
  Group extends CallKey | undefined,
>(options: CoalescerOptions<Request, Answer, Key, Group>): Coalescer<Request, Answer> {
  return new Questions(options);
}
