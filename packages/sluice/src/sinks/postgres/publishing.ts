import { invalidOption, refuseUnknown } from "../../core/validate.ts";
import type { Publisher } from "../../pubsub/publisher.ts";
import { checkPayloads } from "../../pubsub/pubsub.ts";
import type { Sink } from "../sink.ts";
import { textArray } from "./array-literal.ts";
import { type PostgresSink, postgresSink } from "./postgres-sink.ts";
import type { BoundWrite } from "./table-write.ts";

/** The options of `publishing`. */
export interface PublishingOptions<Batch> {
  /** Whose channel is told, and by whom where `atomic` is not set. */
  readonly publisher: Publisher;
  /** The keys that a batch is about; repetitions are published once. */
  readonly keys: (batch: Batch) => Iterable<string>;
  /**
   * Publish in the transaction of the data, so that readers hear of it exactly when they can see it,
   * and no notification is lost with the process. An entry whose key makes no payload is rejected then.
   * The publisher gives its channel and its packing; its pubsub is not used. Default false.
   *
   * **What it costs.** PostgreSQL serialises the commits of transactions that notify, over all databases
   * of a server, for as long as a commit takes. Measured on PostgreSQL 18 with 32 connections that write
   * a row per transaction: 8,330 transactions per second became 2,274, and 1,153 with 50 idle listeners
   * on other channels; published after the commit they stayed at 7,769. Where a commit waits 1 to 2 ms
   * for its disk, all writers together are left with 500 to 1,000. `bench/publish.js` compares the ways.
   */
  readonly atomic?: boolean | undefined;
}

/**
 * A sink that tells a channel what it has written: after the data is committed, in transactions of the
 * publisher's own. A failure to publish is tried again and never fails a batch. With `atomic`, within
 * the one statement that writes the data; only then it can be composed with others.
 *
 * @example
 * const changes = createPublisher(postgresPubsub(pool), { channel: "settings" });
 * const sink = publishing(writeLatest(pool, { table: "settings" }), {
 *   publisher: changes,
 *   keys: ({ entries }) => entries.map(({ key }) => key[0] ?? ""),
 * });
 */
export function publishing<Batch>(
  sink: PostgresSink<Batch>,
  options: PublishingOptions<Batch> & { readonly atomic: true },
): PostgresSink<Batch>;
export function publishing<Batch>(
  sink: PostgresSink<Batch>,
  options: PublishingOptions<Batch>,
): Sink<Batch>;
export function publishing<Batch>(
  sink: PostgresSink<Batch>,
  options: PublishingOptions<Batch>,
): Sink<Batch> {
  refuseUnknown(options, ["publisher", "keys", "atomic"], "publishing: ");
  const { publisher, keys, atomic = false } = options;
  if (typeof sink?.writes !== "function") {
    throw invalidOption("publishing: sink", "a PostgreSQL sink", sink);
  }
  if (typeof publisher?.publish !== "function" || typeof publisher.pack !== "function") {
    throw invalidOption("publishing: publisher", "one of createPublisher()", publisher);
  }
  if (typeof keys !== "function") throw invalidOption("publishing: keys", "a function", keys);
  if (typeof atomic !== "boolean") throw invalidOption("publishing: atomic", "a boolean", atomic);
  if (atomic) {
    const { channel } = publisher;
    return postgresSink(sink.driver, sink.options, sink.tables, (batch) => [
      ...sink.writes(batch),
      notify(channel, () => publisher.pack([...new Set(keys(batch))])),
    ]);
  }
  const { check } = sink;
  return {
    ...(check === undefined ? {} : { check: (empty: Batch) => check(empty) }),
    write: async (batch, context) => {
      const result = await sink.write(batch, context);
      try {
        publisher.publish(keys(batch));
      } catch (error) {
        context.warn(error); // of `keys`: the data has landed all the same
      }
      return result;
    },
  };
}

/** A part of a flush that notifies a channel of payloads, and tells how many in `details.payloads`. */
function notify(channel: string, payloads: () => readonly string[]): BoundWrite {
  return {
    sql: (first, gate, name) =>
      `${name} AS (SELECT pg_notify($${first}, u.payload) FROM unnest($${first + 1}::text[]) AS u(payload) WHERE ${gate})`,
    values: () => {
      const packed = payloads();
      checkPayloads(packed);
      return [channel, textArray(packed)];
    },
    columns: () => ({}),
    details: ({ count }) => ({ payloads: Number(count) }),
  };
}
