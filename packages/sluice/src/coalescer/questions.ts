import { type Clock, systemClock } from "../clock.ts";
import type { FlushOptions, WaitOptions } from "../core/batcher.ts";
import { emitter } from "../core/emitter.ts";
import { Engine } from "../core/engine.ts";
import type { FlushStats } from "../core/reports.ts";
import type { Landing } from "../core/segment.ts";
import { callOptions, checkOneOf, checkTimeout } from "../core/validate.ts";
import { race } from "../core/waits.ts";
import { isSluiceError, messageOf, quote, SluiceError } from "../errors.ts";
import type { UnnamedEvent } from "../events.ts";
import { calls } from "../shapes/calls.ts";
import type { RejectedEntry, WriteContext, WriteResult } from "../sinks/sink.ts";
import { classified, readAnswers } from "./answers.ts";
import type {
  Coalescer,
  CoalescerCloseOptions,
  CoalescerCloseReport,
  CoalescerStats,
} from "./coalescer.ts";
import { CountedCache } from "./counted-cache.ts";
import { type CallKey, checkKey } from "./key.ts";
import { batcherLimits, type CallContext, type CoalescerOptions } from "./options.ts";
import { type Home, type PendingCall, Question } from "./question.ts";

/** The open questions behind `createCoalescer`: equal ones are one, and the engine carries each once. */
export class Questions<Request, Answer, Key extends CallKey, Group extends CallKey | undefined>
  implements Coalescer<Request, Answer>
{
  readonly name: string;
  readonly #options: CoalescerOptions<Request, Answer, Key, Group>;
  readonly #engine: Engine<
    Question<Request, Answer>,
    readonly Question<Request, Answer>[],
    Question<Request, Answer>
  >;
  readonly #clock: Clock;
  readonly #closeTimeoutMs: number;
  readonly #emit: (event: UnnamedEvent) => void;
  readonly #cache: CountedCache<Answer> | undefined;
  readonly #homes = new Map<CallKey | undefined, Home<Request, Answer>>();
  readonly #calls = new Set<PendingCall<Request, Answer>>();
  readonly #waiting = new Map<Question<Request, Answer>, Wait>();
  readonly #counts = {
    loads: 0,
    answered: 0,
    failed: 0,
    aborted: 0,
    refused: 0,
    shared: 0,
    missing: 0,
    calls: 0,
    retries: 0,
  };
  #closing: Promise<CoalescerCloseReport> | undefined;

  constructor(options: CoalescerOptions<Request, Answer, Key, Group>) {
    const limits = batcherLimits(options);
    const { name = "calls", group, cache, observe, clock = systemClock, random } = options;
    this.name = name;
    this.#options = options;
    this.#clock = clock;
    this.#closeTimeoutMs = limits.closeTimeoutMs;
    this.#engine = new Engine({
      ...limits,
      name,
      shape: calls<Question<Request, Answer>>({
        group: group === undefined ? undefined : ({ home }) => home.group,
        bytes: () => 1, // questions are limited by number: what they hold is the callers' own
      }),
      sink: { reads: true, write: async (batch, context) => this.#ask(batch, context) },
      // Told as soon as its part of a call has settled: the rest of the call may take longer.
      deadLetter: ({ entry, outcome, cause, attempts }) => {
        this.#fail(entry, outcome === "rejected" ? cause : this.#unanswered(attempts, cause));
      },
      observe,
      clock,
      random,
    });
    this.#emit = emitter(name, observe, true);
    const warn = (error: unknown): void => this.#emit({ type: "warning", error });
    this.#cache = cache === undefined ? undefined : new CountedCache(cache, clock, warn);
  }

  load(request: Request, options?: WaitOptions): Promise<Answer> {
    try {
      const signal = options && callOptions("load", options, ["signal"]).signal;
      if (this.#closing !== undefined) throw this.#closed();
      const group = this.#groupOf(request);
      const key = checkKey("key", this.#options.key(request));
      signal?.throwIfAborted();
      return this.#load(group, key, request, signal);
    } catch (error) {
      this.#counts.refused += 1;
      return Promise.reject(error);
    }
  }

  async flush(options?: FlushOptions): Promise<FlushStats> {
    try {
      return await this.#engine.flush(options);
    } catch (error) {
      // What failed has told its callers.
      if (!isSluiceError(error) || error.code !== "SLUICE_ERR_FLUSH_INCOMPLETE") throw error;
      return error.report as FlushStats;
    }
  }

  invalidate(request: Request): void {
    const group = this.#groupOf(request);
    const key = checkKey("key", this.#options.key(request));
    this.#cache?.delete(group, key);
    const question = this.#homes.get(group)?.questions.get(key);
    if (question !== undefined) question.current = false;
  }

  clear(): void {
    this.#cache?.clear();
    for (const { questions } of this.#homes.values()) {
      for (const question of questions.values()) question.current = false;
    }
  }

  async close(options?: CoalescerCloseOptions): Promise<CoalescerCloseReport> {
    const known = callOptions("close", options, ["timeoutMs", "pending"]);
    const timeoutMs = checkTimeout(known.timeoutMs, this.#closeTimeoutMs);
    const { pending = "drain" } = known;
    checkOneOf("pending", pending, ["drain", "reject"]);
    this.#closing ??= this.#close(timeoutMs, pending === "reject");
    return this.#closing;
  }

  stats(): CoalescerStats {
    const { loads, answered, failed, aborted } = this.#counts;
    const { heldEntries, waiting, lastError } = this.#engine.stats();
    return {
      ...this.#counts,
      pending: loads - answered - failed - aborted,
      held: heldEntries,
      waiting,
      cache: this.#cache?.stats() ?? NO_CACHE,
      ...(lastError === undefined ? {} : { lastError }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #groupOf(request: Request): CallKey | undefined {
    const { group } = this.#options;
    return group === undefined ? undefined : checkKey("group", group(request));
  }

  #load(
    group: CallKey | undefined,
    key: CallKey,
    request: Request,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    this.#counts.loads += 1;
    const held = this.#cache?.get(group, key);
    if (held !== undefined) {
      this.#counts.answered += 1;
      return Promise.resolve(held.answer);
    }
    const home = this.#homes.get(group) ?? this.#settle(group);
    const equal = home.questions.get(key);
    if (equal !== undefined && equal.current) {
      this.#counts.shared += 1;
      return equal.join(signal);
    }
    const question = new Question<Request, Answer>(home, key, request);
    home.questions.set(key, question);
    const answer = question.join(signal);
    this.#enter(question);
    return answer;
  }

  /** A group has a question after it had none. */
  #settle(group: CallKey | undefined): Home<Request, Answer> {
    const home: Home<Request, Answer> = {
      group,
      questions: new Map(),
      call: undefined,
      pending: 0,
      aborted: this.#aborted,
      abandoned: this.#abandoned,
    };
    this.#homes.set(group, home);
    return home;
  }

  readonly #aborted = (): void => {
    this.#counts.aborted += 1;
  };

  readonly #abandoned = (question: Question<Request, Answer>): void => {
    const { call } = question;
    if (call === undefined) {
      question.current = false;
      this.#waiting.get(question)?.end.abort(withdrawn());
    } else if (call.live === 0) {
      this.#withdraw(call, withdrawn());
    }
  };

  #enter(question: Question<Request, Answer>): void {
    try {
      const lane = this.#engine.offer(question);
      if (lane === undefined) this.#wait(question);
      else this.#place(question, lane);
    } catch (error) {
      this.#fail(question, error);
      this.#leave(question.home, [question], 0);
    }
  }

  #wait(question: Question<Request, Answer>): void {
    const end = new AbortController();
    const place = (lane: LaneOf<Request, Answer>): void => this.#place(question, lane);
    question.home.pending += 1;
    const over = this.#engine
      .enter(question, end.signal, place)
      .catch((error: unknown) => this.#fail(question, error))
      .finally(() => {
        this.#waiting.delete(question);
        this.#leave(question.home, question.open ? [] : [question]);
      });
    this.#waiting.set(question, { end, over });
  }

  #place(question: Question<Request, Answer>, lane: LaneOf<Request, Answer>): void {
    const { home } = question;
    let { call } = home;
    if (call?.lane !== lane) {
      const made: PendingCall<Request, Answer> = { lane, questions: [], live: 0 };
      this.#calls.add(made);
      lane.watch((landing) => this.#landed(home, made, landing));
      home.pending += 1;
      home.call = made;
      call = made;
    }
    question.enter(call);
  }

  /** One attempt of a call. What it answers reaches its callers here, and not when all has landed. */
  async #ask(
    questions: readonly Question<Request, Answer>[],
    { signal, attempt, timeoutMs, warn }: WriteContext<unknown>,
  ): Promise<WriteResult> {
    const asked: Question<Request, Answer>[] = [];
    for (const question of questions) {
      if (question.callers > 0) asked.push(question);
      else question.current = false; // it is not sent, and nobody may join it any more
    }
    const [first] = asked;
    if (first === undefined) return { statements: 0 };
    this.#counts.calls += 1;
    if (attempt > 1) this.#counts.retries += 1;
    const keys = asked.map(({ key }) => key);
    const requests = asked.map(({ request }) => request);
    const context = { signal, requests, attempt, timeoutMs };
    const answers = await this.#resolve(first.home.group, keys, context, warn);
    if (signal.aborted) return {};
    const refused: RejectedEntry[] = [];
    let at = 0;
    for (const question of asked) {
      const answer = answers[at];
      at += 1;
      if (answer instanceof Error) {
        this.#fail(question, answer);
        refused.push({ index: questions.indexOf(question), cause: answer });
      } else {
        this.#answer(question, answer);
      }
    }
    return { rejected: refused };
  }

  async #resolve(
    group: CallKey | undefined,
    keys: readonly CallKey[],
    context: CallContext<Request>,
    warn: (error: unknown) => void,
  ): Promise<readonly (Answer | Error | undefined)[]> {
    let given: unknown;
    try {
      given = await this.#options.resolve(group as Group, keys as readonly Key[], context);
    } catch (error) {
      throw classified(error);
    }
    return readAnswers<Answer>(given, keys, warn);
  }

  #answer(question: Question<Request, Answer>, answer: Answer | undefined): void {
    const { key, home } = question;
    if (answer === undefined) {
      this.#counts.missing += 1;
      if (this.#options.missing !== "undefined") {
        const message = `${this.name}: no answer to ${quote(key)} was among those to its call`;
        this.#fail(question, new SluiceError("SLUICE_ERR_ANSWER_MISSING", message));
        return;
      }
    } else if (question.current) {
      this.#cache?.set(home.group, key, answer);
    }
    this.#counts.answered += question.resolve(answer as Answer);
  }

  #fail(question: Question<Request, Answer>, error: unknown): void {
    this.#counts.failed += question.fail(error);
  }

  #withdraw(call: PendingCall<Request, Answer>, error: SluiceError): void {
    for (const question of call.questions) question.current = false;
    call.lane.withdraw(error);
  }

  #landed(
    home: Home<Request, Answer>,
    call: PendingCall<Request, Answer>,
    { shortfalls, attempts }: Pick<Landing<unknown>, "shortfalls" | "attempts">,
  ): void {
    this.#calls.delete(call);
    for (const { outcome, from, size, error } of shortfalls) {
      const failure =
        outcome === "abandoned" ? this.#closed() : this.#unanswered(attempts, error.cause);
      for (const question of call.questions.slice(from, from + size.entries)) {
        this.#fail(question, failure);
      }
    }
    const left = call.questions.filter(({ open }) => open);
    const error = left.length > 0 ? withdrawn() : undefined;
    for (const question of left) this.#fail(question, error);
    this.#leave(home, call.questions);
    call.questions.length = 0;
  }

  /** A call, or a question that waited, is no more. A group without any is forgotten as a whole. */
  #leave(
    home: Home<Request, Answer>,
    questions: readonly Question<Request, Answer>[],
    pending = 1,
  ): void {
    home.pending -= pending;
    if (home.pending === 0) {
      // Emptied as well: a table of V8 that was replaced holds what it held until the next full collection.
      this.#homes.delete(home.group);
      home.questions.clear();
      home.call = undefined;
      return;
    }
    for (const question of questions) {
      if (home.questions.get(question.key) === question) home.questions.delete(question.key);
    }
  }

  async #close(timeoutMs: number, reject: boolean): Promise<CoalescerCloseReport> {
    const startedAt = this.#clock.now();
    const { answered, failed, aborted } = this.#counts;
    if (reject) {
      const error = this.#closed();
      const waiting = Array.from(this.#waiting);
      for (const [question, { end }] of waiting) {
        this.#fail(question, error);
        end.abort(error);
      }
      for (const call of Array.from(this.#calls)) {
        for (const question of call.questions) this.#fail(question, error);
        this.#withdraw(call, error);
      }
    }
    // Those who wait for room have asked as well.
    const waits = Array.from(this.#waiting.values(), ({ over }) => over);
    if (waits.length > 0) await race(this.#clock, Promise.all(waits), timeoutMs);
    const left = Math.max(0, startedAt + timeoutMs - this.#clock.now());
    await this.#engine.close({ timeoutMs: left });
    await Promise.all(waits); // the engine has sent away the last of them
    return {
      answered: this.#counts.answered - answered,
      failed: this.#counts.failed - failed,
      aborted: this.#counts.aborted - aborted,
      durationMs: this.#clock.now() - startedAt,
      stats: this.stats(),
    };
  }

  #closed(): SluiceError {
    const message = `${this.name} is closed and answers nothing more`;
    return new SluiceError("SLUICE_ERR_BATCHER_CLOSED", message);
  }

  #unanswered(attempts: number, cause: unknown): SluiceError {
    const timeout = isSluiceError(cause) && cause.code === "SLUICE_ERR_WRITE_TIMEOUT";
    const why = timeout ? "the call took longer than callTimeoutMs" : messageOf(cause);
    const message =
      attempts === 0
        ? "no call was free in time"
        : `no answer after ${attempts} attempt${attempts === 1 ? "" : "s"}: ${why}`;
    return new SluiceError("SLUICE_ERR_CALL_UNANSWERED", `${this.name}: ${message}`, { cause });
  }
}

type LaneOf<Request, Answer> = PendingCall<Request, Answer>["lane"];

/** A question on its way to a place in the buffer. */
interface Wait {
  readonly end: AbortController;
  readonly over: Promise<unknown>;
}

const NO_CACHE = { hits: 0, misses: 0, inserts: 0, evictions: 0, size: 0, hitRatio: 0 };

function withdrawn(): SluiceError {
  return new SluiceError("SLUICE_ERR_CALL_WITHDRAWN", "nobody waits for the answer any more");
}
