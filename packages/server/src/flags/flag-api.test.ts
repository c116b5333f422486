import { once } from "node:events";
import { connect } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { type FlagApi, type FlagApiOptions, startFlagApi } from "./flag-api.ts";
import { configValue, gateValue } from "./rules.ts";
import type { FlagCall, Switches } from "./trouble.ts";

const SEED = 3;
const KEY = "secret-test";
const USER = { userID: "u-1", custom: { plan: "pro" } };

async function start(options: Partial<FlagApiOptions> = {}): Promise<FlagApi> {
  const api = await startFlagApi({ seed: SEED, apiKey: KEY, ...options });
  onTestFinished(() => api.close());
  return api;
}

function post(api: FlagApi, endpoint: string, body: object, init?: RequestInit): Promise<Response> {
  return fetch(`${api.url}/v1/${endpoint}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "statsig-api-key": KEY,
      "statsig-client-time": "1746230400000",
    },
    body: JSON.stringify(body),
    ...init,
  });
}

function gates(...gateNames: readonly string[]): object {
  return { gateNames, user: USER };
}

/** Counts arrivals, each of which is awaited without a clock. */
function createArrivals(): { arrive(): void; readonly of: (count: number) => Promise<void> } {
  const waiting = new Map<number, () => void>();
  let count = 0;
  return {
    arrive() {
      count += 1;
      waiting.get(count)?.();
    },
    of: (number) =>
      count >= number ? Promise.resolve() : new Promise((resolve) => waiting.set(number, resolve)),
  };
}

function broken(): never {
  throw new Error("the switch is broken");
}

test("check_gate answers a list of gates with a map, in another order than asked", async () => {
  const api = await start();
  const names = ["alpha", "beta", "__proto__", "gamma"];
  const response = await post(api, "check_gate", gates(...names));
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  const answer = (await response.json()) as object;
  expect(Object.keys(answer)).toEqual(names.toReversed());
  expect(Object.entries(answer)).toEqual(
    names.toReversed().map((name) => [name, { name, ...gateValue(SEED, name, USER) }]),
  );
});

test("check_gate answers a single gate with one object", async () => {
  const api = await start();
  const response = await post(api, "check_gate", { gateName: "alpha", user: USER });
  expect(await response.json()).toEqual({ name: "alpha", ...gateValue(SEED, "alpha", USER) });
});

test("get_config answers the config, and its rule as its group", async () => {
  const api = await start();
  const response = await post(api, "get_config", { configName: "my config-1.0", user: USER });
  expect(response.status).toBe(200);
  const truth = configValue(SEED, "my config-1.0", USER);
  const answer = { name: "my config-1.0", ...truth, group: truth.rule_id };
  expect(await response.json()).toEqual(answer);
});

test("log_event takes events in order, each with its own user or that of the call", async () => {
  const api = await start();
  const other = { customIDs: { deviceID: "d" } };
  const first = { eventName: "a", value: 1.5, time: 12, metadata: { k: "v" }, user: other };
  const response = await post(api, "log_event", {
    events: [first, { eventName: "b", value: "x" }],
    user: USER,
    statsigMetadata: { sdkType: "test" },
  });
  expect(response.status).toBe(202);
  expect(await response.json()).toEqual({ success: true });
  await post(api, "log_event", { events: [{ eventName: "a" }] });
  expect(api.stats.log).toEqual([
    first,
    { eventName: "b", value: "x", user: USER },
    { eventName: "a" },
  ]);
  expect(api.stats).toMatchObject({ events: 3, largestLog: 2, calls: { log_event: 2 } });
});

test("events are counted also where they are not kept", async () => {
  const api = await start({ keepEvents: false });
  await post(api, "log_event", { events: [{ eventName: "a" }, { eventName: "b" }] });
  expect(api.stats).toMatchObject({ events: 2, log: [] });
});

test("the counters tell calls, names, users and repeated names", async () => {
  const api = await start();
  await post(api, "check_gate", gates("aa", "bb", "aa", "aa"));
  await post(api, "check_gate", {
    gateName: "aa",
    user: { custom: { plan: "pro" }, userID: "u-1" },
  });
  await post(api, "get_config", { configName: "cc", user: { userID: "u-2" } });
  await post(api, "get_config", { configName: "c", user: { userID: "u-3" } });
  await post(api, "log_event", { events: [{ eventName: "a" }], user: { userID: "u-4" } });
  expect(api.stats).toEqual({
    calls: { check_gate: 2, get_config: 1, log_event: 1 },
    refused: 1,
    troubled: 0,
    abandoned: 0,
    names: 6,
    duplicateNames: 2,
    largestCall: 4,
    users: 2,
    events: 1,
    largestLog: 1,
    log: [{ eventName: "a", user: { userID: "u-4" } }],
    inFlight: 0,
    peakInFlight: 1,
  });
});

test("calls in flight are those that have come and are not answered", async () => {
  const api = await start();
  const arrivals = createArrivals();
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  api.configure({
    hold: () => {
      arrivals.arrive();
      return released;
    },
  });
  const held = [1, 2, 3].map(() => post(api, "check_gate", gates("aa")));
  await arrivals.of(3);
  expect(api.stats).toMatchObject({ inFlight: 3, peakInFlight: 3 });
  release();
  await Promise.all(held);
  expect(api.stats).toMatchObject({ inFlight: 0, peakInFlight: 3, abandoned: 0 });
});

test("a call is told by its endpoint, its names, its user and its number there", async () => {
  const seen: FlagCall[] = [];
  const api = await start({
    switches: {
      trouble: (call) => {
        seen.push(call);
        return undefined;
      },
    },
  });
  await post(api, "check_gate", gates("aa", "bb"));
  await post(api, "check_gate", gates("a"));
  await post(api, "get_config", { configName: "cc", user: USER });
  await post(api, "log_event", { events: [{ eventName: "e" }] });
  await post(api, "check_gate", gates("dd"));
  expect(seen).toEqual([
    { endpoint: "check_gate", names: ["aa", "bb"], user: USER, number: 1 },
    { endpoint: "get_config", names: ["cc"], user: USER, number: 1 },
    { endpoint: "log_event", names: ["e"], user: undefined, number: 1 },
    { endpoint: "check_gate", names: ["dd"], user: USER, number: 2 },
  ]);
});

test("an answer takes as long as it is told to, and no less", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const api = await start();
  const arrivals = createArrivals();
  api.configure({
    latencyMs: ({ names }) => {
      arrivals.arrive();
      return names.includes("slow") ? 60_000 : 0;
    },
  });
  const slow = post(api, "check_gate", gates("slow"));
  await arrivals.of(1);
  expect((await post(api, "check_gate", gates("fast"))).status).toBe(200);
  vi.advanceTimersByTime(59_999);
  expect((await post(api, "check_gate", gates("fast"))).status).toBe(200);
  expect(api.stats.inFlight).toBe(1);
  vi.advanceTimersByTime(1);
  expect((await slow).status).toBe(200);
  expect(api.stats.inFlight).toBe(0);
});

test("close ends what hangs, what is slow and what is held, and leaves no timer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const api = await start();
  const arrivals = createArrivals();
  api.configure({
    trouble: ({ names }) => {
      arrivals.arrive();
      return names.includes("hung") ? { kind: "hang" } : undefined;
    },
    latencyMs: ({ names }) => (names.includes("slow") ? 60_000 : 0),
    hold: ({ names }) => (names.includes("held") ? new Promise(() => undefined) : undefined),
  });
  const calls = ["hung", "slow", "held"].map((name) => post(api, "check_gate", gates(name)));
  const outcomes = Promise.allSettled(calls);
  await arrivals.of(3);
  expect(vi.getTimerCount()).toBe(1);

  const closed = api.close();
  expect(api.close()).toBe(closed);
  await closed;
  await api[Symbol.asyncDispose]();
  expect((await outcomes).map(({ status }) => status)).toEqual([
    "rejected",
    "rejected",
    "rejected",
  ]);
  expect(vi.getTimerCount()).toBe(0);
  expect(api.stats).toMatchObject({ inFlight: 0, abandoned: 3 });
  await expect(post(api, "check_gate", gates("aa"))).rejects.toThrow("fetch failed");
});

test("a call whose client goes away is over", async () => {
  const api = await start();
  const arrivals = createArrivals();
  const client = new AbortController();
  api.configure({
    trouble: () => {
      arrivals.arrive();
      return { kind: "hang" };
    },
  });
  const call = post(api, "check_gate", gates("aa"), { signal: client.signal });
  await arrivals.of(1);
  client.abort();
  await expect(call).rejects.toThrow("aborted");
  await api.close();
  expect(api.stats).toMatchObject({ inFlight: 0, abandoned: 1 });
});

test("a request that ends before its body does is no failure", async () => {
  const api = await start();
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1");
  const head = [
    "POST /v1/check_gate HTTP/1.1",
    "host: localhost",
    `statsig-api-key: ${KEY}`,
    "content-length: 100",
    "expect: 100-continue",
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  await once(socket, "data"); // the server waits for the body
  expect(api.stats.inFlight).toBe(1);
  socket.destroy();
  await once(socket, "close");
  await api.close();
  expect(api.stats).toMatchObject({ inFlight: 0, abandoned: 1, refused: 0 });
});

test.each<[string, Switches]>([
  ["throws", { trouble: broken }],
  ["throws late", { hold: broken, latencyMs: 60_000 }],
  ["rejects", { hold: async () => broken(), latencyMs: 60_000 }],
])("a switch that %s fails the call, and close with its words", async (_how, switches) => {
  const api = await startFlagApi({ seed: SEED, apiKey: KEY, switches });
  await expect(post(api, "check_gate", gates("aa"))).rejects.toThrow("fetch failed");
  await expect(api.close()).rejects.toThrow("the switch is broken");
});

test("a port that is taken is an error; one that is free is taken", async () => {
  const api = await start();
  const port = Number(new URL(api.url).port);
  await expect(startFlagApi({ seed: SEED, apiKey: KEY, port })).rejects.toThrow("EADDRINUSE");
  await api.close();
  expect((await start({ port })).url).toBe(`http://127.0.0.1:${port}`);
});
