/**
 * Gates, configs and events of a flag API: concurrent questions about a user become one call, and
 * each caller gets the answer to its own.
 */
import { systemClock } from "../clock.ts";
import { Evaluations } from "./statsig-evaluations.ts";
import { createEventLog, readEvent, readEvents } from "./statsig-events.ts";
import { readOptions } from "./statsig-options.ts";
import type { StatsigClient, StatsigOptions } from "./statsig-types.ts";

export type {
  ConfigEvaluation,
  GateEvaluation,
  StatsigClient,
  StatsigCloseReport,
  StatsigEvent,
  StatsigOptions,
  StatsigStats,
} from "./statsig-types.ts";
export type { Json, StatsigUser } from "./statsig-user.ts";

/**
 * Makes a client. Gates of one user share calls of up to 100 names, a config has a call of its own, equal
 * questions are asked once, and answers are kept for 5 minutes. Needs the package lru-cache.
 *
 * @example
 * await using flags = createStatsigClient({ apiKey });
 * if (await flags.checkGate("new_checkout", { userID: "u-1", country: "NZ" })) …
 */
export function createStatsigClient(options: StatsigOptions): StatsigClient {
  const parts = readOptions(options);
  const { clock = systemClock } = options;
  const evaluations = new Evaluations(parts);
  const { coalescer } = evaluations;
  const events = createEventLog(parts);

  const getGateEvaluation: StatsigClient["getGateEvaluation"] = async (name, user, wait) =>
    (await evaluations.ask("gate", [name], user, wait)).get(name) ?? null;
  const getConfigEvaluation: StatsigClient["getConfigEvaluation"] = async (name, user, wait) =>
    (await evaluations.ask("config", [name], user, wait)).get(name) ?? null;

  return {
    getGateEvaluation,
    getConfigEvaluation,
    checkGate: async (name, user, wait) =>
      (await getGateEvaluation(name, user, wait))?.value === true,
    checkGates: async (names, user, wait) => {
      const told = await evaluations.ask("gate", names, user, wait);
      return new Map(Array.from(told, ([name, gate]) => [name, gate?.value === true]));
    },
    getConfig: async <Value>(...asked: Parameters<typeof getConfigEvaluation>) =>
      ((await getConfigEvaluation(...asked))?.value ?? null) as Value | null,
    getConfigs: async (names, user, wait) => {
      const told = await evaluations.ask("config", names, user, wait);
      return new Map(Array.from(told, ([name, config]) => [name, config?.value ?? null]));
    },
    logEvent: async (event, wait) => events.add(readEvent(event, clock.epochMs()), wait),
    logEvents: async (several, wait) => {
      await events.addMany(readEvents(several, clock.epochMs()), wait);
    },
    clearCache: () => coalescer.clear(),
    flush: async (wait) => {
      await both(coalescer.flush(wait), events.flush(wait));
    },
    close: async (closeOptions) => {
      const [asked, logged] = await both(coalescer.close(closeOptions), events.close(closeOptions));
      return { evaluations: asked, events: logged };
    },
    stats: () => ({
      evaluations: coalescer.stats(),
      events: events.stats(),
      fallbacks: evaluations.fallbacks,
    }),
    [Symbol.asyncDispose]: async () => {
      await both(coalescer.close(), events[Symbol.asyncDispose]());
    },
  };
}

/** Like `Promise.all`, but a failure is told when the other has ended as well. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}
