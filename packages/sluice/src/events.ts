/**
 * Everything the engine has to tell, as one union. Nothing logs by itself: an `observe` function
 * turns events into metrics and logs. Events are facts that have just become true.
 */
import type { BatchId } from "./sinks/sink.ts";
import type { Size } from "./shapes/shape.ts";

/** What made a batch leave: it was full, it was due, or somebody asked. */
export type FlushReason = "entries" | "bytes" | "delay" | "flush" | "close";

/**
 * Why items were dropped: an overflow policy, a `close()` that ran out of time, or, of questions, that
 * nobody waits for the answer any more.
 */
export type DropReason = "drop-newest" | "drop-oldest" | "close" | "withdrawn";

/** One event of the batcher `name`. Sizes are in items, entries and bytes; times in milliseconds. */
export type SluiceEvent = { readonly name: string } & (
  | ({
      readonly type: "sealed";
      readonly id: BatchId;
      readonly reason: FlushReason;
      readonly ageMs: number;
    } & Size)
  | ({
      readonly type: "committed";
      readonly id: BatchId;
      readonly attempts: number;
      readonly durationMs: number;
      /** An earlier attempt had been applied although its acknowledgement was lost. */
      readonly duplicate: boolean;
      readonly statements: number;
      /** What the sink had to tell: of `writeLatest` a `LatestDetails`. None where it is a duplicate. */
      readonly details?: unknown;
    } & Size)
  | {
      readonly type: "retried";
      readonly id: BatchId;
      /** The attempt that failed. */
      readonly attempt: number;
      readonly delayMs: number;
      readonly ambiguous: boolean;
      readonly error: unknown;
    }
  /** A batch was refused and is being halved to find the entries at fault. */
  | ({ readonly type: "bisected"; readonly id: BatchId; readonly error: unknown } & Size)
  | ({
      readonly type: "dead-lettered";
      readonly id: BatchId;
      readonly outcome: "rejected" | "expired";
      readonly attempts: number;
      readonly error: unknown;
      readonly entry: unknown;
    } & Size)
  /** Delivery ended without an answer. `batch` is what may or may not have been applied. */
  | ({
      readonly type: "unknown";
      readonly id: BatchId;
      readonly attempts: number;
      readonly error: unknown;
      readonly batch: unknown;
    } & Size)
  | ({ readonly type: "dropped"; readonly reason: DropReason } & Size)
  /** An item was turned away at the door; it was never accepted. */
  | { readonly type: "refused"; readonly items: number }
  /** A producer waits for room; every lane has been told to flush. */
  | { readonly type: "blocked"; readonly waiting: number }
  | { readonly type: "circuit"; readonly state: "open" | "closed"; readonly error?: unknown }
  /** An attempt that had been given up ended after all; its outcome changes nothing. */
  | {
      readonly type: "late";
      readonly id: BatchId;
      readonly attempt: number;
      readonly error?: unknown;
    }
  /** A fault beside the data path: a dead-letter handler or a housekeeping statement failed. */
  | { readonly type: "warning"; readonly error: unknown }
  | { readonly type: "closed"; readonly durationMs: number }
);

/** The event without the batcher's name, which the engine adds. */
export type UnnamedEvent = SluiceEvent extends infer E
  ? E extends SluiceEvent
    ? Omit<E, "name">
    : never
  : never;

/** Receives every event, synchronously. It must not throw; what it throws becomes a process warning. */
export type Observe = (event: SluiceEvent) => void;
