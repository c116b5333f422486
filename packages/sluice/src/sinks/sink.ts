/**
 * The contract of a sink: where batches land.
 *
 * An attempt ends in one of five ways:
 *   success    `write` resolves
 *   partial    `write` resolves with `rejected`: applied except for these entries
 *   retryable  `write` throws `retryable(…)`, or any error that is not classified
 *   rejected   `write` throws `rejected(…)`: nothing was applied, trying again is useless
 *   unknown    `write` throws `undecided(…)`: applied or not, and trying again is not safe
 *
 * A batch is tried again with the same id, the same entries and the same order, whatever happened
 * to the attempt before. A sink that remembers ids can therefore apply each batch exactly once.
 */
import type { BatchAlgebra } from "../shapes/shape.ts";

/** The identity of a batch; the same on every attempt. */
export interface BatchId {
  /** The lane that writes: unique among all lanes of all processes, alive or dead. */
  readonly writer: string;
  /** 1, 2, 3, … within the writer. At most one batch of a writer is in flight. */
  readonly seq: number;
  /** Set on the parts of a rejected batch: "0" and "1" are its halves, "01" the second quarter. */
  readonly part?: string | undefined;
}

/** What a sink is told about an attempt. */
export interface WriteContext<Batch> {
  readonly id: BatchId;
  /** 1 for the first attempt of this batch or part. */
  readonly attempt: number;
  /** Aborted when the attempt is given up: its time is over, or `close()` reached its deadline. */
  readonly signal: AbortSignal;
  /** Whether it has been given up: `signal.aborted`, for those who need no signal, which costs to make. */
  readonly ended?: boolean | undefined;
  /** The time this attempt has, in milliseconds. Limits on the store's side belong below it. */
  readonly timeoutMs: number;
  /** What is left of it now, in milliseconds. */
  remainingMs(): number;
  /** Sizes, entries and halves of the batch. */
  readonly shape: BatchAlgebra<Batch>;
  /** Reports a fault that does not concern the batch; it becomes a `warning` event. */
  warn(error: unknown): void;
}

/** An entry that a sink refused while it applied the others. */
export interface RejectedEntry {
  /** Its place in the batch. */
  readonly index: number;
  readonly cause: unknown;
}

/** What a sink may say about an attempt that succeeded. Every field is optional. */
export interface WriteResult {
  /** Entries that were not applied and never will be; all others were. */
  readonly rejected?: readonly RejectedEntry[] | undefined;
  /** The batch had been applied by an earlier attempt; this one changed nothing. */
  readonly duplicate?: boolean | undefined;
  /** How many data statements or requests this attempt sent. Default 1. */
  readonly statements?: number | undefined;
  /** What else there is to tell, passed on in the `committed` event. */
  readonly details?: unknown;
}

/** Where batches land. */
export interface Sink<Batch> {
  /**
   * Called once, when a batcher is made, with an empty batch: throws a usage error when it cannot
   * write batches of that shape.
   */
  check?(empty: Batch): void;
  /**
   * Promises that nothing reads a batch after its first `write` has resolved, so that its memory may
   * be used again. Default: batches may be kept.
   */
  readonly releases?: boolean | undefined;
  /**
   * Promises that `write` changes nothing in the store: it asks. No attempt is ambiguous then, and no
   * batch `unknown`. Default false.
   */
  readonly reads?: boolean | undefined;
  write(batch: Batch, context: WriteContext<Batch>): Promise<WriteResult | undefined | void>;
}

/** A sink as a plain function. */
export type SinkFunction<Batch> = (
  batch: Batch,
  context: WriteContext<Batch>,
) => Promise<unknown> | unknown;
