import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import { manualClock } from "../testing/index.ts";
import { localPubsub } from "./local-pubsub.ts";
import { packTexts, unpackTexts } from "./payloads.ts";
import type { Pubsub, Subscriber } from "./pubsub.ts";
import { Watchers } from "./watchers.ts";

/** Watchers of a store that a test fills, and what they do to it. */
function setup(pubsub: Pubsub = localPubsub(), intervals: { readIntervalMs?: number } = {}) {
  const clock = manualClock();
  const values = new Map<string, string>();
  const log: string[] = [];
  const warnings: unknown[] = [];
  const store = { read: async (key: string) => values.get(key) ?? "" };
  const watchers = new Watchers<string>({
    pubsub,
    channel: "changes",
    unpack: unpackTexts,
    read: async (key) => {
      log.push(`read ${key} at ${clock.now()}`);
      const view = await store.read(key);
      return { view, state: view };
    },
    clock,
    random: () => 0,
    pollIntervalMs: 5_000,
    readIntervalMs: 1_000,
    ...intervals,
    warn: (error) => warnings.push(error),
  });
  /** Follows a key, and keeps what it sees. */
  const follow = (key: string) => {
    const stop = new AbortController();
    const views: string[] = [];
    const done = (async () => {
      for await (const view of watchers.watch(key, stop.signal)) views.push(view);
    })();
    return { views, stop: () => stop.abort(), done };
  };
  const change = async (key: string, value: string): Promise<void> => {
    values.set(key, value);
    await pubsub.publish("changes", packTexts([key]));
  };
  return { clock, values, log, warnings, store, watchers, follow, change };
}

/** A pubsub whose subscription a test controls. */
function manualPubsub() {
  const subscribers: Subscriber[] = [];
  let ready: () => void = () => undefined;
  const closed = { count: 0 };
  const pubsub: Pubsub = {
    publish: async () => undefined,
    subscribe: (_, subscriber) => {
      subscribers.push(subscriber);
      return {
        ready: new Promise((resolve) => {
          ready = resolve;
        }),
        close: () => {
          closed.count += 1;
        },
      };
    },
    close: async () => undefined,
  };
  return { pubsub, subscribers, ready: () => ready(), closed };
}

describe("a watcher", () => {
  it("sees what is there at once, and then what changes", async () => {
    const { clock, values, follow, change } = setup();
    values.set("a", "1");
    const { views, stop, done } = follow("a");
    await clock.settle();
    expect(views).toEqual(["1"]);
    await change("a", "2");
    await clock.advance(1_000);
    expect(views).toEqual(["1", "2"]);
    stop();
    await done;
    expect(clock.timers).toBe(0);
  });

  it("reads at most once a second, however often it is told, and misses nothing", async () => {
    const { clock, log, follow, change } = setup();
    const { views, stop, done } = follow("a");
    await clock.settle();
    for (let value = 1; value <= 30; value += 1) {
      await change("a", String(value));
      await clock.advance(100);
    }
    await clock.advance(1_000);
    expect(views.at(-1)).toBe("30");
    expect(log).toEqual([0, 1_000, 2_000, 3_000].map((at) => `read a at ${at}`));
    stop();
    await done;
  });

  it("reads every five seconds at least, and shows only what differs", async () => {
    const { clock, values, log, follow } = setup();
    values.set("a", "1");
    const { views, stop, done } = follow("a");
    await clock.advance(14_999);
    expect(log).toEqual(["read a at 0", "read a at 5000", "read a at 10000"]);
    expect(views).toEqual(["1"]);
    values.set("a", "2"); // nobody tells
    await clock.advance(1);
    expect(views).toEqual(["1", "2"]);
    stop();
    await done;
  });

  it("reads nothing for changes of other keys", async () => {
    const { clock, log, follow, change } = setup();
    const { stop, done } = follow("a");
    await clock.settle();
    await change("b", "1");
    await clock.advance(4_000);
    expect(log).toEqual(["read a at 0"]);
    stop();
    await done;
  });

  it("subscribes before it reads, and waits two seconds for it and no longer", async () => {
    const { pubsub, ready } = manualPubsub();
    const { clock, log, follow } = setup(pubsub);
    const { stop, done } = follow("a");
    await clock.advance(1_999);
    expect(log).toEqual([]);
    await clock.advance(1);
    expect(log).toEqual(["read a at 2000"]);
    ready(); // something may have been missed in between
    await clock.advance(1_000);
    expect(log).toEqual(["read a at 2000", "read a at 3000"]);
    stop();
    await done;
  });

  it("reads again after a gap", async () => {
    const { pubsub, subscribers, ready } = manualPubsub();
    const { clock, log, follow } = setup(pubsub);
    const { stop, done } = follow("a");
    await clock.settle();
    ready();
    await clock.advance(2_500);
    subscribers[0]?.onGap();
    await clock.settle();
    expect(log).toEqual(["read a at 0", "read a at 2500"]);
    stop();
    await done;
  });

  it("pauses after reads that fail, longer and longer up to its poll interval, and tells of each", async () => {
    const { clock, values, log, warnings, store, follow, change } = setup();
    values.set("a", "1");
    const { read } = store;
    store.read = () => Promise.reject(new Error("no connection"));
    const { views, stop, done } = follow("a");
    await clock.settle();
    await change("a", "2"); // does not hurry it
    await clock.advance(13_000);
    expect(log.map((line) => Number(line.split(" ").at(-1)))).toEqual([
      0, 1_000, 3_000, 7_000, 12_000,
    ]);
    expect(warnings).toHaveLength(5);
    store.read = read;
    await clock.advance(4_000);
    expect(views).toEqual(["2"]);
    stop();
    await done;
  });

  it("pauses for a second after a failure also where it may read as often as it likes", async () => {
    const { clock, log, store, follow } = setup(localPubsub(), { readIntervalMs: 0 });
    store.read = () => Promise.reject(new Error("no connection"));
    const { stop, done } = follow("a");
    await clock.advance(1_500);
    expect(log).toEqual(["read a at 0", "read a at 1000"]);
    stop();
    await done;
  });

  it("gives up a read after ten seconds, and tries again", async () => {
    const { clock, values, warnings, store, follow } = setup();
    values.set("a", "1");
    const { read } = store;
    store.read = () => new Promise(() => undefined);
    const { views, stop, done } = follow("a");
    await clock.advance(10_000);
    expect(String(warnings.at(-1))).toMatch(/reading "a" took longer than 10000 ms/);
    store.read = read;
    await clock.advance(1_000);
    expect(views).toEqual(["1"]);
    stop();
    await done;
  });

  it("ends at once although a read hangs", async () => {
    const { clock, store, warnings, follow } = setup();
    store.read = () => new Promise(() => undefined);
    const { stop, done } = follow("a");
    await clock.settle();
    stop();
    await done;
    expect(warnings).toEqual([]);
    expect(clock.timers).toBe(0);
  });

  it("is told of payloads that name nothing, and watches on", async () => {
    const { pubsub, subscribers } = manualPubsub();
    const { warnings, clock, follow } = setup(pubsub);
    const { stop, done } = follow("a");
    await clock.settle();
    subscribers[0]?.onPayload("no JSON");
    expect(warnings).toEqual([expect.objectContaining({ code: "SLUICE_ERR_PAYLOAD_INVALID" })]);
    stop();
    await done;
  });
});

describe("watchers", () => {
  it("share one subscription while there are any", async () => {
    const { pubsub, subscribers, closed } = manualPubsub();
    const { clock, follow } = setup(pubsub);
    const [one, two] = [follow("a"), follow("b")];
    await clock.settle();
    expect(subscribers).toHaveLength(1);
    one.stop();
    await one.done;
    expect(closed.count).toBe(0);
    two.stop();
    await two.done;
    expect(closed.count).toBe(1);
    const three = follow("a");
    await clock.settle();
    expect(subscribers).toHaveLength(2);
    three.stop();
    await three.done;
  });

  it("leave nothing behind when a loop is broken off", async () => {
    const { pubsub, closed, ready } = manualPubsub();
    const { clock, watchers } = setup(pubsub);
    const looping = (async () => {
      for await (const view of watchers.watch("a")) return view;
      return undefined;
    })();
    await clock.settle();
    ready();
    expect(await looping).toBe("");
    expect(closed.count).toBe(1);
    expect(clock.timers).toBe(0);
  });

  it("end at once when their reader leaves while they wait", async () => {
    const { pubsub, closed, ready } = manualPubsub();
    const { clock, watchers } = setup(pubsub);
    const views = watchers.watch("a");
    const first = views.next();
    await clock.settle();
    ready();
    expect(await first).toEqual({ done: false, value: "" });
    const second = views.next();
    expect(await views.return?.()).toEqual({ done: true, value: undefined });
    expect(await second).toEqual({ done: true, value: undefined });
    expect(closed.count).toBe(1);
    expect(clock.timers).toBe(0);
  });

  it("end by their signal also while nobody asks for the next view", async () => {
    const { pubsub, closed, ready } = manualPubsub();
    const { clock, watchers } = setup(pubsub);
    const stop = new AbortController();
    const views = watchers.watch("a", stop.signal);
    const first = views.next();
    await clock.settle();
    ready();
    await first; // it rests
    stop.abort();
    expect(closed.count).toBe(1);
    expect(await views.next()).toEqual({ done: true, value: undefined });
    expect(closed.count).toBe(1);
    expect(clock.timers).toBe(0);
  });

  it("end with the stream that is made of them", async () => {
    const { pubsub, closed, ready } = manualPubsub();
    const { clock, watchers } = setup(pubsub);
    const stream = Readable.from(watchers.watch("a"));
    stream.resume();
    await clock.settle();
    ready();
    await clock.settle();
    stream.destroy();
    await new Promise((resolve) => stream.once("close", resolve));
    expect(closed.count).toBe(1);
    expect(clock.timers).toBe(0);
  });

  it("end together, those that wait and those that are not asked, and none begins after that", async () => {
    const { pubsub, closed } = manualPubsub();
    const { clock, watchers, follow } = setup(pubsub);
    const waiting = follow("a");
    const idle = watchers.watch("b");
    const first = idle.next();
    await clock.advance(2_000);
    expect((await first).done).toBe(false);
    watchers.close();
    await waiting.done;
    expect(closed.count).toBe(1);
    expect(await idle.next()).toEqual({ done: true, value: undefined });
    expect(await watchers.watch("c").next()).toEqual({ done: true, value: undefined });
    expect(clock.timers).toBe(0);
  });

  it("do not begin for a signal that is aborted already", async () => {
    const { pubsub, subscribers } = manualPubsub();
    const { watchers } = setup(pubsub);
    expect(await watchers.watch("a", AbortSignal.abort()).next()).toMatchObject({ done: true });
    expect(subscribers).toEqual([]);
  });

  it("fail at once where nobody can subscribe", async () => {
    const { pubsub } = manualPubsub();
    const broken = { ...pubsub, subscribe: () => expect.fail("cannot listen") };
    const { watchers } = setup(broken);
    await expect(watchers.watch("a").next()).rejects.toThrow("cannot listen");
  });
});
