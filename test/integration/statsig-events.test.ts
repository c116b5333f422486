/** `sluice/statsig`: events on their way to a flag API. */
import type { SluiceEvent } from "sluice";
import { createStatsigClient, type StatsigEvent } from "sluice/statsig";
import { manualClock } from "sluice/testing";
import { describe, expect, it } from "vitest";
import { refuseNames, type Trouble } from "../../packages/server/src/flags/trouble.ts";
import { API_KEY, failure, holder, names, opened } from "./statsig-client.ts";

const USER = { userID: "u-1", custom: { plan: "pro" } };
const events = (count: number): StatsigEvent[] =>
  names(count, "event").map((eventName, time) => ({ eventName, user: USER, time }));
const logged = (stats: { readonly log: readonly { readonly eventName: string }[] }): string[] =>
  stats.log.map(({ eventName }) => eventName);
const ofType = (type: SluiceEvent["type"], all: readonly SluiceEvent[]): readonly SluiceEvent[] =>
  all.filter((event) => event.type === type);

describe("events", () => {
  it("go in batches, in their order, each with its own user, value, metadata and time", async () => {
    const { api, client } = await opened({ eventBatchSize: 40, maxInFlight: 16 });
    const all = events(100).map((event, n) => ({
      ...event,
      user: n % 2 === 0 ? USER : { customIDs: { device: `d-${n}` }, ip: "192.0.2.1" },
      value: n % 3 === 0 ? n / 4 : `v-${n}`,
      metadata: { n: String(n) },
    }));
    await Promise.all(all.slice(0, 50).map((event) => client.logEvent(event)));
    await client.logEvents(all.slice(50));
    await client.flush();
    expect(api.stats.log).toEqual(all);
    expect(api.stats).toMatchObject({
      calls: { log_event: 3 },
      events: 100,
      largestLog: 40,
      peakInFlight: 1,
      refused: 0,
    });
    expect(client.stats().events).toMatchObject({ accepted: 100, committed: 100, heldEntries: 0 });
  });

  it("have the time at which they were logged, unless they say another", async () => {
    const clock = manualClock();
    const { api, client } = await opened({ clock });
    const start = clock.epochMs();
    await client.logEvent({ eventName: "now", user: USER });
    await clock.advance(7);
    await client.logEvent({ eventName: "later", user: USER });
    await client.logEvent({ eventName: "then", user: USER, time: new Date(5_000) });
    await client.flush();
    expect(api.stats.log.map(({ time }) => time)).toEqual([start, start + 7, 5_000]);
  });

  it("are what they were when they were logged", async () => {
    const { api, client } = await opened();
    const user = { userID: "u-1", custom: { seats: [1] } };
    const event = { eventName: "seen", user, time: 1, value: 1, metadata: { a: { b: "c" } } };
    const before = structuredClone(event);
    await client.logEvent(event);
    event.eventName = "changed";
    event.value = 2;
    event.metadata.a.b = "changed";
    user.custom.seats.push(2);
    await client.flush();
    expect(api.stats.log).toEqual([before]);
  });

  it("are sent by flush() and close(), and before `await using` ends", async () => {
    const { api, client } = await opened({ eventFlushIntervalMs: 60_000 });
    await client.logEvent({ eventName: "one", user: USER });
    await client.flush();
    expect(logged(api.stats)).toEqual(["one"]);
    await client.logEvent({ eventName: "two", user: USER });
    expect(await client.close()).toMatchObject({ events: { items: 1, committed: 1 } });
    expect(logged(api.stats)).toEqual(["one", "two"]);
    expect(await failure(client.logEvent({ eventName: "late", user: USER }))).toMatchObject({
      code: "SLUICE_ERR_BATCHER_CLOSED",
    });
    {
      await using other = createStatsigClient({ apiKey: API_KEY, eventsBaseUrl: api.url });
      await other.logEvent({ eventName: "three", user: USER });
    }
    expect(logged(api.stats)).toEqual(["one", "two", "three"]);
  });

  it("all or none of several are taken", async () => {
    const { api, client } = await opened();
    const bad = { eventName: "", user: USER };
    expect(await failure(client.logEvents([...events(3), bad]))).toMatchObject({
      code: "SLUICE_ERR_STATSIG_EVENT",
    });
    await client.flush();
    expect(api.stats.events).toBe(0);
  });
});

describe("a call that fails in passing is sent again, and loses nothing:", () => {
  it.each<[string, Trouble]>([
    ["500", { kind: "error", status: 500 }],
    ["408", { kind: "error", status: 408 }],
    ["429", { kind: "error", status: 429, retryAfter: 0 }],
    ["an answer that is cut off", { kind: "cut-off", taken: false }],
  ])("%s", async (_name, trouble) => {
    // More often than gates and configs are asked: retryAttempts is not of events.
    const { api, client, strike, calls } = await opened({ eventBatchSize: 10, retryAttempts: 1 });
    strike((_call, { length }) => (length <= 4 ? trouble : undefined));
    await client.logEvents(events(25));
    await client.flush();
    expect(logged(api.stats)).toEqual(names(25, "event"));
    expect(calls).toHaveLength(3 + 4);
    expect(client.stats().events).toMatchObject({ committed: 25, retries: 4, unknown: 0 });
  });

  it("a call that hangs, after timeoutMs", async () => {
    const clock = manualClock();
    const { api, client, strike, came, next, signals } = await opened({ clock, timeoutMs: 500 });
    strike((_call, { length }) => (length === 1 ? { kind: "hang" } : undefined));
    await client.logEvents(events(3));
    const [flushed, retried] = [client.flush(), next("retried")];
    await came(1);
    await clock.advance(500);
    await retried;
    await clock.advance(1);
    await flushed;
    expect(logged(api.stats)).toEqual(names(3, "event"));
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  });

  it("nobody who listens, until somebody does: logEvent waits for room then", async () => {
    const { client, strike, calls } = await opened({ maxBufferedEvents: 20, eventBatchSize: 10 });
    strike((_call, { length }) => (length <= 6 ? { kind: "error", status: 503 } : undefined));
    const all = events(60).map((event) => client.logEvent(event));
    const gone = new AbortController();
    const given = client.logEvent({ eventName: "gone", user: USER }, { signal: gone.signal });
    const several = client.logEvents(events(2), { signal: gone.signal });
    gone.abort();
    await expect(given).rejects.toBe(gone.signal.reason);
    expect(await failure(several)).toMatchObject({ code: "SLUICE_ERR_ADD_INCOMPLETE" });
    await Promise.all(all);
    await client.flush();
    expect(calls.slice(6).flatMap((call) => call.names)).toEqual(names(60, "event"));
    expect(client.stats().events).toMatchObject({ accepted: 60, committed: 60 });
  });
});

describe("an event that the API refuses", () => {
  const others = names(16, "event").filter((name) => name !== "event_5");

  it("is dead-lettered alone, and the others land", async () => {
    const { api, client, strike, events: seen } = await opened();
    strike(refuseNames("event_5"));
    await client.logEvents(events(16));
    expect(await failure(client.flush())).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { committed: 15, deadLettered: 1, unknown: 0 },
    });
    expect(logged(api.stats)).toEqual(others);
    expect(ofType("dead-lettered", seen)).toMatchObject([
      { outcome: "rejected", entry: { eventName: "event_5", user: USER }, error: { status: 400 } },
    ]);
  });

  it("is so too after a call whose answer was lost, which may count twice", async () => {
    for (const taken of [false, true]) {
      const { api, client, strike } = await opened();
      const refuse = refuseNames("event_5");
      strike((call, { length }) =>
        length === 1 ? { kind: "error", status: 500, taken } : refuse(call),
      );
      await client.logEvents(events(16));
      expect(await failure(client.flush())).toMatchObject({
        report: { committed: 15, deadLettered: 1, unknown: 0 },
      });
      expect(logged(api.stats)).toEqual([...(taken ? names(16, "event") : []), ...others]);
    }
  });

  it("because of the API key is dead-lettered with all others, at once", async () => {
    for (const status of [401, 403]) {
      const { client, strike, calls, events: seen } = await opened();
      strike({ kind: "error", status });
      await client.logEvents(events(16));
      expect(await failure(client.flush())).toMatchObject({ report: { deadLettered: 16 } });
      expect(calls).toHaveLength(1);
      expect(ofType("dead-lettered", seen)).toHaveLength(16);
      strike();
      await client.logEvent({ eventName: "next", user: USER });
      await client.flush();
    }
  });
});

describe("a success in words that make no sense may be one: it is told, and not sent again:", () => {
  it.each<[string, Trouble]>([
    ["a web page", { kind: "html" }],
    ["invalid JSON", { kind: "invalid-json" }],
    ["a huge answer", { kind: "huge", megabytes: 11 }],
  ])("%s", async (_name, trouble) => {
    const { client, strike, calls, events: seen } = await opened();
    strike(trouble);
    await client.logEvents(events(4));
    expect(await failure(client.flush())).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { committed: 0, unknown: 4 },
    });
    expect(calls).toHaveLength(1);
    expect(ofType("unknown", seen)).toMatchObject([{ items: 4 }]);
  });

  it("what is JSON is a success, whatever it says", async () => {
    const { client, strike } = await opened();
    for (const text of ["null", "[]", "{}", ""]) {
      strike({ kind: "text", text, status: 202 });
      await client.logEvents(events(2));
      await client.flush();
    }
    expect(client.stats().events).toMatchObject({ committed: 8, unknown: 0 });
  });
});

describe("flush and close", () => {
  it("wait for gates and events both, also where events fail", async () => {
    const { client, strike, came, next } = await opened();
    const { hold, release } = holder();
    strike(
      ({ endpoint }) => (endpoint === "log_event" ? { kind: "error", status: 401 } : undefined),
      {
        hold: ({ endpoint }) => (endpoint === "check_gate" ? hold() : undefined),
      },
    );
    const order: string[] = [];
    const check = client.checkGate("flag", USER).then(() => order.push("check"));
    await client.logEvent({ eventName: "lost", user: USER });
    const lost = next("dead-lettered");
    const flushed = failure(client.flush()).finally(() => order.push("flush"));
    const closed = failure(client[Symbol.asyncDispose]()).finally(() => order.push("close"));
    await came(2);
    await lost;
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    release();
    await Promise.all([flushed, closed, check]);
    expect(order[0]).toBe("check");
  });

  it("hand back what did not land, and `await using` rejects for it", async () => {
    const { api, client, strike, came } = await opened();
    strike({ kind: "hang" });
    await client.logEvents(events(3));
    const flushed = failure(client.flush());
    await came(1);
    const { events: report } = await client.close({ timeoutMs: 0 });
    expect(report).toMatchObject({ items: 3, committed: 0, unknown: 3 });
    expect(report.undelivered.flatMap(({ batch }) => batch)).toMatchObject(events(3));
    expect(await flushed).toMatchObject({ code: "SLUICE_ERR_FLUSH_INCOMPLETE" });

    const use = async (): Promise<void> => {
      await using other = createStatsigClient({
        apiKey: API_KEY,
        eventsBaseUrl: api.url,
        closeTimeoutMs: 0,
        observe: () => undefined,
      });
      await other.logEvents(events(3));
    };
    expect(await failure(use())).toMatchObject({ code: "SLUICE_ERR_CLOSE_INCOMPLETE" });
  });
});
