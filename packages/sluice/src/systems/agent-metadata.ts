/**
 * Metadata of many agents: the newest value per agent and key, by one statement per flush, and readers
 * that hear of it at once, on any replica.
 */
import { systemClock, systemRandom } from "../clock.ts";
import { createBatcher } from "../core/batcher.ts";
import { emitter } from "../core/emitter.ts";
import { checkName, FIXED, given, LIMITS } from "../core/options.ts";
import {
  atMost,
  callOptions,
  count,
  duration,
  refuseAbove,
  refuseUnknown,
} from "../core/validate.ts";
import { isSluiceError, SluiceError } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { localPubsub } from "../pubsub/local-pubsub.ts";
import { checkUuid, packUuids, unpackUuids } from "../pubsub/payloads.ts";
import { createPublisher } from "../pubsub/publisher.ts";
import { Watchers } from "../pubsub/watchers.ts";
import { latest } from "../shapes/latest.ts";
import { type PostgresDriver, transactor } from "../sinks/postgres/driver.ts";
import { SINK_OPTIONS } from "../sinks/postgres/postgres-sink.ts";
import { publishing } from "../sinks/postgres/publishing.ts";
import { writeLatest } from "../sinks/postgres/write-latest.ts";
import { metadataCounts } from "./agent-metadata-counts.ts";
import { readEntries } from "./agent-metadata-entries.ts";
import { type AgentMetadata, agentReader, DEFAULT_TABLE, FIELDS } from "./agent-metadata-table.ts";
import type { AgentMetadataBatcher, AgentMetadataOptions } from "./agent-metadata-types.ts";

export type { AgentMetadataEntry, AgentMetadataLists } from "./agent-metadata-entries.ts";
export {
  type AgentMetadata,
  agentMetadataDdl,
  type AgentMetadataDdlOptions,
} from "./agent-metadata-table.ts";
export type {
  AgentMetadataBatcher,
  AgentMetadataFlushReason,
  AgentMetadataOptions,
  AgentMetadataStats,
} from "./agent-metadata-types.ts";

/** The limits where none are stated: those of the reference, whose queue is five batches long. */
const DEFAULTS = {
  name: "agent-metadata",
  maxEntries: 500,
  maxDelayMs: 5_000,
  closeTimeoutMs: 15_000,
} as const;
const QUEUE_BATCHES = 5;

/** How long `flush()` and `close()` wait for notifications, which are no part of their promise. */
const PUBLISH_PATIENCE_MS = 2_000;

const OPTIONS: readonly string[] = [
  "table",
  "onMissing",
  "pubsub",
  "channel",
  "atomic",
  "pollIntervalMs",
  "readIntervalMs",
  ...SINK_OPTIONS,
  ...FIXED.filter((option) => option !== "shape" && option !== "sink"),
  ...LIMITS,
];

const shape = latest(FIELDS);

/**
 * Makes a batcher for agents' metadata. Defaults: 500 entries or 5 s per flush, 2,500 entries held, 15 s
 * for the last flush.
 *
 * @example
 * await migrate(pool, agentMetadataDdl());
 * const pubsub = postgresPubsub(pool, { listen: () => new pg.Client(url) });
 * const metadata = createAgentMetadataBatcher(pool, { pubsub, onMissing: "insert" });
 * await metadata.add(agentId, [{ key: "load", value: "0.7" }]);
 * for await (const { entries } of metadata.watch(agentId, { signal })) render(entries);
 */
export function createAgentMetadataBatcher(
  driver: PostgresDriver,
  options: AgentMetadataOptions = {},
): AgentMetadataBatcher {
  refuseUnknown(options, OPTIONS, "createAgentMetadataBatcher: ");
  const { table = DEFAULT_TABLE, onMissing, ledger, prepare, classify, ...others } = options;
  const { pubsub, channel = "agent_metadata_batch", atomic, ...rest } = others;
  const { pollIntervalMs, readIntervalMs, ...limits } = rest;
  const clock = limits.clock ?? systemClock;
  const random = limits.random ?? systemRandom;
  const intervals = {
    pollIntervalMs: duration("pollIntervalMs", pollIntervalMs, 5_000, 1),
    readIntervalMs: duration("readIntervalMs", readIntervalMs, 1_000, 0),
  };
  refuseAbove(
    "readIntervalMs",
    intervals.readIntervalMs,
    "pollIntervalMs",
    intervals.pollIntervalMs,
  );
  if (atomic === true && pubsub === undefined) {
    const message = "atomic notifies through PostgreSQL: pass a pubsub that listens to it";
    throw new SluiceError("SLUICE_ERR_OPTION_CONFLICT", `createAgentMetadataBatcher: ${message}`);
  }
  const name = limits.name ?? DEFAULTS.name;
  checkName(name);
  const emit = emitter(name, limits.observe, limits.deadLetter !== undefined);
  const warn = (error: unknown): void => emit({ type: "warning", error });

  const counts = metadataCounts();
  const observe = (event: SluiceEvent): void => {
    counts.count(event);
    emit(event);
  };

  const bus = pubsub ?? localPubsub({ observe: limits.observe });
  const publisher = createPublisher(bus, {
    name: `${name}:publisher`,
    channel,
    pack: packUuids,
    observe: limits.observe,
    clock,
    random,
  });
  const sink = writeLatest(driver, {
    table,
    onMissing,
    types: { agent_id: "uuid", key: "varchar" },
    ledger,
    prepare,
    classify,
  });
  const maxEntries = limits.maxEntries ?? atMost(limits.maxBufferedEntries, DEFAULTS.maxEntries);
  const batcher = createBatcher({
    ...DEFAULTS,
    maxBufferedEntries: QUEUE_BATCHES * count("maxEntries", maxEntries, DEFAULTS.maxEntries),
    ...given(limits),
    maxEntries,
    observe,
    shape,
    sink: publishing(sink, {
      publisher,
      keys: ({ entries }) => new Set(entries.map(({ key }) => key[0] ?? "")),
      atomic,
    }),
  });
  const watchers = new Watchers<AgentMetadata>({
    pubsub: bus,
    channel,
    unpack: unpackUuids,
    read: agentReader(transactor(driver), table),
    clock,
    random,
    ...intervals,
    warn,
  });

  let closeTimeoutMs = limits.closeTimeoutMs ?? DEFAULTS.closeTimeoutMs;
  /** Publishing gets what is left of the caller's time, and no more than its share. */
  const patience = (timeoutMs: number, since: number) => ({
    timeoutMs: Math.max(0, Math.min(PUBLISH_PATIENCE_MS, timeoutMs - (clock.now() - since))),
  });
  const end = async (timeoutMs: number, since: number): Promise<void> => {
    await publisher.close(patience(timeoutMs, since));
    watchers.close();
    if (pubsub === undefined) await bus.close();
  };
  const read = (agentId: string, entries: Parameters<typeof readEntries>[1]) =>
    readEntries(checkUuid(agentId), entries, clock.epochMs());
  const refuseRest = (taken: number, cause: SluiceError | undefined): void => {
    if (cause === undefined) return;
    const details = { cause, report: { accepted: taken } };
    throw new SluiceError("SLUICE_ERR_ADD_INCOMPLETE", `${name}: ${cause.message}`, details);
  };

  return {
    name,
    add: async (agentId, entries, waitOptions) => {
      const { items, excess } = read(agentId, entries);
      try {
        await batcher.addMany(items, waitOptions);
      } catch (error) {
        // Where nothing was taken, there is no more to say than why.
        const report = isSluiceError(error) ? (error.report as { accepted?: number }) : undefined;
        throw report?.accepted === 0 ? (error as SluiceError).cause : error;
      }
      refuseRest(items.length, excess);
    },
    tryAdd: (agentId, entries) => {
      const { items, excess } = read(agentId, entries);
      const taken = items.filter((item) => batcher.tryAdd(item));
      refuseRest(taken.length, excess);
      return taken.length === items.length;
    },
    watch: (agentId, watchOptions) => {
      const { signal } = callOptions("watch", watchOptions, ["signal"]);
      return watchers.watch(checkUuid(agentId), signal);
    },
    flush: async (flushOptions) => {
      const startedAt = clock.now();
      const stats = await batcher.flush(flushOptions);
      const { timeoutMs = Infinity } = flushOptions ?? {};
      await publisher.flush(patience(timeoutMs, startedAt)).catch(ignore);
      return stats;
    },
    close: async (closeOptions) => {
      const startedAt = clock.now();
      const report = await batcher.close(closeOptions);
      await end(closeOptions?.timeoutMs ?? closeTimeoutMs, startedAt);
      return report;
    },
    stats: () => {
      const [figures, published] = [counts.read(), publisher.stats()];
      const notifications = figures.notifications + published.payloads;
      return { ...batcher.stats(), ...figures, notifications, published };
    },
    configure: (changes) => {
      batcher.configure(changes);
      closeTimeoutMs = changes.closeTimeoutMs ?? closeTimeoutMs;
    },
    [Symbol.asyncDispose]: async () => {
      const startedAt = clock.now();
      try {
        await batcher[Symbol.asyncDispose]();
      } finally {
        await end(closeTimeoutMs, startedAt);
      }
    },
  };
}

/** A notification that fails is tried again, and told as an event: it fails nobody's flush. */
const ignore = (): void => undefined;
