import { refuseUnknown } from "../core/validate.ts";
import type { BatchId, Sink } from "../sinks/sink.ts";

/** A call of a memory sink. */
export interface Written<Batch> {
  readonly id: BatchId;
  readonly attempt: number;
  readonly batch: Batch;
}

/** A store in memory that, like the PostgreSQL ledger, applies each batch once. */
export interface MemorySink<Batch> extends Sink<Batch> {
  /** Batches applied, in order, each once. */
  readonly applied: Written<Batch>[];
  /** Every call, repeated ones included. */
  readonly calls: Written<Batch>[];
}

/**
 * Makes a memory sink. `ledger: false` makes it forgetful: it applies every call, as a store does
 * that knows nothing of batch ids.
 */
export function memorySink<Batch>(
  options: { readonly ledger?: boolean | undefined } = {},
): MemorySink<Batch> {
  refuseUnknown(options, ["ledger"], "memorySink: ");
  const applied: Written<Batch>[] = [];
  const calls: Written<Batch>[] = [];
  const seen = new Set<string>();
  return {
    applied,
    calls,
    write: async (batch, { id, attempt }) => {
      const name = `${id.writer}#${id.seq}/${id.part ?? ""}`;
      calls.push({ id, attempt, batch });
      if ((options.ledger ?? true) && seen.has(name)) return { duplicate: true };
      seen.add(name);
      applied.push({ id, attempt, batch });
      return undefined;
    },
  };
}
