import type { SluiceError } from "../errors.ts";
import type { FlushReason } from "../events.ts";
import type { Receipt } from "./reports.ts";
import type { Settlement } from "./settlement.ts";

/**
 * The entries of one batch to be, oldest segment first. The lane cuts what is gathered into
 * segments as it arrives, by numbers alone, so that each batch has its own age and its own waiters
 * although a keyed accumulator holds all of them in one place:
 *
 *     accumulator   e0 e1 e2 │ e3 e4 e5 │ e6 ─► add
 *     segments      full      full       open
 *                   ▲ sealed when the lane is free, never before: until then held keys still fold
 */
export interface Segment<Batch> {
  /** Ordinal of its first entry. */
  first: number;
  entries: number;
  bytes: number;
  readonly firstAt: number;
  /** The share of maxDelayMs that it may wait: 0.9 to 1, by chance. */
  readonly patience: number;
  /** Set once it may leave; nothing new joins it after that. */
  reason: FlushReason | undefined;
  /** What overflow took from it before it was sealed. */
  droppedItems: number;
  /** Who waits for it as a whole. */
  readonly watchers: ((landing: Landing<Batch>) => void)[];
  /** Who waits for an entry of it, by ordinal. */
  readonly claims: Map<number, Claim[]>;
}

/** Told what became of an entry: an error, or else how it landed. */
export type Claim = (error: SluiceError | undefined, landing: Receipt) => void;

/** What became of a segment. */
export interface Landing<Batch> extends Settlement<Batch> {
  readonly items: number;
  readonly entries: number;
  readonly bytes: number;
  readonly batches: number;
  /** Age of the batch when it was sealed, in milliseconds. */
  readonly ageMs: number;
  readonly droppedItems: number;
}

/** The segment that holds the entry of this ordinal. */
export function segmentOf<Batch>(
  segments: readonly Segment<Batch>[],
  ordinal: number,
): Segment<Batch> | undefined {
  return segments.findLast(({ first }) => first <= ordinal);
}
