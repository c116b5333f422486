/**
 * What `createAgentMetadataBatcher` takes and makes.
 */
import type { Batcher, WaitOptions } from "../core/batcher.ts";
import type { Stats } from "../core/books.ts";
import type { BatcherOptions } from "../core/options.ts";
import type { PublisherStats } from "../pubsub/publisher.ts";
import type { Pubsub } from "../pubsub/pubsub.ts";
import type { LatestBatch } from "../shapes/latest-batch.ts";
import type { PostgresSinkOptions } from "../sinks/postgres/postgres-sink.ts";
import type { AgentMetadataEntry, AgentMetadataLists } from "./agent-metadata-entries.ts";
import type { AgentMetadata } from "./agent-metadata-table.ts";

/** The options of `createAgentMetadataBatcher`: those of a batcher and of its sink, and */
export interface AgentMetadataOptions
  extends Omit<BatcherOptions<unknown, LatestBatch, Record<string, unknown>>, "shape" | "sink">,
    PostgresSinkOptions {
  /** Default "agent_metadata": see `agentMetadataDdl`. */
  readonly table?: string | undefined;
  /** What becomes of an entry without a row: `ignore` (default), for rows made elsewhere, or `insert`. */
  readonly onMissing?: "ignore" | "insert" | undefined;
  /**
   * How readers hear of changes; `postgresPubsub` reaches every replica. It is not closed with the
   * batcher. Default: one of its own, within this object; other replicas then see changes by polling.
   */
  readonly pubsub?: Pubsub | undefined;
  /** The channel on which ids of agents are published. Default "agent_metadata_batch". */
  readonly channel?: string | undefined;
  /** Notify in the transaction of the data, which costs what `publishing` states. Default false. */
  readonly atomic?: boolean | undefined;
  /** A watcher reads at least this often, in milliseconds. Default 5,000. */
  readonly pollIntervalMs?: number | undefined;
  /** A watcher reads at most this often, in milliseconds. Default 1,000. */
  readonly readIntervalMs?: number | undefined;
}

/** Why a batch left: it was full, it was due or asked for, or the batcher was closing. */
export type AgentMetadataFlushReason = "capacity" | "scheduled" | "shutdown";

/** The accounts, and what became of entries and notifications. */
export interface AgentMetadataStats extends Stats {
  /** Batches by the reason for which they left. */
  readonly flushes: Readonly<Record<AgentMetadataFlushReason, number>>;
  /** Items that a newer or equal one replaced before they were written. */
  readonly superseded: number;
  /** Rows written; entries whose row was newer; entries without a row, whatever became of them. */
  readonly changed: number;
  readonly stale: number;
  readonly missing: number;
  /** Payloads that were published. */
  readonly notifications: number;
  /** The accounts of publishing, in agents: `retries` counts attempts after failures. */
  readonly published: PublisherStats;
}

/** Gathers metadata. The rest is as with any `Batcher`. */
export interface AgentMetadataBatcher
  extends Omit<Batcher<unknown, LatestBatch>, "tryAdd" | "add" | "addMany" | "deliver" | "stats"> {
  /**
   * Takes an agent's entries, waiting for room. All are checked before one is taken. Rejects with a
   * usage error where an id, a key, a value or a time is not acceptable; with
   * `SLUICE_ERR_ADD_INCOMPLETE` where only the first ones were taken, because their keys have more than
   * 6,144 bytes together or the wait ended.
   */
  add(
    agentId: string,
    entries: readonly AgentMetadataEntry[] | AgentMetadataLists,
    options?: WaitOptions,
  ): Promise<void>;
  /** The same without waiting, and whether all were taken. Those that were not are counted as refused. */
  tryAdd(agentId: string, entries: readonly AgentMetadataEntry[] | AgentMetadataLists): boolean;
  /**
   * What an agent has reported: at once, and again whenever it differs. Reads when a notification names
   * the agent, when one may have been missed, and every `pollIntervalMs`. A failed read is a `warning`
   * event, and is tried again. Ends when `signal` is aborted, by `break`, and when the batcher closes.
   */
  watch(
    agentId: string,
    options?: WaitOptions,
  ): AsyncIterableIterator<AgentMetadata, void, undefined>;
  stats(): AgentMetadataStats;
}
