/** A client of `sluice/statsig` before the local flag API, and what both have seen. */
import { inspect } from "node:util";
import { isSluiceError, type SluiceEvent } from "sluice";
import { createStatsigClient, type StatsigClient, type StatsigOptions } from "sluice/statsig";
import { expect, onTestFinished } from "vitest";
import { leaksIn } from "../support/secret.ts";
import { type FlagApi, startFlagApi } from "../../packages/server/src/flags/flag-api.ts";
import { gateValue } from "../../packages/server/src/flags/rules.ts";
import type { FlagCall, Switches, Trouble } from "../../packages/server/src/flags/trouble.ts";

export const SEED = 11;
/** No error, event or figure may show it; every test that uses `opened` looks at all events. */
export const API_KEY = "secret-canary/4711+x";

/** What the switches can be told by: the call, and all that came before it. */
type Choose = (call: FlagCall, calls: readonly FlagCall[]) => Trouble | undefined;

interface Opened {
  readonly api: FlagApi;
  readonly client: StatsigClient;
  /** The calls that came, in their order. */
  readonly calls: readonly FlagCall[];
  readonly events: readonly SluiceEvent[];
  /** Of the requests that were sent, in their order. */
  readonly signals: readonly AbortSignal[];
  /** What happens to the calls from now on. */
  strike(trouble?: Trouble | Choose, switches?: Switches): void;
  /** Resolves when so many calls have come in all. */
  came(count: number): Promise<void>;
  /** Resolves with the first event of a type that is still to come. */
  next(type: SluiceEvent["type"]): Promise<SluiceEvent>;
}

/** Retries come after a millisecond at most, unless the options say otherwise. */
export async function opened(options: Partial<StatsigOptions> = {}): Promise<Opened> {
  const api = await startFlagApi({ seed: SEED, apiKey: API_KEY });
  const calls: FlagCall[] = [];
  const events: SluiceEvent[] = [];
  const signals: AbortSignal[] = [];
  const waiting = new Map<number, () => void>();
  const listeners: [type: string, told: (event: SluiceEvent) => void][] = [];
  const strike = (trouble?: Trouble | Choose, switches: Switches = {}): void =>
    api.configure({
      ...switches,
      trouble: (call) => {
        calls.push(call);
        waiting.get(calls.length)?.();
        return typeof trouble === "function" ? trouble(call, calls) : trouble;
      },
    });
  strike();
  const client = createStatsigClient({
    apiKey: API_KEY,
    baseUrl: api.url,
    eventsBaseUrl: api.url,
    retryDelayMs: 1,
    fetch: (url, init) => {
      signals.push(init.signal);
      return fetch(url, init);
    },
    observe: (event) => {
      events.push(event);
      for (const [type, told] of listeners) if (type === event.type) told(event);
    },
    ...options,
  });
  onTestFinished(async () => {
    void client.close({ timeoutMs: 0 }); // not awaited: its clock may stand still
    await api.close();
    shownNowhere(events);
    shownNowhere(client.stats());
  });
  return {
    api,
    client,
    calls,
    events,
    signals,
    strike,
    came: (count) =>
      new Promise((resolve) => {
        waiting.set(count, resolve);
        if (calls.length >= count) resolve();
      }),
    next: (type) => new Promise((resolve) => listeners.push([type, resolve])),
  };
}

/** The answer of a gate. */
export const truth = (gate: string, user: object): boolean => gateValue(SEED, gate, user).value;

export const names = (count: number, of = "gate"): string[] =>
  Array.from({ length: count }, (_, n) => `${of}_${n}`);

/** Holds what asks for it, until it is released. */
export function holder(): { readonly hold: () => Promise<void>; release(): void } {
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { hold: () => released, release };
}

/** The error that a promise ends with, which is ours and does not show the API key. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    (value) => expect.fail(`it resolved with ${inspect(value)}`),
    (reason: unknown) => reason,
  );
  if (!isSluiceError(error)) expect.fail(`it is not ours: ${inspect(error)}`);
  shownNowhere(error);
  return error;
}

/** In no text that may be logged: the message, the stack, causes, and whatever else there is. */
const shownNowhere = (value: unknown): void => expect(leaksIn(value)).toEqual([]);
