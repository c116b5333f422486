/**
 * How long ago a batch may first have been applied. A server remembers tokens for so long only: a
 * batch that is sent again later than that is written twice.
 */

import type { Clock } from "../../clock.ts";
import type { Guarantee } from "./table-probe.ts";

/** A batch that was sent. */
export interface Sent {
  readonly writer: string;
  readonly token: string;
  /** By both clocks: the steady one may stand still while the machine sleeps. */
  readonly since: readonly [now: number, epochMs: number];
  /** How many inserts the sink had begun by then, this one included. */
  readonly inserts: number;
  /** The table by then. */
  readonly guarantee: Guarantee;
  /** Attempts whose end is not known yet. */
  open: number;
  /** An attempt has ended without telling whether it was applied. */
  ambiguous: boolean;
}

/** What is known of a batch that may have been applied. */
export interface Past {
  /** How long ago the first attempt began that may have been applied, in milliseconds. */
  readonly ageMs: number;
  /** How many other inserts this sink has begun since. */
  readonly otherInserts: number;
  /** The table by then. */
  readonly guarantee: Guarantee;
}

/** Remembers, per writer, the one batch that may have been applied. */
export class RetryAges {
  readonly #clock: Clock;
  readonly #sent = new Map<string, Sent>();
  #inserts = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is known of attempts before this one; `undefined` if none may have been applied. */
  past(writer: string, token: string): Past | undefined {
    const sent = this.#sent.get(writer);
    if (sent?.token !== token) return undefined;
    const { inserts, guarantee } = sent;
    const [now, epochMs] = sent.since;
    const ageMs = Math.max(this.#clock.now() - now, this.#clock.epochMs() - epochMs);
    return { ageMs, otherInserts: this.#inserts - inserts, guarantee };
  }

  /** An attempt begins: until its end is known, it may have been applied. */
  began(writer: string, token: string, guarantee: Guarantee): Sent {
    const known = this.#sent.get(writer);
    if (known?.token === token) {
      known.open += 1;
      return known;
    }
    this.#inserts += 1;
    const inserts = this.#inserts;
    const since = [this.#clock.now(), this.#clock.epochMs()] as const;
    const sent = { writer, token, since, inserts, guarantee, open: 1, ambiguous: false };
    this.#sent.set(writer, sent);
    return sent;
  }

  /** An attempt has ended, perhaps long after the next began. */
  ended(sent: Sent, how: "applied" | "not applied" | "ambiguous"): void {
    sent.open -= 1;
    sent.ambiguous ||= how === "ambiguous";
    const isSettled = how === "applied" || (sent.open === 0 && !sent.ambiguous);
    if (isSettled && this.#sent.get(sent.writer) === sent) this.#sent.delete(sent.writer);
  }
}
