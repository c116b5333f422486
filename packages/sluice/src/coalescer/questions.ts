import { type Clock, systemClock } from "../clock.ts";
import type { FlushOptions, WaitOptions } from "../core/batcher.ts";
import { emitter } from "../core/emitter.ts";
import type { FlushStats } from "../core/reports.ts";
import { callOptions, checkOneOf, checkTimeout } from "../core/validate.ts";
import { isSluiceError } from "../errors.ts";
import type {
  Coalescer,
  CoalescerCloseOptions,
  CoalescerCloseReport,
  CoalescerStats,
} from "./coalescer.ts";
import { CountedCache } from "./counted-cache.ts";
import { type CallKey, checkKey } from "./key.ts";
import { batcherLimits, type CoalescerOptions } from "./options.ts";
import { PendingCalls, withCallers, withdrawn } from "./pending-calls.ts";
import { type Home, type PendingCall, Question } from "./question.ts";

/** The open questions behind `createCoalescer`: equal ones are one, and go into a call once. */
export class Questions<Request, Answer, Key extends CallKey, Group extends CallKey | undefined>
  implements Coalescer<Request, Answer>
{
  readonly name: string;
  readonly #group: ((request: Request) => CallKey) | undefined;
  readonly #key: (request: Request) => CallKey;
  readonly #calls: PendingCalls<Request, Answer, Key, Group>;
  readonly #clock: Clock;
  readonly #closeTimeoutMs: number;
  readonly #cache: CountedCache<Answer> | undefined;
  readonly #homes = new Map<CallKey | undefined, Home<Request, Answer>>();
  /** Those with questions that the engine has not been told of. */
  #fresh: Home<Request, Answer>[] = [];
  readonly #counts = { loads: 0, fromCache: 0, aborted: 0, refused: 0, shared: 0 };
  #closing: Promise<CoalescerCloseReport> | undefined;

  constructor(options: CoalescerOptions<Request, Answer, Key, Group>) {
    const limits = batcherLimits(options);
    const { name = "calls", cache, observe, clock = systemClock } = options;
    this.name = name;
    this.#group = options.group;
    this.#key = options.key;
    this.#clock = clock;
    this.#closeTimeoutMs = limits.closeTimeoutMs;
    const emit = emitter(name, observe, true);
    const warn = (error: unknown): void => emit({ type: "warning", error });
    this.#cache = cache === undefined ? undefined : new CountedCache(cache, clock, warn);
    const left = this.#left.bind(this);
    this.#calls = new PendingCalls(options, limits, {
      name,
      clock,
      cache: this.#cache,
      emit,
      left,
    });
  }

  load(request: Request, options?: WaitOptions): Promise<Answer> {
    try {
      const signal = options && callOptions("load", options, ["signal"]).signal;
      if (this.#closing !== undefined) throw this.#calls.closed();
      const group = this.#groupOf(request);
      const key = checkKey("key", this.#key(request));
      signal?.throwIfAborted();
      return this.#load(group, key, request, signal);
    } catch (error) {
      this.#counts.refused += 1;
      return Promise.reject(error);
    }
  }

  async flush(options?: FlushOptions): Promise<FlushStats> {
    this.#enterFresh();
    try {
      return await this.#calls.engine.flush(options);
    } catch (error) {
      // What failed has told its callers.
      if (!isSluiceError(error) || error.code !== "SLUICE_ERR_FLUSH_INCOMPLETE") throw error;
      return error.report as FlushStats;
    }
  }

  invalidate(request: Request): void {
    const group = this.#groupOf(request);
    const key = checkKey("key", this.#key(request));
    this.#cache?.delete(group, key);
    const question = this.#homes.get(group)?.questions.get(key);
    if (question?.sent === true) question.current = false;
  }

  clear(): void {
    this.#cache?.clear();
    for (const { questions } of this.#homes.values()) {
      for (const question of questions.values()) question.current &&= !question.sent;
    }
  }

  async close(options?: CoalescerCloseOptions): Promise<CoalescerCloseReport> {
    const known = callOptions("close", options, ["timeoutMs", "pending"]);
    const timeoutMs = checkTimeout(known.timeoutMs, this.#closeTimeoutMs);
    const { pending = "drain" } = known;
    checkOneOf("pending", pending, ["drain", "reject"]);
    if (pending === "reject" && this.#closing !== undefined) this.#reject(); // not to be waited for any more
    this.#closing ??= this.#close(timeoutMs, pending === "reject");
    return this.#closing;
  }

  stats(): CoalescerStats {
    this.#enterFresh();
    const { fromCache, ...counted } = this.#counts;
    const { engine, counts } = this.#calls;
    const answered = fromCache + counts.answered;
    const { heldEntries, waiting, lastError } = engine.stats();
    return {
      ...counted,
      ...counts,
      answered,
      pending: counted.loads - answered - counts.failed - counted.aborted,
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
    return this.#group === undefined ? undefined : checkKey("group", this.#group(request));
  }

  #load(
    group: CallKey | undefined,
    key: CallKey,
    request: Request,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const counts = this.#counts;
    counts.loads += 1;
    if (this.#cache !== undefined) {
      const held = this.#cache.get(group, key);
      if (held !== undefined) {
        counts.fromCache += 1;
        return Promise.resolve(held.answer);
      }
    }
    const home = this.#homes.get(group) ?? this.#settle(group);
    const equal = home.questions.get(key);
    if (equal !== undefined && equal.current) {
      counts.shared += 1;
      return equal.join(signal);
    }
    const question = new Question<Request, Answer>(home, key, request);
    home.questions.set(key, question);
    if (home.fresh.push(question) === 1 && this.#fresh.push(home) === 1) {
      // The engine hears of all that this piece of code asks at once.
      queueMicrotask(this.#enterFresh);
    }
    return question.join(signal);
  }

  /** A group has a question after it had none. */
  #settle(group: CallKey | undefined): Home<Request, Answer> {
    const home: Home<Request, Answer> = {
      group,
      questions: new Map(),
      fresh: [],
      open: 0,
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

  readonly #abandoned = (call: PendingCall<Request, Answer>): void => {
    call.withdraw(withdrawn());
  };

  readonly #enterFresh = (): void => {
    const homes = this.#fresh;
    if (homes.length === 0) return;
    this.#fresh = [];
    for (const home of homes) {
      const questions = withCallers(home.fresh);
      home.fresh = [];
      home.pending += 1; // the group stays until all have their place
      this.#calls.enter(home, questions);
      home.pending -= 1;
      this.#left(home);
    }
  };

  /** The group has lost something; one that has nothing any more is forgotten as a whole. */
  #left(home: Home<Request, Answer>): void {
    if (home.pending === 0 && home.fresh.length === 0) {
      this.#homes.delete(home.group);
      // What is old and dead, as a replaced table of a Map is, would keep them from a minor collection.
      home.questions.clear();
      home.call = undefined;
      return;
    }
    // What is settled leaves once it is the greater part: each question is looked at a few times at most.
    if (home.questions.size <= 2 * home.open + 100) return;
    for (const [key, { open }] of home.questions) if (!open) home.questions.delete(key);
  }

  #reject(): void {
    this.#calls.reject(this.#calls.closed());
  }

  async #close(timeoutMs: number, reject: boolean): Promise<CoalescerCloseReport> {
    const startedAt = this.#clock.now();
    const before = this.stats();
    if (reject) this.#reject();
    await this.#calls.close(timeoutMs);
    const stats = this.stats();
    return {
      answered: stats.answered - before.answered,
      failed: stats.failed - before.failed,
      aborted: stats.aborted - before.aborted,
      durationMs: this.#clock.now() - startedAt,
      stats,
    };
  }
}

const NO_CACHE = { hits: 0, misses: 0, inserts: 0, evictions: 0, size: 0, hitRatio: 0 };
