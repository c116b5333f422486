/**
 * Tells a channel which keys have changed: a batcher of its own, whose sink is a pubsub.
 */
import { messageOf, rejected } from "../errors.ts";
import { createBatcher, type CloseOptions, type FlushOptions } from "../core/batcher.ts";
import type { Stats } from "../core/books.ts";
import { emitter } from "../core/emitter.ts";
import { type BatcherOptions, given } from "../core/options.ts";
import type { CloseReport, FlushStats } from "../core/reports.ts";
import { atLeast, atMost, checkObject, invalidOption } from "../core/validate.ts";
import { distinct } from "../shapes/distinct.ts";
import type { KeyedBatch } from "../shapes/keyed-batch.ts";
import { packTexts } from "./payloads.ts";
import { checkChannel, checkPayloads, MAX_PAYLOAD_BYTES, type Pubsub } from "./pubsub.ts";

/** The options of `createPublisher`: those of a batcher but `shape`, `sink` and `deadLetter`, and */
export interface PublisherOptions
  extends Omit<BatcherOptions<unknown, KeyedBatch>, "shape" | "sink" | "deadLetter"> {
  readonly channel: string;
  /** How keys become payloads. Default `packTexts`; for UUIDs `packUuids` needs less room. */
  readonly pack?: ((keys: readonly string[]) => readonly string[]) | undefined;
}

/** What a publisher has done: its accounts in keys, and */
export interface PublisherStats extends Stats {
  /** Payloads that were published. */
  readonly payloads: number;
}

/** Publishes keys, each once however often it is named meanwhile. Made by `createPublisher`. */
export interface Publisher {
  readonly channel: string;
  /** How keys become payloads. */
  pack(keys: readonly string[]): readonly string[];
  /**
   * Takes keys to publish. Never waits and never throws: keys that are refused become a `warning`
   * event, and publishing that fails is tried again, as `stats().retries` shows.
   */
  publish(keys: Iterable<string>): void;
  /** As with a batcher: sends at once, and waits until what was taken before has been published. */
  flush(options?: FlushOptions): Promise<FlushStats>;
  /** As with a batcher: takes nothing more, and publishes what was taken. Leaves the pubsub open. */
  close(options?: CloseOptions): Promise<CloseReport<KeyedBatch>>;
  stats(): PublisherStats;
}

/** The limits that `createPublisher` has where none are stated. */
const DEFAULTS = {
  maxEntries: 3_630, // ten payloads of UUIDs
  maxDelayMs: 200, // at most five transactions a second, plus those that are asked for
  maxBufferedEntries: 100_000,
  overflow: "drop-oldest",
  writeTimeoutMs: 5_000,
} as const;

/**
 * Makes a publisher. Keys gather for 200 ms, then all their payloads go out in one transaction, and at
 * most one is under way. Beyond 100,000 keys the oldest are dropped, and counted: readers poll as well.
 *
 * @example
 * const changes = createPublisher(pubsub, { channel: "settings" });
 * changes.publish(["theme", "locale"]);
 */
export function createPublisher(pubsub: Pubsub, options: PublisherOptions): Publisher {
  if (typeof pubsub?.publish !== "function") {
    throw invalidOption("pubsub", "a pubsub, such as localPubsub() or postgresPubsub(…)", pubsub);
  }
  checkObject("createPublisher: the options", options);
  const { channel, pack = packTexts, ...limits } = options;
  checkChannel(channel);
  if (typeof pack !== "function") throw invalidOption("pack", "a function", pack);
  const name = limits.name ?? `publisher:${channel}`;
  const emit = emitter(name, limits.observe, false);
  let payloads = 0;
  // A key that makes no payload must not keep the others waiting for ever.
  const packAll = (keys: readonly string[]): readonly string[] => {
    try {
      const packed = pack(keys);
      checkPayloads(packed);
      return packed;
    } catch (error) {
      throw rejected(messageOf(error), { cause: error, ambiguous: false });
    }
  };
  const batcher = createBatcher({
    ...DEFAULTS,
    maxEntries: atMost(limits.maxBufferedEntries, DEFAULTS.maxEntries),
    maxBufferedEntries: atLeast(limits.maxEntries, DEFAULTS.maxBufferedEntries),
    ...given(limits),
    name,
    shape: distinct({ key: ["key"], maxKeyBytes: MAX_PAYLOAD_BYTES }),
    sink: {
      write: async ({ entries }, { signal, timeoutMs }) => {
        const packed = packAll(entries.map(({ key }) => key[0] ?? ""));
        await pubsub.publish(channel, packed, { signal, timeoutMs });
        payloads += packed.length;
      },
    },
  });
  return {
    channel,
    pack,
    publish: (keys) => {
      const refusals: unknown[] = [];
      try {
        for (const key of keys) {
          try {
            batcher.tryAdd({ key });
          } catch (error) {
            refusals.push(error);
          }
        }
      } catch (error) {
        refusals.push(error); // of the iterable itself
      }
      if (refusals.length > 0) emit({ type: "warning", error: refusals[0] });
    },
    flush: (flushOptions) => batcher.flush(flushOptions),
    close: (closeOptions) => batcher.close(closeOptions),
    stats: () => ({ ...batcher.stats(), payloads }),
  };
}
