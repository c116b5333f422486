import type { DropReason } from "../events.ts";

/**
 * The accounts of a batcher, in items. At every instant
 *
 *     accepted = committed + deadLettered + dropped + unknown + held
 */
export interface Stats {
  /** Items the batcher took responsibility for. */
  readonly accepted: number;
  /** Items known to have been applied by the sink. */
  readonly committed: number;
  /** Items that were handed to `deadLetter` because they will never land. */
  readonly deadLettered: number;
  /** Items dropped, see `DropReason`; certainly not applied. */
  readonly dropped: number;
  /** Items whose delivery ended without an answer: applied or not. */
  readonly unknown: number;
  /** Items that are gathered or in flight. */
  readonly held: number;
  /** Items turned away at the door, never accepted. */
  readonly refused: number;
  readonly droppedByReason: Readonly<Record<DropReason, number>>;
  /** Entries and bytes held, in flight included. */
  readonly heldEntries: number;
  readonly heldBytes: number;
  /** Producers that wait for room. */
  readonly waiting: number;
  /** Batches that have settled, and the entries in them. */
  readonly batches: number;
  readonly entries: number;
  /** Calls of the sink, and how many of them repeated an earlier one. */
  readonly attempts: number;
  readonly retries: number;
  /** Data statements or requests that the sink reports to have sent for what it applied. */
  readonly statements: number;
  /** Attempts that found their batch applied already. */
  readonly duplicates: number;
  /** How long the oldest gathered item has waited, in milliseconds; 0 when none does. */
  readonly oldestAgeMs: number;
  readonly circuit: "closed" | "open";
  /** The latest failure of the sink; absent after a success. */
  readonly lastError?: unknown;
}

/** The counters behind `Stats`. What is held is never counted: it is asked of those who hold it. */
export interface Books {
  accepted: number;
  committed: number;
  deadLettered: number;
  unknown: number;
  refused: number;
  batches: number;
  entries: number;
  attempts: number;
  retries: number;
  statements: number;
  duplicates: number;
  lastError: unknown;
  readonly droppedByReason: Record<DropReason, number>;
}

export function openBooks(): Books {
  return {
    accepted: 0,
    committed: 0,
    deadLettered: 0,
    unknown: 0,
    refused: 0,
    batches: 0,
    entries: 0,
    attempts: 0,
    retries: 0,
    statements: 0,
    duplicates: 0,
    lastError: undefined,
    droppedByReason: { "drop-newest": 0, "drop-oldest": 0, close: 0, withdrawn: 0 },
  };
}

/** The accounts at this instant: what was counted, and what the holders hold. */
export function balance(
  { lastError, droppedByReason, ...counted }: Books,
  holders: Iterable<{
    readonly heldItems: number;
    readonly heldEntries: number;
    readonly heldBytes: number;
    readonly oldestAt: number | undefined;
  }>,
  { now, ...state }: { readonly now: number } & Pick<Stats, "waiting" | "circuit">,
): Stats {
  let [held, heldEntries, heldBytes, oldestAt] = [0, 0, 0, now];
  for (const holder of holders) {
    held += holder.heldItems;
    heldEntries += holder.heldEntries;
    heldBytes += holder.heldBytes;
    oldestAt = Math.min(oldestAt, holder.oldestAt ?? now);
  }
  const dropped = Object.values(droppedByReason).reduce((sum, items) => sum + items, 0);
  return {
    ...counted,
    ...state,
    dropped,
    droppedByReason: { ...droppedByReason },
    held,
    heldEntries,
    heldBytes,
    oldestAgeMs: now - oldestAt,
    ...(lastError === undefined ? {} : { lastError }),
  };
}
