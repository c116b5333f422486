/** Everybody settles exactly once, with the answer or the error of their own, whatever happens when. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError, rejected, retryable, SluiceError } from "../errors.ts";
import type { SluiceEvent } from "../events.ts";
import { type ManualClock, manualClock, seededRandom } from "../testing/index.ts";
import { type Coalescer, createCoalescer } from "./coalescer.ts";
import type { CallKey } from "./key.ts";
import { lruCache } from "./lru-cache.ts";
import type { CoalescerOptions } from "./options.ts";

interface Request {
  readonly group: CallKey;
  readonly key: CallKey;
}
type Options = CoalescerOptions<Request, string, CallKey, CallKey>;

/** Texts and numbers that look alike are different questions. */
const GROUPS: readonly CallKey[] = ["1", 1, "b"];
const KEYS: readonly CallKey[] = ["1", 1, "x", "y", true];

const nameOf = ({ group, key }: Request): string => `${typeof group}:${group}/${typeof key}:${key}`;

const BEHAVIOURS = [
  ...(["answer", "answer", "map", "slow", "partial", "error slots", "strays"] as const),
  ...(["retryable", "rejected", "poison", "plain", "sync", "hang", "late", "nonsense"] as const),
] as const;
type Behaviour = (typeof BEHAVIOURS)[number];

type Step =
  | { readonly do: "load"; readonly group: number; readonly key: number; readonly abort?: number }
  | { readonly do: "advance"; readonly ms: number }
  | { readonly do: "abort"; readonly nth: number }
  | { readonly do: "jobs" | "flush" | "invalidate" | "clear" }
  | { readonly do: "close"; readonly pending: "drain" | "reject"; readonly timeoutMs: number };

interface Scenario {
  readonly seed: number;
  readonly behaviours: readonly Behaviour[];
  readonly limits: Partial<Options>;
  readonly cached: boolean;
  readonly steps: readonly Step[];
}

const load = fc.record({
  do: fc.constant("load" as const),
  group: fc.nat(GROUPS.length - 1),
  key: fc.nat(KEYS.length - 1),
  abort: fc.constantFrom(-1, -1, 0, 1, 2),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: load },
  {
    weight: 4,
    arbitrary: fc.constantFrom(0, 1, 3, 10, 40).map((ms) => ({ do: "advance" as const, ms })),
  },
  { weight: 2, arbitrary: fc.nat(2).map((nth) => ({ do: "abort" as const, nth })) },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(...(["jobs", "jobs", "flush", "invalidate", "clear"] as const))
      .map((what) => ({ do: what })),
  },
);
const close: fc.Arbitrary<Step> = fc.record({
  do: fc.constant("close" as const),
  pending: fc.constantFrom("drain" as const, "reject" as const),
  timeoutMs: fc.constantFrom(0, 5, 60, 10_000),
});
const limits = fc.record({
  maxEntries: fc.integer({ min: 1, max: 3 }),
  maxBufferedEntries: fc.constantFrom(3, 4, 6, 50),
  maxInFlight: fc.integer({ min: 1, max: 5 }),
  maxDelayMs: fc.constantFrom(0, 0, 7),
  dispatchWhenIdle: fc.boolean(),
  overflow: fc.constantFrom("wait" as const, "wait" as const, "reject" as const),
  missing: fc.constantFrom("error" as const, "undefined" as const),
  callTimeoutMs: fc.constantFrom(5, 20),
  deliveryTimeoutMs: fc.constantFrom(20, 60, 200),
  retry: fc.record({ baseDelayMs: fc.constantFrom(1, 8), maxAttempts: fc.constantFrom(1, 2, 5) }),
});
const scenario: fc.Arbitrary<Scenario> = fc.record({
  seed: fc.nat(),
  behaviours: fc.uniqueArray(fc.constantFrom(...BEHAVIOURS), { minLength: 1, maxLength: 4 }),
  limits,
  cached: fc.boolean(),
  steps: fc
    .tuple(fc.array(step, { minLength: 1, maxLength: 30 }), close, fc.array(step, { maxLength: 3 }))
    .map(([before, end, after]) => [...before, end, ...after]),
});

/** A store that behaves as told, and notes whatever it should never be asked. */
function unruly({ seed, behaviours, limits }: Scenario, clock: ManualClock) {
  const random = seededRandom(seed);
  const faults: string[] = [];
  let inFlight = 0;
  const open = new Map<AbortSignal, () => void>();
  const wait = async (ms: number): Promise<void> => {
    await new Promise<void>((resolve) => clock.schedule(resolve, ms));
  };
  const behave = (
    group: CallKey,
    keys: readonly CallKey[],
    requests: readonly Request[],
  ): unknown => {
    const behaviour = behaviours[Math.floor(random() * behaviours.length)] ?? "answer";
    const answers = requests.map(nameOf);
    const tag = `failed ${typeof group}:${group}/`;
    const tagged = (error: (message: string) => Error): never => {
      throw error(`${tag}*`);
    };
    switch (behaviour) {
      case "answer":
        return Promise.resolve(answers);
      case "map":
        return new Map(keys.map((key, index) => [key, answers[index]] as const).reverse());
      case "sync":
        return random() < 0.5 ? answers : tagged((message) => new Error(message));
      case "slow":
        return wait(Math.floor(random() * 15)).then(() => answers);
      case "late": // it answers, but to nobody
        return wait(25).then(() => answers);
      case "hang":
        return new Promise(() => undefined);
      case "partial":
        return Promise.resolve(
          new Map(keys.flatMap((key, i) => (random() < 0.5 ? [[key, answers[i]]] : []))),
        );
      case "error slots":
        return Promise.resolve(
          answers.map((name) => (random() < 0.5 ? new Error(`failed ${name}`) : name)),
        );
      case "strays":
        return new Map([...GROUPS, ...KEYS].map((key) => [key, nameOf({ group, key })] as const));
      case "retryable":
        return wait(1).then(() => tagged((message) => retryable(message)));
      case "rejected":
        return Promise.resolve().then(() => tagged((message) => rejected(message)));
      case "poison": // halving finds it
        return keys.includes("x") ? Promise.reject(rejected(`${tag}*`)) : Promise.resolve(answers);
      case "plain":
        return wait(2).then(() => tagged((message) => new TypeError(message)));
      case "nonsense":
        return random() < 0.5 ? undefined : [...answers, "one too many"];
    }
  };
  const resolve: Options["resolve"] = (group, keys, { signal, requests }) => {
    const check = (fine: boolean, what: string): unknown => fine || faults.push(what);
    check(new Set(keys).size === keys.length, `a key twice: ${keys.join()}`);
    check(keys.length > 0 && keys.length <= (limits.maxEntries ?? 0), `${keys.length} keys`);
    check(
      requests.every((request, i) => request.group === group && request.key === keys[i]),
      "mixed",
    );
    check(!signal.aborted, "aborted from the start");
    inFlight += 1;
    check(inFlight <= (limits.maxInFlight ?? 0), `${inFlight} calls in flight`);
    const ended = (): void => {
      if (open.delete(signal)) inFlight -= 1;
    };
    open.set(signal, ended);
    signal.addEventListener("abort", ended);
    try {
      const given = behave(group, keys, requests);
      // A call is over as soon as its answer is there, which is before the engine sees it.
      void Promise.resolve(given).then(ended, ended);
      return given as never;
    } catch (error) {
      ended();
      throw error;
    }
  };
  return { resolve, faults, inFlight: () => inFlight };
}

/** A caller, and all that became of it. */
interface Caller {
  readonly name: string;
  readonly group: string;
  readonly signal: AbortSignal | undefined;
  readonly askedAt: number;
  readonly outcomes: { readonly value?: unknown; readonly error?: unknown; readonly at: number }[];
}

/** What is wrong with what a caller was told; nothing, if all is well. */
function faultOf(
  { name, group, signal, askedAt, outcomes }: Caller,
  { missing, closedBy }: { readonly missing: unknown; readonly closedBy: number },
): string | undefined {
  const [outcome] = outcomes;
  if (outcome === undefined || outcomes.length > 1)
    return `${name} settled ${outcomes.length} times`;
  if (outcome.at > Math.max(askedAt, closedBy)) return `${name} settled after the close`;
  if (!("error" in outcome)) {
    const fine = outcome.value === name || (missing === "undefined" && outcome.value === undefined);
    return fine ? undefined : `${name} was answered ${String(outcome.value)}`;
  }
  const { error } = outcome;
  if (signal?.aborted === true && error === signal.reason) return undefined;
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const tag = /failed (\S+?)\/(\S+)$/.exec(at.message);
    if (tag === null) continue;
    if (tag[1] !== group || !["*", name.slice(group.length + 1)].includes(tag[2] ?? "")) {
      return `${name} was told of another's failure: ${at.message}`;
    }
  }
  if (error instanceof Error && error.message.startsWith("failed")) return undefined;
  const known = isSluiceError(error) && EXPECTED.has(error.code);
  return known ? undefined : `${name} was told ${String(error)}`;
}

const EXPECTED = new Set<SluiceError["code"]>([
  "SLUICE_ERR_BATCHER_CLOSED",
  "SLUICE_ERR_BATCHER_FULL",
  "SLUICE_ERR_CALL_UNANSWERED",
  "SLUICE_ERR_ANSWER_MISSING",
  "SLUICE_ERR_ANSWER_INVALID",
]);

async function run(told: Scenario): Promise<void> {
  const clock = manualClock();
  const { resolve, faults, inFlight } = unruly(told, clock);
  const events: SluiceEvent[] = [];
  const coalescer = createCoalescer<Request, string, CallKey, CallKey>({
    ...told.limits,
    group: ({ group }) => group,
    key: ({ key }) => key,
    resolve,
    cache: told.cached ? lruCache({ maxEntries: 4, ttlMs: 20 }) : undefined,
    clock,
    random: seededRandom(told.seed + 1),
    observe: (event) => events.push(event),
  });
  const controllers = Array.from({ length: 3 }, () => new AbortController());
  const callers: Caller[] = [];
  let closing: { readonly by: number; readonly report: Promise<unknown> } | undefined;
  for (const one of told.steps) {
    const request = { group: GROUPS[told.seed % 3] ?? "b", key: KEYS[told.seed % 5] ?? "x" };
    if (one.do === "load") callers.push(ask(coalescer, clock, one, controllers));
    else if (one.do === "advance") await clock.advance(one.ms);
    else if (one.do === "jobs")
      for (let job = 0; job < told.seed % 12; job += 1) await Promise.resolve();
    else if (one.do === "flush") void coalescer.flush();
    else if (one.do === "invalidate") coalescer.invalidate(request);
    else if (one.do === "clear") coalescer.clear();
    else if (one.do === "close") {
      const { pending, timeoutMs } = one;
      closing = { by: clock.now() + timeoutMs, report: coalescer.close({ pending, timeoutMs }) };
    } else if (one.do === "abort") {
      controllers[one.nth]?.abort(new SluiceError("SLUICE_ERR_CALL_WITHDRAWN", `abort ${one.nth}`));
      controllers[one.nth] = new AbortController();
    }
    const { loads, answered, failed, aborted, pending } = coalescer.stats();
    expect(answered + failed + aborted + pending).toBe(loads);
  }
  await clock.advance(10_000);
  const { by: closedBy = 0, report } = closing ?? {};
  await report;
  const oracle = { missing: told.limits.missing, closedBy };
  const wrong = callers.flatMap((caller) => faultOf(caller, oracle) ?? []);
  expect([...faults, ...wrong]).toEqual([]);
  const { pending, held, waiting, loads, refused } = coalescer.stats();
  expect({ pending, held, waiting, timers: clock.timers, inFlight: inFlight() }).toEqual({
    pending: 0,
    held: 0,
    waiting: 0,
    timers: 0,
    inFlight: 0,
  });
  expect(loads + refused).toBe(callers.length);
  expect(events.filter(({ type }) => type === "unknown")).toEqual([]);
}

function ask(
  coalescer: Coalescer<Request, string>,
  clock: ManualClock,
  { group: g, key: k, abort = -1 }: Extract<Step, { do: "load" }>,
  controllers: readonly AbortController[],
): Caller {
  const request = { group: GROUPS[g] ?? "b", key: KEYS[k] ?? "x" };
  const signal = controllers[abort]?.signal;
  const name = nameOf(request);
  const caller: Caller = {
    name,
    group: name.split("/")[0] ?? "",
    signal,
    askedAt: clock.now(),
    outcomes: [],
  };
  coalescer.load(request, { signal }).then(
    (value) => caller.outcomes.push({ value, at: clock.now() }),
    (error: unknown) => caller.outcomes.push({ error, at: clock.now() }),
  );
  return caller;
}

describe("whatever happens when", () => {
  it("every caller settles exactly once, with its own answer or its own error", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(fc.asyncProperty(scenario, run), { numRuns: 1_000, seed: 20_260_101 });
  });

  it("no slot is lost, however close to its grant the callers leave", async () => {
    for (let jobs = 0; jobs < 30; jobs += 1) {
      const clock = manualClock();
      const coalescer = createCoalescer<string, string, string, string>({
        group: (text) => text,
        key: (text) => text,
        resolve: async (_group, keys) => keys,
        maxInFlight: 1,
        clock,
      });
      const controller = new AbortController();
      const first = coalescer.load("a");
      const left = coalescer.load("b", { signal: controller.signal }).catch(() => undefined);
      await first;
      for (let job = 0; job < jobs; job += 1) await Promise.resolve();
      controller.abort("gone");
      const last = coalescer.load("c");
      await clock.settle();
      await clock.settle();
      expect(coalescer.stats()).toMatchObject({ pending: 0, held: 0, failed: 0 });
      expect(await Promise.all([last, left])).toContain("c");
      expect(clock.timers).toBe(0);
    }
  });
});
