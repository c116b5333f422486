import type { Clock } from "../clock.ts";
import { Bag } from "../core/bag.ts";
import { detached } from "../core/detached.ts";
import { Engine } from "../core/engine.ts";
import type { Landing } from "../core/segment.ts";
import { race } from "../core/waits.ts";
import { isSluiceError, messageOf, quote, SluiceError } from "../errors.ts";
import type { UnnamedEvent } from "../events.ts";
import type { RejectedEntry, Sink, WriteContext, WriteResult } from "../sinks/sink.ts";
import { classified, failureIn, readAnswers } from "./answers.ts";
import { Told } from "./call-context.ts";
import type { CountedCache } from "./counted-cache.ts";
import type { CallKey } from "./key.ts";
import type { batcherLimits, CoalescerOptions } from "./options.ts";
import {
  type CallLane,
  type GatheringCall,
  type Home,
  type PendingCall,
  Question,
} from "./question.ts";
import { questionsShape, type Together } from "./questions-shape.ts";

/** What a desk of questions shares with its calls. */
export interface PendingCallsParts<Request, Answer> {
  readonly name: string;
  readonly clock: Clock;
  readonly cache: CountedCache<Answer> | undefined;
  readonly emit: (event: UnnamedEvent) => void;
  /** The group has lost a call; it may be its last. */
  readonly left: (home: Home<Request, Answer>) => void;
}

/** The calls that gather and are under way: puts questions into the engine, asks, and settles them. */
export class PendingCalls<Request, Answer, Key extends CallKey, Group extends CallKey | undefined> {
  readonly counts = { answered: 0, failed: 0, missing: 0, calls: 0, retries: 0 };
  readonly engine: Engine<
    Together<Request, Answer>,
    Together<Request, Answer>,
    Question<Request, Answer>
  >;
  readonly #options: CoalescerOptions<Request, Answer, Key, Group>;
  readonly #parts: PendingCallsParts<Request, Answer>;
  readonly #maxEntries: number;
  readonly #calls = new Bag<PendingCall<Request, Answer>>();
  /** Of those that wait for room: over once they have it, or have failed. */
  readonly #waits = new Set<Promise<unknown>>();

  constructor(
    options: CoalescerOptions<Request, Answer, Key, Group>,
    limits: ReturnType<typeof batcherLimits>,
    parts: PendingCallsParts<Request, Answer>,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#maxEntries = limits.maxEntries;
    const { name, clock } = parts;
    const { random } = options;
    const shape = questionsShape<Request, Answer>(options.group !== undefined);
    const sink: Sink<Together<Request, Answer>> = {
      reads: true,
      write: (batch, context) => this.#ask(batch, context),
    };
    this.engine = new Engine({ ...limits, name, clock, random, shape, sink }, (event) => {
      parts.emit(event.type === "dead-lettered" ? this.#buried(event) : event);
    });
  }

  /** Puts questions of a group into calls: the one that gathers, and as many more as it takes. */
  enter(home: Home<Request, Answer>, questions: Together<Request, Answer>): void {
    for (let at = 0; at < questions.length; ) {
      const { call } = home;
      const taken = call?.lane.gathers === true ? call.questions.length : 0;
      const room = this.#maxEntries - taken;
      const whole = at === 0 && questions.length <= room;
      const together = whole ? questions : questions.slice(at, at + room);
      at += together.length;
      if (this.#offer(home, together)) continue;
      for (const question of together) {
        if (!this.#offer(home, [question])) this.#wait(home, question);
      }
    }
  }

  /** Fails everything that is open, at once. */
  reject(error: SluiceError): void {
    for (const call of this.#calls.values()) {
      for (const question of call.questions) this.#fail(question, error);
      call.withdraw(error);
    }
  }

  /** Lets the calls end, and ends them at the latest after `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.now() + timeoutMs;
    // Those who wait for room have asked as well.
    const waits = Promise.all(this.#waits);
    if (this.#waits.size > 0) await race(clock, waits, timeoutMs);
    await this.engine.close({ timeoutMs: Math.max(0, until - clock.now()) });
    await waits; // the engine has sent away the last of them
  }

  /** False where there is no room. */
  #offer(home: Home<Request, Answer>, together: Together<Request, Answer>): boolean {
    try {
      const lane = this.engine.offer(together);
      if (lane !== undefined) this.#place(home, together, lane);
      return lane !== undefined;
    } catch (error) {
      for (const question of together) this.#fail(question, error);
      home.pending += 1;
      this.#leave(home);
      return true;
    }
  }

  #wait(home: Home<Request, Answer>, question: Question<Request, Answer>): void {
    const end = new AbortController();
    const wait: PendingCall<Request, Answer> = {
      home,
      questions: [question],
      live: 0,
      place: -1,
      withdraw: (error) => {
        question.current = false;
        end.abort(error);
      },
    };
    question.enter(wait);
    home.pending += 1;
    this.#calls.add(wait);
    const over = this.engine
      .enter([question], end.signal, (lane) => this.#place(home, [question], lane))
      .catch((error: unknown) => this.#fail(question, error))
      .finally(() => {
        this.#calls.delete(wait);
        this.#waits.delete(over);
        this.#leave(home);
      });
    this.#waits.add(over);
  }

  #place(
    home: Home<Request, Answer>,
    together: Together<Request, Answer>,
    lane: CallLane<Request, Answer>,
  ): void {
    let { call } = home;
    if (call?.lane !== lane) {
      const made: GatheringCall<Request, Answer> = {
        home,
        lane,
        questions: [],
        live: 0,
        place: -1,
        withdraw: (error) => {
          for (const question of made.questions) question.current = false;
          detached(() => lane.withdraw(error));
        },
      };
      this.#calls.add(made);
      lane.watch((landing) => this.#landed(made, landing));
      home.pending += 1;
      home.call = made;
      call = made;
    }
    if (call.questions.length === 0) call.questions = together.slice();
    else for (const question of together) call.questions.push(question);
    for (const question of together) question.enter(call);
  }

  /** One attempt of a call. What it answers reaches its callers here, and not when all has landed. */
  async #ask(
    questions: Together<Request, Answer>,
    context: WriteContext<unknown>,
  ): Promise<WriteResult> {
    const { counts } = this;
    const asked = withCallers(questions);
    const keys = asked.map((question) => {
      question.sent = true;
      return question.key as Key;
    });
    if (!isAsked(asked)) return { statements: 0 };
    const [first] = asked;
    counts.calls += 1;
    if (context.attempt > 1) counts.retries += 1;
    const group = first.home.group as Group;
    let given: unknown;
    try {
      Object.freeze(keys); // sorted in place, they would give answers to the wrong callers
      const told = new Told(asked, context);
      given = await this.#options.resolve(group, keys, told);
    } catch (error) {
      throw classified(error);
    }
    const answers = readAnswers<Answer>(given, keys, context.warn);
    if (context.ended === true) return {};
    const refused: RejectedEntry[] = [];
    const whole = asked === questions;
    let at = 0;
    for (const question of asked) {
      const answer = answers[at];
      at += 1;
      const cause = failureIn(answer, question.key);
      if (cause !== undefined) {
        this.#fail(question, cause);
        refused.push({ index: whole ? at - 1 : questions.indexOf(question), cause });
      } else {
        this.#answer(question, answer as Answer | undefined);
      }
    }
    return { rejected: refused };
  }

  #answer(question: Question<Request, Answer>, answer: Answer | undefined): void {
    if (answer === undefined) {
      this.counts.missing += 1;
      if (this.#options.missing !== "undefined") {
        const message = `${this.#parts.name}: no answer to ${quote(question.key)} was among those to its call`;
        this.#fail(question, new SluiceError("SLUICE_ERR_ANSWER_MISSING", message));
        return;
      }
    } else if (this.#parts.cache !== undefined && question.current) {
      this.#parts.cache.set(question.home.group, question.key, answer);
    }
    this.counts.answered += question.resolve(answer as Answer);
  }

  #fail(question: Question<Request, Answer>, error: unknown): void {
    this.counts.failed += question.fail(error);
  }

  /** A question has failed for good. It is told at once: the rest of its call may take longer. */
  #buried(event: Buried): Buried {
    const { entry, outcome, error, attempts } = event;
    if (!(entry instanceof Question)) return event;
    this.#fail(entry, outcome === "rejected" ? error : this.#unanswered(attempts, error));
    return { ...event, entry: entry.request };
  }

  #landed(
    call: GatheringCall<Request, Answer>,
    { shortfalls, attempts }: Pick<Landing<unknown>, "shortfalls" | "attempts">,
  ): void {
    this.#calls.delete(call);
    for (const { outcome, from, size, error } of shortfalls) {
      if (outcome === "rejected" || outcome === "expired") continue; // told when it was buried
      const failure =
        outcome === "abandoned" ? this.closed() : this.#unanswered(attempts, error.cause);
      for (const question of call.questions.slice(from, from + size.entries)) {
        this.#fail(question, failure);
      }
    }
    let error: SluiceError | undefined;
    for (const question of call.questions) {
      if (question.open) this.#fail(question, (error ??= withdrawn()));
    }
    this.#leave(call.home);
    call.questions = []; // what is old and dead would keep them from minor collections
  }

  #leave(home: Home<Request, Answer>): void {
    home.pending -= 1;
    this.#parts.left(home);
  }

  closed(): SluiceError {
    const message = `${this.#parts.name} is closed and answers nothing more`;
    return new SluiceError("SLUICE_ERR_BATCHER_CLOSED", message);
  }

  #unanswered(attempts: number, cause: unknown): SluiceError {
    const timeout = isSluiceError(cause) && cause.code === "SLUICE_ERR_WRITE_TIMEOUT";
    const why = timeout ? "the call took longer than callTimeoutMs" : messageOf(cause);
    const message =
      attempts === 0
        ? "no call was free in time"
        : `no answer after ${attempts} attempt${attempts === 1 ? "" : "s"}: ${why}`;
    const text = `${this.#parts.name}: ${message}`;
    return new SluiceError("SLUICE_ERR_CALL_UNANSWERED", text, { cause });
  }
}

type Buried = Extract<UnnamedEvent, { type: "dead-lettered" }>;

const isAsked = <Entry>(entries: readonly Entry[]): entries is readonly [Entry, ...Entry[]] =>
  entries.length > 0;

/** Those that somebody waits for. The others are not asked, and nobody may join them any more. */
export function withCallers<Request, Answer>(
  questions: Together<Request, Answer>,
): Together<Request, Answer> {
  let left = 0;
  for (const question of questions) {
    if (question.callers > 0) continue;
    question.fail(undefined);
    left += 1;
  }
  return left === 0 ? questions : questions.filter(({ callers }) => callers > 0);
}

/** Why a call is given up that nobody waits for. */
export function withdrawn(): SluiceError {
  return new SluiceError("SLUICE_ERR_CALL_WITHDRAWN", "nobody waits for the answer any more");
}
