import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { manualClock } from "../testing/index.ts";
import { packUuids } from "./payloads.ts";
import { createPublisher, type PublisherOptions } from "./publisher.ts";
import type { Pubsub } from "./pubsub.ts";

/** A publisher, and a pubsub that fails as often as `failures` says. */
function setup(options: Partial<PublisherOptions> = {}) {
  const clock = manualClock();
  const published: { channel: string; payloads: readonly string[] }[] = [];
  const events: SluiceEvent[] = [];
  const faults = { failures: 0 };
  const pubsub: Pubsub = {
    publish: async (channel, payloads) => {
      if (faults.failures-- > 0) throw new Error("no connection");
      published.push({ channel, payloads });
    },
    subscribe: () => expect.fail("nobody reads"),
    close: async () => undefined,
  };
  const publisher = createPublisher(pubsub, {
    channel: "changes",
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    ...options,
  });
  return { clock, published, events, faults, publisher };
}

const uuid = (index: number): string =>
  `00000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;

describe("a publisher", () => {
  it("publishes what gathers for 200 ms, each key once, in one call", async () => {
    const { clock, published, publisher } = setup();
    publisher.publish(["b", "a"]);
    publisher.publish(new Set(["a", "c"]));
    await clock.advance(199);
    expect(published).toEqual([]);
    await clock.advance(1);
    expect(published).toEqual([{ channel: "changes", payloads: ['["a","b","c"]'] }]);
    expect(publisher.stats()).toMatchObject({ accepted: 4, committed: 4, entries: 3, payloads: 1 });
  });

  it("packs 600 UUIDs of one moment into two payloads, of 363 and 237", async () => {
    const { published, publisher } = setup({ pack: packUuids });
    publisher.publish(Array.from({ length: 600 }, (_, index) => uuid(index)));
    await publisher.flush();
    expect(published.map(({ payloads }) => payloads.map(({ length }) => length / 22))).toEqual([
      [363, 237],
    ]);
    expect(publisher.stats().payloads).toBe(2);
  });

  it("tries again what fails, and gathers meanwhile", async () => {
    const { clock, published, events, faults, publisher } = setup();
    faults.failures = 2;
    publisher.publish(["a"]);
    await clock.advance(200);
    publisher.publish(["b", "b"]);
    await clock.advance(5_000);
    expect(published.map(({ payloads }) => payloads)).toEqual([['["a"]'], ['["b"]']]);
    expect(publisher.stats()).toMatchObject({ retries: 2, committed: 3, held: 0, payloads: 2 });
    expect(events.filter(({ type }) => type === "retried")).toHaveLength(2);
  });

  it("never throws: a key that is refused is a warning, and the others are published", async () => {
    const { published, events, publisher } = setup();
    publisher.publish(["a", "b\0", 5 as never, "c"]);
    publisher.publish(undefined as never);
    await publisher.flush();
    expect(published.map(({ payloads }) => payloads)).toEqual([['["a","c"]']]);
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(2); // one per call
    await publisher.close();
    publisher.publish(["late"]);
    expect(events.at(-1)).toMatchObject({
      type: "warning",
      error: { code: "SLUICE_ERR_BATCHER_CLOSED" },
    });
  });

  it("buries a key that makes no payload, and no other with it", async () => {
    const { published, events, publisher } = setup({ pack: packUuids });
    publisher.publish([uuid(1), "no uuid", uuid(2)]);
    await expect(publisher.flush()).rejects.toMatchObject({ code: "SLUICE_ERR_FLUSH_INCOMPLETE" });
    expect(published.flatMap(({ payloads }) => payloads).join("")).toHaveLength(2 * 22);
    expect(events).toContainEqual(
      expect.objectContaining({ type: "dead-lettered", entry: { key: "no uuid" } }),
    );
  });

  it.each([
    ["throws", () => JSON.parse("") as never],
    ["gives no list", () => undefined as never],
    ["gives a payload of 8,000 bytes", () => ["x".repeat(8_000)]],
  ])("buries keys whose pack %s: they would be tried for ever", async (_, fail) => {
    const pack: PublisherOptions["pack"] = (keys) => (keys.includes("bad") ? fail() : keys);
    const { published, publisher } = setup({ pack });
    publisher.publish(["a", "bad", "c"]);
    await publisher.close();
    expect(published.flatMap(({ payloads }) => payloads)).toEqual(["a", "c"]);
    expect(publisher.stats()).toMatchObject({ committed: 2, deadLettered: 1, held: 0 });
  });

  it("drops the oldest where there are too many, and counts them", () => {
    const { publisher } = setup({ maxBufferedEntries: 3, maxDelayMs: 60_000 });
    publisher.publish(["a", "b"]);
    publisher.publish(["c", "d"]);
    expect(publisher.stats()).toMatchObject({ accepted: 4, held: 3, dropped: 1 });
    expect(() => setup({ maxEntries: 200_000 })).not.toThrow();
  });

  it("ends in time although publishing fails, and says what was not published", async () => {
    const { clock, faults, publisher } = setup();
    faults.failures = Infinity;
    publisher.publish(["a"]);
    const closing = publisher.close({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    const { items, committed } = await closing;
    expect([items, committed]).toEqual([1, 0]);
    expect(clock.timers).toBe(0);
  });

  it.each([
    ["no pubsub", () => createPublisher({} as Pubsub, { channel: "a" }), /pubsub must be a pubsub/],
    [
      "a pack that is no function",
      () => setup({ pack: 5 as never }),
      /pack must be a function; .* 5/,
    ],
    ["an option that does not exist", () => setup({ packs: 5 } as never), /no option "packs"/],
    ["no channel", () => setup({ channel: undefined as never }), /channel must be .* undefined/],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
