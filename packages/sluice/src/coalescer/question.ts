import { onAbort } from "../core/abort.ts";
import type { Lane } from "../core/lane.ts";
import type { CallKey } from "./key.ts";

/** A group while it has questions, and who is to be told of them. */
export interface Home<Request, Answer> {
  readonly group: CallKey | undefined;
  /** The latest question of each key. Ones that are no longer `current` do not count. */
  readonly questions: Map<CallKey, Question<Request, Answer>>;
  /** The call that gathers, or did last. */
  call: PendingCall<Request, Answer> | undefined;
  /** How many calls and waiting questions it has. */
  pending: number;
  /** A caller has given up. */
  aborted(): void;
  /** The last caller of an open question has given up. */
  abandoned(question: Question<Request, Answer>): void;
}

/** A call that gathers or is under way. */
export interface PendingCall<Request, Answer> {
  readonly lane: Lane<Question<Request, Answer>, readonly Question<Request, Answer>[]>;
  /** In the order of the batch. */
  readonly questions: Question<Request, Answer>[];
  /** How many of them somebody still waits for. */
  live: number;
}

// The functions of the promise made last: one executor for all costs less than one for each.
let resolveLast: (answer: never) => void = () => undefined;
let rejectLast: (error: unknown) => void = () => undefined;
const keepFunctions = (
  resolve: (answer: never) => void,
  reject: (error: unknown) => void,
): void => {
  resolveLast = resolve;
  rejectLast = reject;
};

/**
 * A question that is open, and everybody who waits for its answer. Callers come and go; each settles
 * once, with the answer, the failure, or the reason of its own signal.
 */
export class Question<Request, Answer> {
  readonly key: CallKey;
  /** Who asked first. */
  readonly request: Request;
  /** How many wait for the answer. */
  callers = 0;
  /** Whether others may join, and the answer may be kept. */
  current = true;
  open = true;
  /** The call that will ask it; none while it waits for room. */
  call: PendingCall<Request, Answer> | undefined;
  readonly home: Home<Request, Answer>;
  readonly #answer: Promise<Answer>;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: unknown) => void;

  constructor(home: Home<Request, Answer>, key: CallKey, request: Request) {
    this.home = home;
    this.key = key;
    this.request = request;
    this.call = undefined;
    this.#answer = new Promise<Answer>(keepFunctions);
    this.#resolve = resolveLast as (answer: Answer) => void;
    this.#reject = rejectLast;
  }

  /** It has its place in a call. */
  enter(call: PendingCall<Request, Answer>): void {
    this.call = call;
    call.questions.push(this);
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
    const { callers } = this;
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
    this.home.aborted();
    this.callers -= 1;
    if (this.callers > 0) return;
    if (this.call !== undefined) this.call.live -= 1;
    this.home.abandoned(this);
  }
}
