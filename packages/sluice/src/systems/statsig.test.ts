/** The options, checks and wire format of the client. Against a server: test/integration/statsig*.ts. */
import { describe, expect, it } from "vitest";
import own from "../../package.json" with { type: "json" };
import type { SluiceEvent } from "../events.ts";
import { manualClock } from "../testing/index.ts";
import { createStatsigClient, type StatsigOptions } from "./statsig.ts";
import { VERSION } from "./statsig-options.ts";

const API_KEY = "secret-canary";
const USER = { userID: "u" };
const ALMOST_1 = 1 - 2 ** -20;

interface Sent {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: {
    readonly gateNames?: readonly string[];
    readonly configName?: string;
    readonly events?: readonly object[];
  };
}

const open = (name: string): object => ({ name, value: true, rule_id: "r", group_name: "g" });

/** What an API answers for which all gates are open and all configs are 7. */
const properly = ({ body: { gateNames, configName } }: Sent): unknown => {
  if (configName !== undefined) return { ...open(configName), value: 7, group: "r" };
  return Object.fromEntries((gateNames ?? []).map((name) => [name, open(name)]));
};

/** A client before an API that answers with what `reply` gives: JSON, a `Response`, or never. */
function opened(options: Partial<StatsigOptions> = {}, reply: (sent: Sent) => unknown = properly) {
  const clock = manualClock();
  const sent: Sent[] = [];
  const events: SluiceEvent[] = [];
  const client = createStatsigClient({
    apiKey: API_KEY,
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    fetch: async (url, { headers, body = "" }) => {
      const request = { url, headers, body: JSON.parse(body) as Sent["body"] };
      sent.push(request);
      const answer = await reply(request);
      return answer instanceof Response ? answer : Response.json(answer);
    },
    ...options,
  });
  const bodies = (): readonly Sent["body"][] => sent.map(({ body }) => body);
  return { client, clock, sent, bodies, events };
}

const never = (): Promise<never> => new Promise(() => undefined);
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `gate_${n}`);
const pausesOf = (events: readonly SluiceEvent[]): readonly number[] =>
  events.flatMap((event) => (event.type === "retried" ? [Math.round(event.delayMs)] : []));

const thrown = (make: () => unknown): unknown => {
  try {
    return make();
  } catch (error) {
    return error;
  }
};

describe("the option", () => {
  it.each<[string, unknown, string]>([
    ["baseUrl", "api.statsig.com", 'baseUrl must be a URL; received "api.statsig.com"'],
    ["eventsBaseUrl", "events", 'eventsBaseUrl must be a URL; received "events"'],
    ["timeoutMs", 0, "timeoutMs must be milliseconds from 1 to 2147483647; received 0"],
    ["timeoutMs", "30", 'received "30"'],
    ["retryAttempts", -1, "retryAttempts must be a whole number from 0 to 100; received -1"],
    ["retryAttempts", 101, "received 101"],
    ["retryAttempts", 1.5, "received 1.5"],
    ["retryAttempts", Infinity, "received Infinity"],
    ["retryDelayMs", 0, "retryDelayMs must be milliseconds from 1 to 60000; received 0"],
    ["retryDelayMs", 60_001, "received 60001"],
    ["cacheTtlMs", 0, "cacheTtlMs must be milliseconds from 1 to 2147483647; received 0"],
    [
      "cacheMaxEntries",
      -1,
      "cacheMaxEntries must be a whole number from 0 to 16777216; received -1",
    ],
    ["cacheMaxEntries", null, "received null"],
    ["batchSize", 0, "batchSize must be a whole number from 1 to 100; received 0"],
    ["batchSize", 101, "received 101"],
    ["batchFlushIntervalMs", -1, "batchFlushIntervalMs must be milliseconds from 0 to"],
    ["offlineFallback", "yes", 'offlineFallback must be true or false; received "yes"'],
    ["exposureLoggingDisabled", 1, "exposureLoggingDisabled must be true or false; received 1"],
    ["sdkType", "", 'sdkType must be printable ASCII characters; received ""'],
    ["sdkType", "a\nb", String.raw`received "a\nb"`],
    ["sdkVersion", 1, "sdkVersion must be printable ASCII characters; received 1"],
    ["sdkVersion", "ü", 'received "ü"'],
    ["eventBatchSize", 0, "eventBatchSize must be a whole number from 1 to"],
    ["eventFlushIntervalMs", Number.NaN, "eventFlushIntervalMs must be milliseconds from 0 to"],
    ["maxBufferedEvents", 0.5, "maxBufferedEvents must be a whole number from 1 to"],
    ["maxInFlight", 0, "maxInFlight must be a whole number from 1 to 1024; received 0"],
    ["maxBufferedEntries", "x", "maxBufferedEntries must be a whole number from 1 to"],
    ["maxResponseBytes", 0, "maxResponseBytes must be a whole number from 1 to"],
    ["closeTimeoutMs", -1, "closeTimeoutMs must be milliseconds from 0 to"],
    ["fetch", "fetch", 'fetch must be a function; received "fetch"'],
    ["observe", 5, "observe must be a function; received 5"],
    ["clock", {}, "clock must be an object with now(); received {}"],
    ["random", 0.5, "random must be a function; received 0.5"],
  ])("%s is not %j", (option, value, message) => {
    expect(thrown(() => opened({ [option]: value }))).toMatchObject({
      code: "SLUICE_ERR_OPTION_INVALID",
      disposition: "usage",
      message: expect.stringContaining(message),
    });
  });

  it("apiKey is visible ASCII, and shown in no case", () => {
    const bad = ["", " ", `${API_KEY}\n`, ` ${API_KEY}`, `${API_KEY} x`, "schlüssel", 5, null, {}];
    for (const apiKey of [...bad, undefined, [API_KEY]]) {
      const error = thrown(() => createStatsigClient({ apiKey: apiKey as string }));
      expect(error).toMatchObject({
        code: "SLUICE_ERR_OPTION_INVALID",
        message: expect.stringMatching(
          /^apiKey must be visible ASCII characters, without blanks; received (?:an empty string|a value of type \w+), which is not shown$/,
        ),
      });
      expect(String(error)).not.toContain("canary");
    }
  });

  it("that does not exist is refused, as is what is no object of options, such as the key", () => {
    expect(thrown(() => opened({ apikey: API_KEY } as object))).toMatchObject({
      code: "SLUICE_ERR_OPTION_UNKNOWN",
      message: expect.stringMatching(/^there is no option "apikey"; there are apiKey, baseUrl, /),
    });
    for (const options of [API_KEY, [API_KEY], null, undefined]) {
      const error = thrown(() => createStatsigClient(options as never));
      expect(error).toMatchObject({
        code: "SLUICE_ERR_OPTION_INVALID",
        message: expect.stringMatching(/^the options must be an object; received a value of type /),
      });
      expect(String(error)).not.toContain("canary");
    }
  });

  it.each([
    ["batchSize", "maxBufferedEntries"],
    ["eventBatchSize", "maxBufferedEvents"],
  ])("%s is not above %s, and by default gives way to it", (size, buffer) => {
    expect(thrown(() => opened({ [size]: 20, [buffer]: 10 }))).toMatchObject({
      code: "SLUICE_ERR_OPTION_CONFLICT",
      message: `${size} (20) must not be above ${buffer} (10)`,
    });
    for (const entries of [1, 10, 99, 499])
      expect(() => opened({ [buffer]: entries })).not.toThrow();
    expect(() => opened({ eventBatchSize: 20_000 })).not.toThrow();
  });
});

describe("by default", () => {
  it("the version that is told is the package's own", () => {
    expect(VERSION).toBe(own.version);
  });

  it("the wire format is that of docs.statsig.com/api-reference", async () => {
    const { client, clock, sent } = opened();
    const user = { userID: "u", custom: { b: 1, a: undefined } };
    expect(await client.checkGate("gate_1", user)).toBe(true);
    expect(await client.getConfig("config 1", user)).toBe(7);
    await client.logEvent({ eventName: "e", user, value: 1.5, metadata: { k: "v" } });
    await client.flush();
    const statsigMetadata = {
      sdkType: "sluice",
      sdkVersion: VERSION,
      exposureLoggingDisabled: false,
    };
    const headers = {
      accept: "application/json",
      "content-type": "application/json",
      "statsig-api-key": API_KEY,
      "user-agent": `sluice/${VERSION}`,
    };
    const who = { userID: "u", custom: { b: 1 } };
    const time = clock.epochMs();
    const event = { eventName: "e", user: who, time, value: 1.5, metadata: { k: "v" } };
    expect(sent).toEqual([
      {
        url: "https://api.statsig.com/v1/check_gate",
        headers,
        body: { gateNames: ["gate_1"], user: who, statsigMetadata },
      },
      {
        url: "https://api.statsig.com/v1/get_config",
        headers,
        body: { configName: "config 1", user: who, statsigMetadata },
      },
      {
        url: "https://events.statsigapi.net/v1/log_event",
        headers: { ...headers, "statsig-client-time": String(time) },
        body: { events: [event], statsigMetadata },
      },
    ]);
  });

  it("nothing else is told than what the options say, where they say", async () => {
    const { client, sent } = opened({
      baseUrl: "http://proxy.test/flags/",
      eventsBaseUrl: new URL("http://events.test"),
      sdkType: "my gateway",
      sdkVersion: "2.0",
      exposureLoggingDisabled: true,
    });
    await client.checkGate("gate_1", USER);
    await client.logEvent({ eventName: "e", user: USER });
    await client.flush();
    const urls = ["http://proxy.test/flags/v1/check_gate", "http://events.test/v1/log_event"];
    expect(sent.map(({ url }) => url)).toEqual(urls);
    const metadata = { sdkType: "my gateway", sdkVersion: "2.0", exposureLoggingDisabled: true };
    for (const { body, headers } of sent) {
      expect(body).toMatchObject({ statsigMetadata: metadata });
      expect(headers["user-agent"]).toBe("my gateway/2.0");
    }
  });

  it("a call has 30 s, and 3 more attempts after pauses of up to 1, 2 and 4 s", async () => {
    const { client, clock, sent, events } = opened({ random: () => ALMOST_1 }, never);
    let over = false;
    const asked = client
      .checkGate("gate_1", USER)
      .catch((error: unknown) => error)
      .finally(() => (over = true));
    await clock.advance(29_999);
    expect(events.filter(({ type }) => type === "retried")).toEqual([]);
    await clock.advance(1);
    expect(pausesOf(events)).toEqual([1_000]);
    await clock.advance(3 * 30_000 + 6_990);
    expect([over, sent.length]).toEqual([false, 4]);
    await clock.advance(10);
    expect(await asked).toMatchObject({ code: "SLUICE_ERR_CALL_UNANSWERED" });
    expect([sent.length, pausesOf(events)]).toEqual([4, [1_000, 2_000, 4_000]]);
    expect(client.stats().evaluations).toMatchObject({ calls: 4, retries: 3, failed: 1 });
  });

  it("pauses double up to 60 s", async () => {
    const busy = (): unknown => new Response("", { status: 503 });
    const { client, clock, events } = opened({ random: () => ALMOST_1, retryAttempts: 8 }, busy);
    const asked = client.getConfig("config", USER).catch((error: unknown) => error);
    while (await clock.next());
    expect(await asked).toMatchObject({ code: "SLUICE_ERR_CALL_UNANSWERED" });
    expect(pausesOf(events)).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map((s) => s * 1_000));
  });

  it("an answer is good for 5 minutes", async () => {
    const { client, clock, sent } = opened();
    await client.checkGate("gate_1", USER);
    await clock.advance(300_000);
    expect(await client.checkGate("gate_1", USER)).toBe(true);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    await client.checkGate("gate_1", USER);
    expect(sent).toHaveLength(2);
  });

  it("10,000 answers are kept, gates go by 100 and calls by 16 at most", async () => {
    let [under, most] = [0, 0];
    const { client, bodies } = opened({}, async (sent) => {
      under += 1;
      most = Math.max(most, under);
      await Promise.resolve();
      under -= 1;
      return properly(sent);
    });
    await client.checkGates(names(10_001), USER);
    expect(bodies().map(({ gateNames }) => gateNames?.length)).toEqual([
      ...Array(100).fill(100),
      1,
    ]);
    expect(client.stats().evaluations.cache).toMatchObject({ size: 10_000, evictions: 1 });
    const users = Array.from({ length: 50 }, (_, n) => ({ userID: `u-${n}` }));
    await Promise.all(users.map((user) => client.checkGate("gate_1", user)));
    expect(most).toBe(16);
  });

  it("questions gather for 100 ms while a call about the same user is under way", async () => {
    const { client, clock, bodies } = opened({}, never);
    for (const gate of ["first", "second"]) {
      void client.checkGate(gate, USER);
      await clock.settle();
    }
    await clock.advance(99);
    expect(bodies().map(({ gateNames }) => gateNames)).toEqual([["first"]]);
    void client.checkGate("third", USER);
    await clock.advance(1);
    expect(bodies().map(({ gateNames }) => gateNames)).toEqual([["first"], ["second", "third"]]);
  });

  it("a lone question makes its call at the end of its tick, and leaves no timer", async () => {
    const { client, clock, bodies } = opened({ batchFlushIntervalMs: 60_000 });
    expect(await client.checkGate("gate_1", USER)).toBe(true);
    expect(await client.checkGate("gate_2", USER)).toBe(true);
    expect(bodies()).toHaveLength(2);
    await clock.settle();
    expect([clock.now(), clock.timers]).toEqual([0, 0]);
  });

  it("events go by 500, or 1 s after the first", async () => {
    const { client, clock, bodies } = opened();
    await client.logEvents(Array.from({ length: 501 }, () => ({ eventName: "e", user: USER })));
    await clock.settle();
    expect(bodies().map(({ events }) => events?.length)).toEqual([500]);
    await clock.advance(999);
    expect(bodies()).toHaveLength(1);
    await clock.advance(1);
    expect(bodies().map(({ events }) => events?.length)).toEqual([500, 1]);
  });

  it("10,000 events are held; the next waits for room", async () => {
    const answers: ((answer: unknown) => void)[] = [];
    const { client, clock } = opened({}, () => new Promise((resolve) => answers.push(resolve)));
    await client.logEvents(Array.from({ length: 10_000 }, () => ({ eventName: "e", user: USER })));
    let accepted = false;
    const last = client.logEvent({ eventName: "e", user: USER }).then(() => (accepted = true));
    await clock.settle();
    expect([accepted, client.stats().events.heldEntries]).toEqual([false, 10_000]);
    answers[0]?.({ success: true });
    await last;
    expect(accepted).toBe(true);
  });

  it("no fallback: an API that gives no answer is an error", async () => {
    const down = opened({ retryAttempts: 0 }, () => new Response("", { status: 500 }));
    await expect(down.client.checkGate("gate_1", USER)).rejects.toMatchObject({
      code: "SLUICE_ERR_CALL_UNANSWERED",
    });
    expect(down.client.stats().fallbacks).toBe(0);
  });
});
