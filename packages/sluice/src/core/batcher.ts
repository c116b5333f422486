/**
 * The batcher: the one engine behind every shape and every sink.
 *
 *     add(item) ─► accumulator ──seal──► batch ──► lane ──► sink.write(batch, { id, attempt, signal })
 *                  (folds; bounded)      (frozen)  (1 in     └► committed | rejected entries | unknown
 *                   ▲ trigger: entries,             flight)
 *                   │ bytes, delay, flush, close
 */
import type { Stats } from "./books.ts";
import { Engine } from "./engine.ts";
import type { BatcherOptions, Limits } from "./options.ts";
import type { CloseReport, FlushStats, Receipt } from "./reports.ts";

/** How a caller may end its own wait; nothing else is cancelled by it. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}

/** How long a flush may wait. */
export interface FlushOptions extends WaitOptions {
  /** Default: for ever. */
  readonly timeoutMs?: number | undefined;
}

/** How long a close may take. */
export interface CloseOptions {
  /** Default: closeTimeoutMs. */
  readonly timeoutMs?: number | undefined;
}

/** Lands many small writes as a few large ones. Made by `createBatcher`. */
export interface Batcher<Item, Batch = unknown> {
  readonly name: string;
  /**
   * Accepts an item if it can at once, and says whether it did. Never waits.
   * Throws a usage error for an item that its shape refuses, and when the batcher is closed.
   */
  tryAdd(item: Item): boolean;
  /**
   * Accepts an item, waiting for room where `overflow` is "wait". Resolved means accepted, not
   * delivered. Rejects with a usage error, `SLUICE_ERR_BATCHER_FULL`, `SLUICE_ERR_BATCHER_CLOSED` or
   * the reason of `signal`.
   */
  add(item: Item, options?: WaitOptions): Promise<void>;
  /**
   * Accepts items in order, waiting for room as `add` does, without a promise for each. Rejects at the
   * first that is not accepted with `SLUICE_ERR_ADD_INCOMPLETE`, which carries `{ accepted }`, how many
   * were, in `report`, and the reason in `cause`.
   */
  addMany(items: Iterable<Item> | AsyncIterable<Item>, options?: WaitOptions): Promise<void>;
  /** Like `add`, and resolves once the item has landed. Rejects when it will not, or may not have. */
  deliver(item: Item, options?: WaitOptions): Promise<Receipt>;
  /**
   * Sends what is gathered and waits until everything accepted before this call has settled, in
   * flight and retrying included. Rejects with `SLUICE_ERR_FLUSH_INCOMPLETE`, carrying the figures in
   * `report`, when something did not land; with `SLUICE_ERR_FLUSH_TIMEOUT` after `timeoutMs`, while
   * delivery goes on.
   */
  flush(options?: FlushOptions): Promise<FlushStats>;
  /**
   * Accepts nothing more, drains, and reports. At its deadline (`timeoutMs`, default closeTimeoutMs)
   * it gives up what is open and hands it back. It rejects for a bad `timeoutMs` and for nothing
   * else; every call gets the report of the first.
   */
  close(options?: CloseOptions): Promise<CloseReport<Batch>>;
  /** The accounts, at this instant. */
  stats(): Stats;
  /** Changes limits while running. Refused like options; then nothing is changed. */
  configure(limits: Limits): void;
  /** `close()`, which rejects with `SLUICE_ERR_CLOSE_INCOMPLETE` when something did not land. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a batcher. Throws a usage error for options that are wrong or contradict each other.
 *
 * @example
 * const usage = createBatcher({
 *   shape: sums({ key: ["client"], sum: ["requests"] }),
 *   sink: async (batch) => { await store(batch.entries); },
 * });
 * usage.tryAdd({ client: "acme", requests: 1 });
 * await usage.close();
 */
export function createBatcher<Item, Batch, Entry>(
  options: BatcherOptions<Item, Batch, Entry>,
): Batcher<Item, Batch> {
  return new Engine(options);
}
