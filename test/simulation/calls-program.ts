import {
  type CallContext,
  type CallKey,
  type Coalescer,
  createCoalescer,
  isSluiceError,
  rejected,
  retryable,
} from "sluice";
import { lruCache } from "sluice/lru-cache";
import { Arrivals } from "./arrivals.ts";
import type { CallsLimits } from "./calls-limits.ts";
import type { ProgramStage, StoreStage } from "./coverage.ts";
import type { Dice } from "./dice.ts";
import { faultOf } from "./fates.ts";
import { Leavers } from "./leavers.ts";
import type { Program } from "./program.ts";
import type { OwnedClock } from "./virtual-time.ts";
import { Waiters } from "./waiters.ts";
import type { World } from "./world.ts";

interface Question {
  readonly group: CallKey;
  readonly key: CallKey;
}

/** Texts and numbers that look alike are different questions. */
const GROUPS: readonly [CallKey, ...CallKey[]] = ["1", 1, "b", "__proto__"];
const KEYS: readonly [CallKey, ...CallKey[]] = [
  "1",
  1,
  "x",
  "y",
  true,
  "constructor",
  "missing",
  "poison",
];

/** How a caller's wait ends. */
type Ending = "answered" | "failed" | "aborted";

const nameOf = ({ group, key }: Question): string =>
  `${typeof group}:${group}/${typeof key}:${key}`;

/** What a program of calls is made of. */
export interface CallsProgramParts {
  readonly name: string;
  readonly world: World;
  readonly limits: CallsLimits;
  readonly dice: Dice;
  readonly jitter: Dice;
}

/** A program whose callers ask through a coalescer, and the API that it asks. */
export class CallsProgram implements Program {
  readonly name: string;
  readonly clock: OwnedClock;
  /** The time of the API. */
  readonly #server: OwnedClock;
  readonly #parts: CallsProgramParts;
  readonly #coalescer: Coalescer<Question, string | undefined>;
  readonly #waiters: Waiters;
  readonly #leavers = new Leavers();
  /** Questions whose call was refused: they are asked again in halves. */
  readonly #refused = new Set<string>();
  /** Questions that no call has asked yet, and those that one has. */
  readonly #unasked = new Set<string>();
  readonly #asked = new Set<string>();
  /** The attempts that nobody has given up. */
  readonly #open = new Map<AbortSignal, number>();
  /** Goes up with each change of what there is to know; of which question, or of all, it last did. */
  #version = 0;
  #allChanged = 0;
  readonly #changed = new Map<string, number>();
  readonly #arrivals = new Arrivals();
  readonly #settled: Record<Ending, number> = { answered: 0, failed: 0, aborted: 0 };
  /** How many calls were made. */
  calls = 0;
  #alive = true;
  #closing = false;

  constructor(parts: CallsProgramParts) {
    const { name, world, limits, jitter } = parts;
    this.name = name;
    this.#parts = parts;
    this.clock = world.time.clock();
    this.#server = world.time.clock();
    this.#waiters = new Waiters(world.time, (what) => this.#fail(what));
    this.#coalescer = createCoalescer<Question, string | undefined, CallKey, CallKey>({
      ...limits.options,
      name,
      group: ({ group }) => group,
      key: ({ key }) => key,
      resolve: (group, keys, context) => this.#resolve(group, keys, context),
      cache: limits.cached ? lruCache({ maxEntries: 4, ttlMs: 50 }) : undefined,
      clock: this.clock,
      random: jitter.random,
      observe: (event) => {
        if (!this.#alive) return;
        world.note(() => `${name}: ${event.type} ${"items" in event ? event.items : ""}`);
        if (event.type === "unknown") this.#fail("a question is unknown: nothing was written");
      },
    });
  }

  get isHalving(): boolean {
    return false; // what is asked in halves cannot be told from what is asked
  }

  get stage(): ProgramStage {
    const { held, waiting } = this.#coalescer.stats();
    if (this.#closing) return "draining";
    if (waiting > 0) return "blocked";
    if (this.#open.size > 0) return "in flight";
    return held > 0 ? "gathering" : "idle";
  }

  get isClosing(): boolean {
    return this.#closing;
  }

  get drained(): boolean {
    const { pending, held, waiting } = this.#coalescer.stats();
    return pending === 0 && held === 0 && waiting === 0 && this.#waiters.open.length === 0;
  }

  offer(): void {
    const { dice } = this.#parts;
    const question = { group: dice.pick(GROUPS), key: dice.pick(KEYS) };
    // What is known has changed: whoever asks from now on must not hear of what was.
    if (dice.chance(0.05)) {
      this.#version += 1;
      this.#changed.set(nameOf(question), this.#version);
      this.#coalescer.invalidate(question);
    }
    if (dice.chance(0.02)) {
      this.#version += 1;
      this.#allChanged = this.#version;
      this.#coalescer.clear();
    }
    this.#ask(question);
  }

  flush(): void {
    const flush = this.#coalescer.flush();
    this.#waiters.follow("a flush", flush, {
      fulfilled: () => undefined,
      rejected: (error) => this.#fail(`a flush rejected: ${String(error)}`),
    });
  }

  abortOne(): boolean {
    return this.#leavers.leaveOne();
  }

  /** Limits cannot shrink here: a burst comes. */
  pressure(): void {
    for (let burst = this.#parts.dice.below(30); burst > 0; burst -= 1) this.offer();
  }

  close(timeoutMs: number): void {
    this.#closing = true;
    const before = this.#coalescer.stats();
    const pending = this.#parts.dice.pick(["drain", "drain", "reject"] as const);
    this.#waiters.follow(
      "a close",
      this.#coalescer.close({ timeoutMs, pending }),
      {
        fulfilled: ({ answered, failed, aborted, stats }) => {
          if (stats.pending !== 0) this.#fail(`close() left ${stats.pending} questions open`);
          const told = JSON.stringify({ answered, failed, aborted });
          const expected = JSON.stringify({
            answered: stats.answered - before.answered,
            failed: stats.failed - before.failed,
            aborted: stats.aborted - before.aborted,
          });
          if (told !== expected) this.#fail(`close() reports ${told} and not ${expected}`);
        },
        rejected: (error) => this.#fail(`close() rejected: ${String(error)}`),
      },
      timeoutMs,
    );
  }

  crash(): void {
    this.#alive = false;
    this.clock.stop();
    this.#server.stop();
  }

  check(): void {
    if (!this.#alive) return;
    const { loads, answered, failed, aborted, pending, held, waiting } = this.#coalescer.stats();
    const { maxBufferedEntries, maxInFlight, maxDelayMs } = this.#parts.limits.options;
    if (loads !== answered + failed + aborted + pending)
      this.#fail(`${loads} loads are ${answered} + ${failed} + ${aborted} + ${pending}`);
    const told = this.#settled;
    if (answered < told.answered || aborted < told.aborted)
      this.#fail(
        `${told.answered} were answered and ${told.aborted} aborted: it counts ${answered}, ${aborted}`,
      );
    if (held > maxBufferedEntries)
      this.#fail(`${held} questions are held of ${maxBufferedEntries}`);
    if (this.#leavers.held() > 0) this.#fail("a caller that has left waits on");
    // Nothing is under way: whatever is due has all slots to itself.
    if (this.#open.size === 0 && maxDelayMs === 0 && waiting === 0 && this.#unasked.size > 0)
      this.#fail(`${[...this.#unasked].join()} wait for a slot, and all are free`);
    if (this.#open.size > maxInFlight)
      this.#fail(`${this.#open.size} calls are in flight of ${maxInFlight}`);
  }

  unrest(): readonly string[] {
    const { pending, held, waiting } = this.#coalescer.stats();
    const wrong = this.#waiters.open.map((what) => `${what} never settled`);
    if (pending + held + waiting > 0)
      wrong.push(`${pending} are pending, ${held} held and ${waiting} waiting for good`);
    if (this.clock.timers > 0) wrong.push(`${this.clock.timers} timers run though it is idle`);
    if (this.#open.size > 0) wrong.push(`${this.#open.size} calls were never given up`);
    return wrong;
  }

  audit(): readonly string[] {
    if (!this.#alive) return [];
    const { answered, failed, aborted, calls } = this.#coalescer.stats();
    const counted = JSON.stringify({ answered, failed, aborted });
    const told = JSON.stringify(this.#settled);
    const wrong = counted === told ? [] : [`${told} callers settled, and ${counted} are counted`];
    if (calls !== this.calls) wrong.push(`${this.calls} calls were made, and ${calls} are counted`);
    return wrong;
  }

  #ask(question: Question): void {
    const { dice, limits } = this.#parts;
    const controller = dice.chance(0.3) ? new AbortController() : undefined;
    const name = nameOf(question);
    const since = Math.max(this.#allChanged, this.#changed.get(name) ?? 0);
    const before = this.#coalescer.stats().refused;
    const answer = this.#coalescer.load(question, { signal: controller?.signal });
    const refused = this.#coalescer.stats().refused > before;
    if (controller !== undefined) this.#leavers.add(controller);
    if (!refused && !this.#asked.has(name)) this.#unasked.add(name);
    const end = (how: Ending): void => {
      this.#unasked.delete(name);
      if (how !== "aborted") this.#asked.delete(name); // else it may still be on its way
      if (controller !== undefined) this.#leavers.delete(controller);
      if (!refused) this.#settled[how] += 1;
    };
    this.#waiters.follow(
      `a question of ${name}`,
      answer,
      {
        fulfilled: (value) => {
          const isMissing = question.key === "missing" && limits.options.missing === "undefined";
          const [answer, version] = value?.split("@") ?? [];
          const isFine = answer === name || (isMissing && value === undefined);
          if (!isFine) this.#fail(`${name} was answered ${String(value)}`);
          if (Number(version) < since)
            this.#fail(`${name} had a stale answer: ${version} of ${since}`);
          end("answered");
        },
        rejected: (error) => {
          const isOwn = controller?.signal.aborted === true && error === controller.signal.reason;
          end(isOwn ? "aborted" : "failed");
          if (!isOwn) this.#checkError(name, question, error);
        },
      },
      limits.answersWithinMs,
    );
  }

  /** A caller is told of the failure of its own question or call, and of nobody else's. */
  #checkError(name: string, { group, key }: Question, error: unknown): void {
    for (let at: unknown = error; at instanceof Error; at = at.cause) {
      const [, tag] = /^failed (.*)$/.exec(at.message) ?? [];
      if (tag === undefined || tag === name || tag === `${typeof group}:${group}/*`) continue;
      this.#fail(`${name} was told of another's failure: ${tag}`);
    }
    if (error instanceof Error && error.message.startsWith("failed ")) return;
    const code = isSluiceError(error) ? error.code : String(error);
    const missing = key === "missing" && code === "SLUICE_ERR_ANSWER_MISSING";
    if (missing || EXPECTED.includes(code)) return;
    this.#fail(`${name} was told ${code}`);
  }

  /** The API. What it asks for is checked; how it fares is its fate. */
  async #resolve(
    group: CallKey,
    keys: readonly CallKey[],
    context: CallContext<Question>,
  ): Promise<Map<CallKey, string | Error> | (string | Error | undefined)[]> {
    const { world, limits } = this.#parts;
    const { fates } = world;
    const { signal, requests } = context;
    if (!this.#alive) return new Promise(() => undefined);
    this.calls += 1;
    const names = keys.map((key) => nameOf({ group, key }));
    const version = this.#version; // what it knows is what there was when it was asked
    for (const name of names) {
      this.#unasked.delete(name);
      this.#asked.add(name);
    }
    if (new Set(names).size !== keys.length) this.#fail(`a call asks twice: ${names.join()}`);
    if (keys.length > limits.options.maxEntries) this.#fail(`a call asks for ${keys.length} keys`);
    if (requests.some((request, at) => nameOf(request) !== names[at]))
      this.#fail(`a call of ${names.join()} is for ${requests.map(nameOf).join()}`);
    if (signal.aborted) this.#fail("a call was given up before it began");
    const began = this.#arrivals.begin();
    this.#open.set(signal, began);
    const end = (): void => void this.#open.delete(signal);
    signal.addEventListener("abort", end);
    const stage = this.#stageOf(names, context.attempt);
    try {
      const fate = fates.draw();
      const struck = faultOf(fate);
      if (struck !== undefined) world.hit(struck, stage);
      if (fate === "hang") return await new Promise(() => undefined);
      const late = fate === "zombie" ? context.timeoutMs : 0;
      await this.#server.sleep(late + fates.latencyMs(fate));
      if (this.#arrivals.isOvertaken(began)) world.hit("out of order", stage);
      const tag = `failed ${typeof group}:${group}/*`;
      if (fate === "fail before commit" || fate === "lose the acknowledgement")
        throw fates.coin() ? retryable(tag) : new TypeError(tag);
      return this.#answers({ keys, names, stage, tag, version });
    } finally {
      end();
    }
  }

  #answers(asked: {
    readonly keys: readonly CallKey[];
    readonly names: readonly string[];
    readonly stage: StoreStage;
    readonly tag: string;
    readonly version: number;
  }): Map<CallKey, string | Error> | (string | Error | undefined)[] {
    const { fates, hit } = this.#parts.world;
    const { keys, names, stage, tag, version } = asked;
    const isPoisoned = keys.includes("poison");
    const tooMany = keys.length > fates.maxEntries;
    if (tooMany || (isPoisoned && !fates.leavesOut())) {
      hit(tooMany ? "too large" : "permanent", stage);
      for (const name of names) this.#refused.add(name);
      throw rejected(tag);
    }
    for (const name of names) this.#refused.delete(name);
    if (isPoisoned || keys.includes("missing")) hit("partial", stage);
    const answers = keys.map((key, at) => {
      const name = names[at] ?? "";
      if (key === "missing") return undefined;
      return key === "poison" ? new Error(`failed ${name}`) : `${name}@${version}`;
    });
    if (fates.coin()) return answers;
    const pairs = keys.flatMap((key, at) => {
      const answer = answers[at];
      return answer === undefined ? [] : [[key, answer] as const];
    });
    return new Map(pairs.reverse());
  }

  #stageOf(names: readonly string[], attempt: number): StoreStage {
    if (this.#closing) return "draining";
    if (names.every((name) => this.#refused.has(name))) return "half";
    return attempt > 1 ? "retry" : "first attempt";
  }

  #fail(what: string): void {
    if (this.#alive) this.#parts.world.fail(`${this.name}: ${what}`);
  }
}

const EXPECTED = [
  "SLUICE_ERR_BATCHER_CLOSED",
  "SLUICE_ERR_BATCHER_FULL",
  "SLUICE_ERR_CALL_UNANSWERED",
];
