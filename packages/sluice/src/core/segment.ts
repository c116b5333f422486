import type { SluiceError } from "../errors.ts";
import type { FlushReason } from "../events.ts";
import type { Receipt } from "./reports.ts";
import type { Sealed } from "../shapes/shape.ts";
import type { Settlement, Shortfall } from "./settlement.ts";

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
  /** The share of maxDelayMs that it may wait: 0.9 to 1, by chance, or nothing. */
  patience: number;
  /** Set once it may leave; nothing new joins it after that. */
  reason: FlushReason | undefined;
  /** What overflow took from it before it was sealed. */
  droppedItems: number;
  /** Who waits for it as a whole. */
  readonly watchers: Set<(landing: Landing<Batch>) => void>;
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

/** A wait for a segment. */
export interface Wait<Batch> {
  readonly landed: Promise<Landing<Batch>>;
  /** Waits no more: nothing is kept for it. */
  readonly leave: () => void;
}

/** The segment that holds the entry of this ordinal. */
export function segmentOf<Batch>(
  segments: readonly Segment<Batch>[],
  ordinal: number,
): Segment<Batch> | undefined {
  return segments.findLast(({ first }) => first <= ordinal);
}

/**
 * Tells everybody who waits for a segment what became of it. Without a settlement it never was a
 * batch: it could not be sealed, for the reason `lost`, or nothing was left to seal.
 */
export function settle<Batch>(
  segment: Segment<Batch>,
  sealed: Sealed<Batch> | undefined,
  settlement: Settlement<Batch> | undefined,
  ageMs: number,
  lost?: SluiceError,
): void {
  if (segment.watchers.size === 0 && segment.claims.size === 0) return;
  const none = { items: 0, entries: 0, bytes: 0 };
  const shortfalls: Shortfall<Batch>[] =
    lost === undefined ? [] : [{ outcome: "unknown", from: 0, size: none, error: lost }];
  const landing: Landing<Batch> = {
    items: (sealed?.items ?? 0) + segment.droppedItems,
    entries: sealed?.entries ?? 0,
    bytes: sealed?.bytes ?? 0,
    batches: sealed === undefined ? 0 : 1,
    committed: settlement?.committed ?? 0,
    attempts: settlement?.attempts ?? 0,
    shortfalls: settlement?.shortfalls ?? shortfalls,
    ageMs,
    droppedItems: segment.droppedItems,
  };
  const errors = new Map<number, SluiceError>();
  for (const { from, size, error } of landing.shortfalls) {
    for (let index = from; index < from + size.entries; index += 1) {
      errors.set(sealed?.ordinals?.[index] ?? segment.first + index, error);
    }
  }
  for (const watcher of segment.watchers) watcher(landing);
  for (const [ordinal, claims] of segment.claims) {
    for (const claim of claims) claim(lost ?? errors.get(ordinal), landing);
  }
}
