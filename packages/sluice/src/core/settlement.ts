import { SluiceError } from "../errors.ts";
import type { Size } from "../shapes/shape.ts";
import type { BatchId } from "../sinks/sink.ts";

/** How the delivery of a batch, or of a part of it, ended. */
export type Outcome = "committed" | "rejected" | "expired" | "unknown" | "abandoned";

/** Entries of a batch that did not land, and why. */
export interface Shortfall<Batch> {
  readonly outcome: Exclude<Outcome, "committed">;
  /** Places in the batch: `from` up to, not including, `from + size.entries`. */
  readonly from: number;
  readonly size: Size;
  readonly error: SluiceError;
  /** What may be handed back; absent for dead letters, which have been handed over. */
  readonly part?: Batch;
}

/** What became of a batch: everything that is not in `shortfalls` was committed. */
export interface Settlement<Batch> {
  readonly committed: number;
  readonly attempts: number;
  readonly shortfalls: readonly Shortfall<Batch>[];
}

/** The error that the waiting callers of an entry receive. */
export function failure(
  outcome: Exclude<Outcome, "committed">,
  id: BatchId,
  attempts: number,
  cause: unknown,
): SluiceError {
  const batch = `batch ${id.writer}#${id.seq}${id.part === undefined ? "" : `/${id.part}`}`;
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  const after = `after ${attempts} attempt${attempts === 1 ? "" : "s"}`;
  const [code, happened] = FAILURES[outcome];
  return new SluiceError(code, `${batch}: ${happened}, ${after}${reason}`, { cause });
}

const FAILURES = {
  rejected: ["SLUICE_ERR_DELIVERY_REJECTED", "rejected"],
  expired: ["SLUICE_ERR_DELIVERY_EXPIRED", "not applied in time"],
  unknown: ["SLUICE_ERR_DELIVERY_UNKNOWN", "may or may not have been applied"],
  abandoned: ["SLUICE_ERR_DELIVERY_DROPPED", "given up by close()"],
} as const;
