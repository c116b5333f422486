/**
 * What became of agents' metadata, counted from the events of its batcher.
 */
import type { FlushReason, SluiceEvent } from "../events.ts";
import type { LatestDetails } from "../sinks/postgres/write-latest.ts";
import type { AgentMetadataFlushReason, AgentMetadataStats } from "./agent-metadata-types.ts";

const REASONS: Readonly<Record<FlushReason, AgentMetadataFlushReason>> = {
  entries: "capacity",
  bytes: "capacity",
  delay: "scheduled",
  flush: "scheduled",
  close: "shutdown",
};

/** What a batch has to tell; notifications only where they are part of its statement. */
type WrittenDetails = LatestDetails & { readonly payloads?: number };

/** Counts, as events come. */
export interface MetadataCounts {
  count(event: SluiceEvent): void;
  /** As of now; `notifications` are those that were part of a statement. */
  read(): Pick<
    AgentMetadataStats,
    "flushes" | "superseded" | "changed" | "stale" | "missing" | "notifications"
  >;
}

/** Counts that begin at nothing. */
export function metadataCounts(): MetadataCounts {
  const flushes = { capacity: 0, scheduled: 0, shutdown: 0 };
  const counts = { superseded: 0, changed: 0, stale: 0, missing: 0, notifications: 0 };
  return {
    count: (event) => {
      if (event.type === "sealed") {
        flushes[REASONS[event.reason]] += 1;
        counts.superseded += event.items - event.entries;
      }
      if (event.type !== "committed" || event.details === undefined) return;
      const { changed, stale, missing, payloads = 0 } = event.details as WrittenDetails;
      counts.changed += changed;
      counts.stale += stale.length;
      counts.missing += missing.length;
      counts.notifications += payloads;
    },
    read: () => ({ ...counts, flushes: { ...flushes } }),
  };
}
