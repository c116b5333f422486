/**
 * The life of one listening connection: opened, listening, proven by a probe, and lost at last.
 */
import { type Clock, type Timer, uniqueId } from "../../clock.ts";
import { within } from "../../core/waits.ts";
import { messageOf } from "../../errors.ts";
import type { ListenConnection, OpenListenConnection } from "./listen-connection.ts";
import { sqlstateOf } from "./sqlstate.ts";

/** How long connecting, and each statement, may take, in milliseconds. */
const STEP_MS = 10_000;
/** How long a probe that has been published may take to arrive. */
const PROBE_MS = 2_000;
/** How long a connection may take to end before it is dropped. */
const END_MS = 1_000;

/** Classes of SQLSTATE by which a server refuses LISTEN: unsupported, recovering, not allowed. */
const REFUSALS = ["0A", "25", "42"];

/**
 * Why a connection ended. `deaf`: it works, and what is published does not arrive. `lost`: it broke or
 * never opened. `restarted`: the driver opened it again by itself.
 */
export type Ending = "deaf" | "lost" | "restarted";

/** What a connection is given. */
export interface ListeningParts {
  readonly clock: Clock;
  readonly heartbeatMs: number;
  readonly open: OpenListenConnection;
  /** The channel that only this listener publishes to. */
  readonly probeChannel: string;
  /** The channels to listen to, but for the probe's. */
  readonly wanted: () => Iterable<string>;
  /** Publishes to the probe's channel, not through this connection. */
  readonly publishProbe: (payload: string, timeoutMs: number, signal: AbortSignal) => Promise<void>;
  readonly onPayload: (channel: string, payload: string) => void;
  /** Listening is proven, or a channel has joined since. `first` is true once. */
  readonly onListening: (first: boolean) => void;
  /** It has ended by itself; called once at most, and never after `close`. */
  readonly onEnded: (ending: Ending, error: unknown) => void;
}

/** The server hears, and refuses to listen or tells nothing. */
class Deaf extends Error {}

/** One connection. */
export class Listening {
  readonly #parts: ListeningParts;
  readonly #end = new AbortController();
  readonly #listened = new Set<string>();
  #connection: ListenConnection | undefined;
  #proven = false;
  #adjusting = false;
  #probe: { readonly payload: string; readonly answer: () => void } | undefined;
  #heartbeat: Timer;

  constructor(parts: ListeningParts) {
    this.#parts = parts;
  }

  /** Opens it. What comes of that is told by events. */
  start(): void {
    this.#begin().catch((error: unknown) => {
      this.#fail(error instanceof Deaf ? "deaf" : "lost", error);
    });
  }

  /** Whether everything published to `channel` arrives, as far as one can know. */
  hears(channel: string): boolean {
    return this.#proven && this.#listened.has(channel);
  }

  /** To be called when the wanted channels have changed. */
  adjust(): void {
    if (this.#connection === undefined || !this.#proven || this.#adjusting) return;
    this.#adjust(this.#connection).catch((error: unknown) => this.#fail("lost", error));
  }

  /** Ends it. Never rejects. */
  async close(): Promise<void> {
    this.#stop();
    const connection = this.#connection;
    if (connection === undefined) return;
    const late = (): Error => new Error(`it did not end within ${END_MS} ms`);
    const closed = within(this.#parts.clock, END_MS, connection.close(), undefined, late);
    await closed.catch(() => connection.destroy());
  }

  async #begin(): Promise<void> {
    const { open, onListening } = this.#parts;
    const connection = open({
      onNotification: (channel, payload) => this.#receive(channel, payload),
      onLost: (error) => this.#fail("lost", error),
      onRestart: () => this.#fail("restarted", new Error("the driver opened its connection anew")),
    });
    this.#connection = connection;
    if (this.#end.signal.aborted) connection.destroy(); // ended while it was made
    await this.#step("connecting", connection.opened);
    await this.#adjust(connection);
    await this.#prove();
    this.#end.signal.throwIfAborted(); // closed as the answer came
    this.#proven = true;
    onListening(true);
    this.adjust(); // channels that have joined since
    this.#scheduleHeartbeat();
  }

  #receive(channel: string, payload: string): void {
    if (this.#end.signal.aborted) return;
    if (channel !== this.#parts.probeChannel) this.#parts.onPayload(channel, payload);
    else if (payload === this.#probe?.payload) this.#probe.answer();
  }

  /** Listens to what is wanted and to nothing else, one statement at a time. */
  async #adjust(connection: ListenConnection): Promise<void> {
    this.#adjusting = true;
    try {
      for (;;) {
        const wanted = new Set([this.#parts.probeChannel, ...this.#parts.wanted()]);
        const missing = [...wanted].find((channel) => !this.#listened.has(channel));
        const surplus = [...this.#listened].find((channel) => !wanted.has(channel));
        if (missing !== undefined) {
          await this.#step("LISTEN", this.#listen(connection, missing));
          this.#listened.add(missing);
          if (this.#proven) this.#parts.onListening(false);
        } else if (surplus !== undefined) {
          this.#listened.delete(surplus);
          await this.#step("UNLISTEN", connection.unlisten(surplus));
        } else return;
      }
    } finally {
      this.#adjusting = false;
    }
  }

  async #listen(connection: ListenConnection, channel: string): Promise<void> {
    try {
      await connection.listen(channel);
    } catch (error) {
      const refused = REFUSALS.includes(sqlstateOf(error)?.slice(0, 2) ?? "");
      throw refused ? new Deaf(`LISTEN is refused: ${messageOf(error)}`, { cause: error }) : error;
    }
  }

  /** Hears of itself, or throws. */
  async #prove(): Promise<void> {
    const { clock, publishProbe } = this.#parts;
    const payload = uniqueId();
    const answered = new Promise<void>((resolve) => {
      this.#probe = { payload, answer: resolve };
    });
    await publishProbe(payload, STEP_MS, this.#end.signal);
    const late = (): Error => new Deaf(`a probe did not arrive within ${PROBE_MS} ms`);
    await within(clock, PROBE_MS, answered, this.#end.signal, late);
  }

  /** Finds what broke without a word: a half-open connection, or a driver that gave up. */
  #scheduleHeartbeat(): void {
    if (this.#end.signal.aborted) return;
    const { clock, heartbeatMs } = this.#parts;
    this.#heartbeat = clock.schedule(() => {
      this.#prove().then(
        () => this.#scheduleHeartbeat(),
        (error: unknown) => this.#fail("lost", error),
      );
    }, heartbeatMs);
  }

  #step<T>(what: string, work: Promise<T>): Promise<T> {
    const late = (): Error => new Error(`${what} took longer than ${STEP_MS} ms`);
    return within(this.#parts.clock, STEP_MS, work, this.#end.signal, late);
  }

  #fail(ending: Ending, error: unknown): void {
    if (this.#end.signal.aborted) return;
    this.#stop();
    this.#connection?.destroy();
    this.#parts.onEnded(ending, error);
  }

  #stop(): void {
    this.#end.abort();
    this.#proven = false;
    this.#parts.clock.cancel(this.#heartbeat);
  }
}
