import { onAbort } from "../core/abort.ts";
import type { Bagged } from "../core/bag.ts";
import type { Lane } from "../core/lane.ts";
import type { SluiceError } from "../errors.ts";
import type { CallKey } from "./key.ts";

/** A group while it has questions, and who is to be told of them. */
export interface Home<Request, Answer> {
  readonly group: CallKey | undefined;
  /** The latest question of each key. Ones that are no longer `current` do not count. */
  readonly questions: Map<CallKey, Question<Request, Answer>>;
  /** Asked since the engine was last told. */
  fresh: Question<Request, Answer>[];
  /** The call that gathers, or did last. */
  call: GatheringCall<Request, Answer> | undefined;
  /** How many of its questions are open. */
  open: number;
  /** How many calls it has, those that wait for room included. */
  pending: number;
  /** A caller has given up. */
  aborted(): void;
  /** The last caller of a call has given up. */
  abandoned(call: PendingCall<Request, Answer>): void;
}

/** A call that has its lane in the engine. */
export interface GatheringCall<Request, Answer> extends PendingCall<Request, Answer> {
  readonly lane: CallLane<Request, Answer>;
}

/** Where a call gathers: its lane in the engine. */
export type CallLane<Request, Answer> = Lane<
  readonly Question<Request, Answer>[],
  readonly Question<Request, Answer>[]
>;

/** Questions that wait for room, gather, or are under way, together. */
export interface PendingCall<Request, Answer> extends Bagged {
  readonly home: Home<Request, Answer>;
  /** In the order of the batch. */
  questions: Question<Request, Answer>[];
  /** How many of them are open and somebody waits for. */
  live: number;
  /** Nobody waits for any of it: ends it. */
  withdraw(error: SluiceError): void;
}

const noop = (): void => undefined;

/**
 * A question that is open, and everybody who waits for its answer. Callers come and go; each settles
 * once, with the answer, the failure, or the reason of its own signal.
 */
export class Question<Request, Answer> {
  readonly home: Home<Request, Answer>;
  readonly key: CallKey;
  /** Who asked first. */
  readonly request: Request;
  /** How many wait for the answer. */
  callers: number;
  /** Whether others may join, and the answer may be kept. */
  current: boolean;
  open: boolean;
  /** Whether it was part of an attempt. */
  sent: boolean;
  /** Whom it is asked with. */
  call: PendingCall<Request, Answer> | undefined;
  readonly #answer: Promise<Answer>;
  #resolve: (answer: Answer) => void = noop;
  #reject: (error: unknown) => void = noop;

  constructor(home: Home<Request, Answer>, key: CallKey, request: Request) {
    this.home = home;
    this.key = key;
    this.request = request;
    this.callers = 0;
    this.current = true;
    this.open = true;
    this.sent = false;
    this.call = undefined;
    this.#answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    home.open += 1;
  }

  /** It has its place in a call, which holds it already. */
  enter(call: PendingCall<Request, Answer>): void {
    this.call = call;
    if (this.callers > 0) call.live += 1;
  }

  /** Another caller waits, until the answer comes or `signal` aborts. */
  join(signal: AbortSignal | undefined): Promise<Answer> {
    this.callers += 1;
    if (this.callers === 1 && this.call !== undefined) this.call.live += 1;
    return signal === undefined ? this.#answer : this.#until(signal);
  }

  /** Settles everybody who still waits; says how many that were, none if it is settled already. */
  resolve(answer: Answer): number {
    const callers = this.#settle();
    this.#resolve(answer);
    return callers;
  }

  /** Like `resolve`. A failure that nobody waits for is nobody's unhandled rejection. */
  fail(error: unknown): number {
    const callers = this.#settle();
    if (callers > 0) this.#reject(error);
    return callers;
  }

  #settle(): number {
    const { callers, call } = this;
    if (callers > 0 && call !== undefined) call.live -= 1;
    if (this.open) this.home.open -= 1;
    this.callers = 0;
    this.open = false;
    this.current = false;
    return callers;
  }

  async #until(signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const done = onAbort(signal, () => {
        if (!this.open) return; // settled in this very tick: the answer is on its way
        reject(signal.reason);
        this.#leave();
      });
      this.#answer.then(
        (answer) => {
          done();
          resolve(answer);
        },
        (error: unknown) => {
          done();
          reject(error);
        },
      );
    });
  }

  #leave(): void {
    const { call, home } = this;
    home.aborted();
    this.callers -= 1;
    if (this.callers > 0 || call === undefined) return;
    call.live -= 1;
    if (call.live === 0) home.abandoned(call);
  }
}
