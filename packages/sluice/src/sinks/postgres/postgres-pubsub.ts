/**
 * The pubsub of PostgreSQL: NOTIFY in a transaction of its own, LISTEN on a connection of its own.
 */
import { type Clock, type Random, systemClock, systemRandom, uniqueId } from "../../clock.ts";
import { emitter } from "../../core/emitter.ts";
import { within } from "../../core/waits.ts";
import { callOptions, duration, invalidOption, refuseUnknown } from "../../core/validate.ts";
import { messageOf, retryable, SluiceError } from "../../errors.ts";
import type { Observe } from "../../events.ts";
import { checkChannel, checkPayloads, type Pubsub } from "../../pubsub/pubsub.ts";
import { textArray } from "./array-literal.ts";
import { type PostgresDriver, type Transact, transactor } from "./driver.ts";
import { canListen, type ListenSource, openerOf } from "./listen-connection.ts";
import { Listener } from "./listener.ts";
import { limitsSql } from "./postgres-sink.ts";

/** The options of `postgresPubsub`. */
export interface PostgresPubsubOptions {
  /**
   * Where the listener's own connection comes from: `() => new pg.Client(url)`, the `sql` function of
   * postgres, or a PGlite database. It must not go through a transaction pooler. Default: the driver,
   * where it can listen. A Pool of pg cannot: with one, and without this option, `subscribe` throws.
   *
   * The `sql` function keeps one connection for all that it listens to: it notices by itself, in the
   * time that TCP takes, when the server is gone, and holds the connection until `sql.end()`.
   * `() => postgres(url, { max: 1 })` gives the listener one that the heartbeat can replace.
   */
  readonly listen?: ListenSource | undefined;
  /** How often a connection that is silent is tested, in milliseconds. Default 30,000. */
  readonly heartbeatMs?: number | undefined;
  /** Receives `warning` events: listening fails, or a subscriber throws. */
  readonly observe?: Observe | undefined;
  /** Default: real time. */
  readonly clock?: Clock | undefined;
  /** Jitter. Default: real chance. */
  readonly random?: Random | undefined;
}

const OPTIONS: readonly (keyof PostgresPubsubOptions)[] = [
  "listen",
  "heartbeatMs",
  "observe",
  "clock",
  "random",
];

const DEFAULT_TIMEOUT_MS = 30_000;
const PUBLISH = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload";

/**
 * Makes a pubsub of a PostgreSQL database: every process that connects to it hears of every other.
 *
 * All subscriptions share one connection, opened with the first and closed with the last. It proves
 * itself by hearing what it publishes through the driver, when it is opened and every `heartbeatMs`;
 * it is opened again, after a growing pause, whenever that fails. A `warning` event with
 * `SLUICE_ERR_POSTGRES_LISTEN` says so, once per outage.
 */
export function postgresPubsub(
  driver: PostgresDriver,
  options: PostgresPubsubOptions = {},
): Pubsub {
  refuseUnknown(options, OPTIONS);
  const { observe, clock = systemClock, random = systemRandom } = options;
  const notifier = new Notifier(transactor(driver), clock);
  const own = canListen(driver) ? driver : undefined;
  const source = options.listen === undefined ? own : options.listen;
  const probeChannel = `sluice_probe_${uniqueId()}`;
  const heartbeatMs = duration("heartbeatMs", options.heartbeatMs, 30_000, 1);
  const listener =
    source === undefined
      ? undefined
      : new Listener({
          clock,
          random,
          heartbeatMs,
          probeChannel,
          open: openerOf(source),
          emit: emitter("postgres-pubsub", observe, false),
          publishProbe: (payload, timeoutMs, signal) =>
            notifier.publish(probeChannel, [payload], timeoutMs, signal),
        });
  let closed = false;
  const refuseClosed = (): void => {
    if (closed) throw new SluiceError("SLUICE_ERR_PUBSUB_CLOSED", "the pubsub is closed");
  };

  return {
    publish: async (channel, payloads, publishing) => {
      refuseClosed();
      const call = callOptions("publish", publishing, ["timeoutMs", "signal"]);
      const timeoutMs = duration("timeoutMs", call.timeoutMs, DEFAULT_TIMEOUT_MS, 1);
      checkChannel(channel);
      checkPayloads(payloads);
      await notifier.publish(channel, payloads, timeoutMs, call.signal);
    },
    subscribe: (channel, subscriber) => {
      refuseClosed();
      checkChannel(channel);
      if (listener !== undefined) return listener.subscribe(channel, subscriber);
      const expected =
        "given where the driver is a Pool of pg, as in listen: () => new pg.Client(url)";
      throw invalidOption("listen", expected, undefined);
    },
    close: async () => {
      closed = true;
      await listener?.close();
    },
  };
}

/** Publishes. Transactions are short, and never wait for the disk: what is lost was a hint. */
class Notifier {
  readonly #transact: Transact;
  readonly #clock: Clock;

  constructor(transact: Transact, clock: Clock) {
    this.#transact = transact;
    this.#clock = clock;
  }

  async publish(
    channel: string,
    payloads: readonly string[],
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (payloads.length === 0) return;
    let committing = false;
    const given = new AbortController(); // given up, whatever the reason
    const published = this.#transact(
      (session) => session.query(PUBLISH, [channel, textArray(payloads)]),
      {
        limits: `SET LOCAL synchronous_commit = off; ${limitsSql(timeoutMs)}`,
        signal: given.signal,
        onCommit: () => {
          committing = true;
        },
      },
    );
    const late = (): Error => new Error(`publishing took longer than ${timeoutMs} ms`);
    try {
      await within(this.#clock, timeoutMs, published, signal, late);
    } catch (error) {
      given.abort(error);
      signal?.throwIfAborted();
      throw retryable(messageOf(error), { cause: error, ambiguous: committing });
    }
  }
}
