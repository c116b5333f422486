/**
 * How long ago a batch may first have been applied. A server remembers tokens for so long only: a
 * batch that is sent again later than that is written twice.
 */

/** A batch that was sent, and of which it is not known that it was not applied. */
interface Sent {
  readonly token: string;
  readonly since: number;
  /** How many inserts the sink had begun by then, this one included. */
  readonly inserts: number;
}

/** What is known of a batch's earlier attempts. */
export interface Past {
  /** How long ago the first of them began that may have been applied, in milliseconds. */
  readonly ageMs: number;
  /** How many other inserts this sink has begun since. */
  readonly otherInserts: number;
}

/** Remembers, per writer, the one batch that may have been applied. */
export class RetryAges {
  readonly #sent = new Map<string, Sent>();
  #inserts = 0;

  /** What is known of attempts before this one; `undefined` if none may have been applied. */
  past(writer: string, token: string, now: number): Past | undefined {
    const sent = this.#sent.get(writer);
    if (sent === undefined || sent.token !== token) return undefined;
    return { ageMs: now - sent.since, otherInserts: this.#inserts - sent.inserts };
  }

  /** An attempt begins: until its end is known, it may have been applied. */
  began(writer: string, token: string, now: number): Sent {
    const sent = this.#sent.get(writer);
    if (sent?.token === token) return sent;
    this.#inserts += 1;
    const first = { token, since: now, inserts: this.#inserts };
    this.#sent.set(writer, first);
    return first;
  }

  /** The batch was applied. */
  applied(writer: string, token: string): void {
    if (this.#sent.get(writer)?.token === token) this.#sent.delete(writer);
  }

  /** An attempt failed; unless it was `ambiguous`, it was not applied. */
  failed(writer: string, sent: Sent, isFirst: boolean, ambiguous: boolean): void {
    const held = this.#sent.get(writer);
    if (!ambiguous) {
      // Attempts before this one that may have been applied still may.
      if (isFirst && held === sent) this.#sent.delete(writer);
    } else if (held === undefined) {
      this.#sent.set(writer, sent);
    }
  }
}
