import { SluiceError } from "../errors.ts";
import type { Stats } from "./books.ts";
import type { Landing } from "./segment.ts";

/** What a `flush()` covered and what became of it, in items unless said otherwise. */
export interface FlushStats {
  readonly items: number;
  readonly entries: number;
  readonly bytes: number;
  readonly batches: number;
  readonly committed: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly unknown: number;
  /** Calls of the sink that the batches took, retries included. */
  readonly attempts: number;
  /** How long the flush took, in milliseconds. */
  readonly durationMs: number;
  /** Age of the oldest batch when it was sealed, counted from its first item, in milliseconds. */
  readonly batchAgeMs: number;
}

/** What `deliver()` resolves with: the item has landed. */
export interface Receipt {
  /** Attempts of its batch until it landed. */
  readonly attempts: number;
  /** Items and entries of the batch that it shared. */
  readonly items: number;
  readonly entries: number;
}

/** Something that `close()` hands back: it is not known to have landed. */
export interface Undelivered<Batch> {
  readonly batch: Batch;
  /** `abandoned`: certainly not applied. `unknown`: applied or not. */
  readonly outcome: "abandoned" | "unknown";
  readonly items: number;
}

/** What became of everything that was held when `close()` was called, in items. */
export interface CloseReport<Batch = unknown> {
  readonly items: number;
  readonly committed: number;
  /** Dead-lettered: rejected by the sink, or out of time and certainly not applied. */
  readonly rejected: number;
  readonly unknown: number;
  /** Not applied, and handed back in `undelivered`. */
  readonly abandoned: number;
  readonly undelivered: readonly Undelivered<Batch>[];
  readonly durationMs: number;
  /** The final accounts. */
  readonly stats: Stats;
}

/** Adds up what became of the segments that a flush or a close covered. */
export function sumLandings<Batch>(
  landings: readonly Landing<Batch>[],
): Omit<FlushStats, "durationMs"> & { readonly abandoned: number } {
  const total = {
    items: 0,
    entries: 0,
    bytes: 0,
    batches: 0,
    committed: 0,
    deadLettered: 0,
    dropped: 0,
    abandoned: 0,
    unknown: 0,
    attempts: 0,
    batchAgeMs: 0,
  };
  for (const landing of landings) {
    total.items += landing.items;
    total.entries += landing.entries;
    total.bytes += landing.bytes;
    total.batches += landing.batches;
    total.committed += landing.committed;
    total.attempts += landing.attempts;
    total.dropped += landing.droppedItems;
    total.batchAgeMs = Math.max(total.batchAgeMs, landing.ageMs);
    for (const { outcome, size } of landing.shortfalls) {
      if (outcome === "unknown") total.unknown += size.items;
      else if (outcome === "abandoned") total.abandoned += size.items;
      else total.deadLettered += size.items;
    }
  }
  total.dropped += total.abandoned;
  return total;
}

/** What `close()` has to tell of the segments it covered. */
export function closeReport<Batch>(
  landings: readonly Landing<Batch>[],
  durationMs: number,
  stats: Stats,
): CloseReport<Batch> {
  const { items, committed, deadLettered, abandoned, unknown } = sumLandings(landings);
  const undelivered = landings.flatMap(({ shortfalls }) =>
    shortfalls.flatMap(({ outcome, part, size }) =>
      part !== undefined && (outcome === "abandoned" || outcome === "unknown")
        ? [{ batch: part, outcome, items: size.items }]
        : [],
    ),
  );
  const figures = { items, committed, rejected: deadLettered, unknown, abandoned };
  return { ...figures, durationMs, undelivered, stats };
}

/** "3 of 10 items did not land: 2 dead-lettered, 1 unknown". */
function describeShortfall(report: {
  readonly items: number;
  readonly committed: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly unknown: number;
}): string {
  const { items, committed } = report;
  const parts = (["deadLettered", "dropped", "unknown"] as const)
    .filter((account) => report[account] > 0)
    .map(
      (account) => `${report[account]} ${account === "deadLettered" ? "dead-lettered" : account}`,
    );
  return `${items - committed} of ${items} items did not land: ${parts.join(", ")}`;
}

/** The rejection of a `flush()` that fell short; `report` carries the figures. */
export function flushIncomplete(stats: FlushStats, cause: unknown): SluiceError {
  return new SluiceError("SLUICE_ERR_FLUSH_INCOMPLETE", describeShortfall(stats), {
    cause,
    report: stats,
  });
}

/** The rejection of `await using` where `close()` fell short. */
export function closeIncomplete(name: string, report: CloseReport, cause: unknown): SluiceError {
  const { items, committed, rejected, unknown, abandoned } = report;
  const figures = { items, committed, deadLettered: rejected, dropped: abandoned, unknown };
  const message = `${name}: ${describeShortfall(figures)}`;
  return new SluiceError("SLUICE_ERR_CLOSE_INCOMPLETE", message, { cause, report });
}

/** What the caller of an item is told that overflow has dropped. */
export function droppedError(why: string): SluiceError {
  return new SluiceError("SLUICE_ERR_DELIVERY_DROPPED", `the item was dropped: ${why}`);
}
