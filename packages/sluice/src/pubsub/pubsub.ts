/**
 * The contract of a pubsub: how writers tell readers, on any replica, that something has changed.
 *
 * Payloads are hints and never data: they may be lost, repeated and seen by anybody who can connect.
 * Readers therefore read for themselves, and read again whenever something may have been missed.
 * Its contract suite is `test/integration/pubsub.test.ts`.
 */
import { invalidOption } from "../core/validate.ts";
import { quote, SluiceError } from "../errors.ts";
import { byteLength, textFault } from "../shapes/text.ts";

/** The longest payload of a PostgreSQL notification, in bytes of UTF-8: 8,000 are refused. */
export const MAX_PAYLOAD_BYTES = 7_999;

/** How long publishing may take. */
export interface PublishOptions {
  /** In milliseconds. Default 30,000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Who listens to a channel. What it throws becomes a warning. */
export interface Subscriber {
  onPayload(payload: string): void;
  /** Listening was interrupted and goes on: payloads may have been missed. */
  onGap(): void;
}

/** A place on a channel. */
export interface Subscription {
  /**
   * Resolves when everything published from now on will arrive, as far as one can know. Never rejects:
   * it stays open while listening cannot begin, and that is tried again and again. Closing resolves it
   * too, so that nobody waits for ever.
   */
  readonly ready: Promise<void>;
  /** Ends it. Nothing arrives after that. Ending it twice is the same as once. */
  close(): void;
}

/**
 * How writers tell readers. A channel is a name of 1 to 63 bytes: letters, digits, "_", "$", "-" and
 * spaces; upper and lower case differ.
 */
export interface Pubsub {
  /**
   * Publishes payloads, all or none, in order; equal ones of one call arrive once. Rejects when it
   * failed or may have, and with the signal's reason when that aborts. Payloads have at most 7,999 bytes
   * of UTF-8 and no NUL; a longer one is a usage error.
   */
  publish(channel: string, payloads: readonly string[], options?: PublishOptions): Promise<void>;
  /** Listens to a channel. The subscriber is never called within this call, or within `publish`. */
  subscribe(channel: string, subscriber: Subscriber): Subscription;
  /**
   * Ends every subscription and lets go of connections of its own. Publishing rejects from then on, and
   * subscribing throws: `SLUICE_ERR_PUBSUB_CLOSED`.
   */
  close(): Promise<void>;
}

/** What PostgreSQL can be told to listen to, without an escape anywhere. */
const CHANNEL = /^[\p{L}\p{N}_$ -]+$/u;
const MAX_CHANNEL_BYTES = 63;

/** Refuses a channel that not every pubsub could have. */
export function checkChannel(channel: unknown): asserts channel is string {
  const isName = typeof channel === "string" && CHANNEL.test(channel);
  if (isName && byteLength(channel) <= MAX_CHANNEL_BYTES) return;
  const expected = `1 to ${MAX_CHANNEL_BYTES} bytes of letters, digits, "_", "$", "-" or spaces`;
  throw invalidOption("a channel", expected, channel);
}

/** Refuses a payload that not every pubsub could carry. */
export function checkPayloads(payloads: readonly string[]): void {
  for (const payload of payloads) {
    const fault = typeof payload === "string" ? textFault(payload) : "no text";
    if (fault !== undefined) {
      throw new SluiceError(
        "SLUICE_ERR_PAYLOAD_INVALID",
        `a payload holds ${fault}: ${quote(payload)}`,
      );
    }
    const bytes = byteLength(payload);
    if (bytes <= MAX_PAYLOAD_BYTES) continue;
    throw new SluiceError(
      "SLUICE_ERR_PAYLOAD_INVALID",
      `a payload of ${bytes} bytes is longer than ${MAX_PAYLOAD_BYTES}: ${quote(payload)}`,
    );
  }
}
