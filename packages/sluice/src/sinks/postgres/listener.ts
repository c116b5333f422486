/**
 * The subscriptions of a pubsub, and the one connection that serves them for as long as there are any.
 */
import type { Clock, Random, Timer } from "../../clock.ts";
import { backoffMs } from "../../core/circuit.ts";
import { detached } from "../../core/detached.ts";
import { messageOf, SluiceError } from "../../errors.ts";
import type { UnnamedEvent } from "../../events.ts";
import type { Subscriber, Subscription } from "../../pubsub/pubsub.ts";
import { type Ending, Listening, type ListeningParts } from "./listening.ts";

/** Pauses between connections, in milliseconds: they grow from 50 to 30,000, with full jitter. */
const RETRY = { baseDelayMs: 50, maxDelayMs: 30_000, circuitAfter: Infinity };

/** What a listener is given. */
export interface ListenerParts
  extends Pick<ListeningParts, "heartbeatMs" | "open" | "probeChannel" | "publishProbe"> {
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: (event: UnnamedEvent) => void;
}

/** A subscription as the listener sees it. */
interface Place {
  readonly subscriber: Subscriber;
  /** Listening to its channel has been proven once: from then on it hears of gaps. */
  heard: boolean;
  readonly ready: () => void;
}

export class Listener {
  readonly #parts: ListenerParts;
  readonly #channels = new Map<string, Set<Place>>();
  readonly #closing = new Set<Promise<void>>();
  /** What this outage has been warned of. */
  readonly #warned = new Set<Ending>();
  #listening: Listening | undefined;
  /** Failures in a row, and when the next connection may be opened. They outlive subscriptions. */
  #failures = 0;
  #openAt = 0;
  #opening: Timer;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  subscribe(channel: string, subscriber: Subscriber): Subscription {
    let ready: () => void = () => undefined;
    const whenReady = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const place: Place = { subscriber, heard: false, ready };
    const places = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, places.add(place));
    this.#adjust();
    this.#admit(channel, place);
    return { ready: whenReady, close: () => this.#leave(channel, place) };
  }

  /** Ends every subscription and the connection. Never rejects. */
  async close(): Promise<void> {
    for (const [channel, places] of this.#channels) {
      for (const place of places) this.#leave(channel, place);
    }
    await Promise.all(this.#closing);
  }

  #leave(channel: string, place: Place): void {
    const places = this.#channels.get(channel);
    if (places?.delete(place) !== true) return;
    place.ready();
    if (places.size > 0) return;
    this.#channels.delete(channel);
    this.#adjust();
  }

  /** Opens, adjusts or ends the connection, as the subscriptions ask. Not in their async context. */
  #adjust(): void {
    detached(() => {
      if (this.#channels.size === 0) this.#stop();
      else if (this.#listening !== undefined) this.#listening.adjust();
      else if (this.#opening === undefined) this.#openSoon();
    });
  }

  #openSoon(): void {
    const { clock } = this.#parts;
    const pause = this.#openAt - clock.now();
    if (pause > 0) this.#opening = clock.schedule(() => this.#open(), pause);
    else this.#open();
  }

  #open(): void {
    this.#opening = undefined;
    const listening = new Listening({
      ...this.#parts,
      wanted: () => this.#channels.keys(),
      onPayload: (channel, payload) => this.#deliver(channel, payload),
      onListening: (first) => this.#listens(first),
      onEnded: (ending, error) => this.#ended(ending, error),
    });
    this.#listening = listening;
    listening.start();
  }

  #stop(): void {
    this.#parts.clock.cancel(this.#opening);
    this.#opening = undefined;
    const listening = this.#listening;
    this.#listening = undefined;
    if (listening === undefined) return;
    const closing: Promise<void> = listening.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Those that wait are ready; those that were ready may have missed something. */
  #listens(first: boolean): void {
    if (first) {
      this.#failures = 0;
      this.#warned.clear();
    }
    for (const [channel, place] of this.#places()) {
      if (place.heard) {
        if (first) this.#call(channel, place, () => place.subscriber.onGap());
      } else this.#admit(channel, place);
    }
  }

  #admit(channel: string, place: Place): void {
    if (this.#listening?.hears(channel) !== true) return;
    place.heard = true;
    place.ready();
  }

  #ended(ending: Ending, error: unknown): void {
    this.#listening = undefined;
    if (ending !== "restarted") {
      this.#failures += 1;
      this.#warn(ending, error);
    }
    const { clock, random } = this.#parts;
    this.#openAt = clock.now() + backoffMs(Math.max(1, this.#failures), RETRY, random);
    this.#openSoon();
  }

  /** Once per outage. A connection that is lost is no news; one that cannot be had again is. */
  #warn(ending: "deaf" | "lost", cause: unknown): void {
    if (this.#warned.has(ending) || (ending === "lost" && this.#failures < 2)) return;
    this.#warned.add(ending);
    const message =
      ending === "lost"
        ? `listening fails, and is tried again and again: ${messageOf(cause)}. Until then readers poll.`
        : `the listener hears nothing of what is published: ${messageOf(cause)}. Its connection goes through a transaction pooler such as pgbouncer, which swallows LISTEN, or leads to another database or a replica. Connect it directly, as with listen: () => new pg.Client(url). Until then readers poll.`;
    const error = new SluiceError("SLUICE_ERR_POSTGRES_LISTEN", message, { cause });
    this.#parts.emit({ type: "warning", error });
  }

  #deliver(channel: string, payload: string): void {
    for (const place of Array.from(this.#channels.get(channel) ?? [])) {
      this.#call(channel, place, () => place.subscriber.onPayload(payload));
    }
  }

  #places(): (readonly [channel: string, place: Place])[] {
    const channels = Array.from(this.#channels);
    return channels.flatMap(([channel, places]) =>
      Array.from(places, (place) => [channel, place] as const),
    );
  }

  /** What a subscriber throws hurts nobody else; one that another has closed is not called. */
  #call(channel: string, place: Place, call: () => void): void {
    if (this.#channels.get(channel)?.has(place) !== true) return;
    try {
      call();
    } catch (error) {
      this.#parts.emit({ type: "warning", error });
    }
  }
}
