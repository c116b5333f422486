/**
 * A pubsub within one process: for applications of one replica, and for tests.
 */
import { MAX_TIMER_MS } from "../clock.ts";
import { detached } from "../core/detached.ts";
import { emitter } from "../core/emitter.ts";
import { callOptions, duration, refuseUnknown } from "../core/validate.ts";
import { SluiceError } from "../errors.ts";
import type { Observe, UnnamedEvent } from "../events.ts";
import {
  checkChannel,
  checkPayloads,
  type PublishOptions,
  type Pubsub,
  type Subscriber,
} from "./pubsub.ts";

/** The options of `localPubsub`. */
export interface LocalPubsubOptions {
  /** Receives `warning` events: what subscribers throw. */
  readonly observe?: Observe | undefined;
}

/** One subscription: the same subscriber may have several. */
interface Place {
  readonly subscriber: Subscriber;
}

/**
 * Makes a pubsub that reaches the subscribers of this very object. They are called in order, after
 * the running code of the publisher, before its `await` of `publish` goes on. Nothing is ever missed.
 */
export function localPubsub(options: LocalPubsubOptions = {}): Pubsub {
  refuseUnknown(options, ["observe"]);
  const emit = emitter("local-pubsub", options.observe, false);
  const channels = new Map<string, Set<Place>>();
  let closed = false;

  const refuseClosed = (): void => {
    if (closed) throw new SluiceError("SLUICE_ERR_PUBSUB_CLOSED", "the pubsub is closed");
  };

  const publish = async (
    channel: string,
    payloads: readonly string[],
    publishing?: PublishOptions,
  ): Promise<void> => {
    refuseClosed();
    const { signal, timeoutMs } = callOptions("publish", publishing, ["timeoutMs", "signal"]);
    duration("timeoutMs", timeoutMs, MAX_TIMER_MS, 1); // checked, and never needed
    checkChannel(channel);
    checkPayloads(payloads);
    signal?.throwIfAborted();
    const places = [...(channels.get(channel) ?? [])];
    // As PostgreSQL does: equal payloads of one transaction are one.
    const distinct = new Set(payloads);
    detached(() =>
      queueMicrotask(() => {
        for (const payload of distinct) {
          for (const place of places) {
            if (channels.get(channel)?.has(place) === true) deliver(place, payload, emit);
          }
        }
      }),
    );
  };

  return {
    publish,
    subscribe: (channel, subscriber) => {
      refuseClosed();
      checkChannel(channel);
      const place: Place = { subscriber };
      const places = channels.get(channel) ?? new Set();
      channels.set(channel, places.add(place));
      return {
        ready: Promise.resolve(),
        close: () => {
          places.delete(place);
          if (places.size === 0 && channels.get(channel) === places) channels.delete(channel);
        },
      };
    },
    close: async () => {
      closed = true;
      channels.clear();
    },
  };
}

function deliver(
  { subscriber }: Place,
  payload: string,
  emit: (event: UnnamedEvent) => void,
): void {
  try {
    subscriber.onPayload(payload);
  } catch (error) {
    emit({ type: "warning", error });
  }
}
