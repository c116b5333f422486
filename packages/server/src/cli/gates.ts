import { createStatsigClient } from "sluice/statsig";
import { gatesOf, type GateUser, gateUserOf } from "../flags/gate-questions.ts";
import type { GateTally } from "../flags/gate-tally.ts";
import type { TrafficRequest } from "../traffic/request.ts";
import { messageOf } from "./failure.ts";
import type { Flags } from "./flags.ts";
import { createObserver } from "./observer.ts";
import type { GateFigures } from "./summary.ts";
import { createWindow } from "./window.ts";

/** The library at work: what a gateway would ask of its flag API. */
export interface Gates {
  /** Asks the two gates of a request, and waits only while too many checks are under way. */
  ask(request: TrafficRequest): Promise<void>;
  /** Ends with an answer or a failure of every check, after at most this long. */
  close(timeoutMs: number): Promise<void>;
  figures(): GateFigures;
}

/** Where answers come from, and who is told of them. */
export interface GatePlaces {
  readonly flags: Flags;
  /** Is told of every answer, and of every check without one. */
  readonly tally: GateTally;
  /** Is told, once per kind, what goes wrong. */
  readonly warn: (words: string) => void;
}

/** As many as five chunks of the replay have: it goes its own pace unless answers stay away. */
const MAX_UNDER_WAY = 10_000;
/** The API is on this machine, and back at once if at all. */
const RETRY = { retryAttempts: 5, retryDelayMs: 20 };

/** Opens a client of the flag API. */
export function openGates({ flags, tally, warn }: GatePlaces): Gates {
  const { url, apiKey } = flags;
  const client = createStatsigClient({
    apiKey,
    baseUrl: url,
    eventsBaseUrl: url,
    ...RETRY,
    observe: createObserver("the flag API", warn),
  });
  const window = createWindow(MAX_UNDER_WAY);
  let checks = 0;

  async function check(gate: string, user: GateUser): Promise<void> {
    checks += 1;
    try {
      tally.answer(gate, user, await client.checkGate(gate, user));
    } catch (error) {
      tally.failure(gate, user, messageOf(error));
    }
  }

  return {
    async ask(request) {
      const user = gateUserOf(request);
      for (const gate of gatesOf(request)) window.track(check(gate, user));
      await window.room();
    },
    async close(timeoutMs) {
      await client.close({ timeoutMs });
      await window.idle();
    },
    figures: () => ({
      checks,
      apiCalls: flags.calls(),
      cacheHits: client.stats().evaluations.cache.hits,
      failures: tally.failures,
    }),
  };
}
