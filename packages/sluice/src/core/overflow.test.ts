import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import type { SluiceEvent } from "../events.ts";
import { list } from "../shapes/list.ts";
import { sums } from "../shapes/sums.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";
import type { Limits } from "./options.ts";

const FULL = expect.objectContaining({ code: "SLUICE_ERR_BATCHER_FULL", disposition: "overflow" });
const DROPPED = expect.objectContaining({ code: "SLUICE_ERR_DELIVERY_DROPPED" });

/** A batcher of texts before a store that answers when the test says so. */
function dammed(limits: Limits & { lanes?: number } = {}) {
  const clock = manualClock();
  const events: SluiceEvent[] = [];
  const landed: string[] = [];
  const answers: (() => void)[] = [];
  const batcher = createBatcher({
    shape: list<string>(),
    sink: async (batch) => {
      await new Promise<void>((resolve) => answers.push(resolve));
      landed.push(...batch);
    },
    clock,
    observe: (event) => events.push(event),
    maxDelayMs: 1_000_000_000,
    ...limits,
  });
  /** Lets the store answer everything from here on. */
  const open = async (): Promise<void> => {
    for (let answer = answers.shift(); answer !== undefined; answer = answers.shift()) {
      answer();
      await clock.settle();
    }
  };
  return { batcher, clock, events, landed, answers, open };
}

const FOUR = { maxEntries: 2, maxBufferedEntries: 4 };

/** Two entries in flight and two gathered: full. */
async function filled(limits: Limits = {}) {
  const dam = dammed({ ...FOUR, ...limits });
  for (const text of "abcd") expect(dam.batcher.tryAdd(text)).toBe(true);
  await dam.clock.settle();
  expect(dam.batcher.stats()).toMatchObject({ held: 4, heldEntries: 4 });
  return dam;
}

describe('overflow "wait"', () => {
  it("is the default: tryAdd says no, add and deliver wait, and all is accounted for", async () => {
    const { batcher, clock, landed, open, events } = await filled();
    expect(batcher.tryAdd("x")).toBe(false);
    const added = follow(batcher.add("e"));
    const delivered = follow(batcher.deliver("f"));
    await clock.settle();
    expect([added.settled, delivered.settled]).toEqual(["pending", "pending"]);
    expect(batcher.stats()).toMatchObject({ accepted: 4, refused: 1, waiting: 2 });
    expect(events.filter(({ type }) => type === "blocked")).toHaveLength(2);
    expect(events).toContainEqual({ name: "list", type: "refused", items: 1 });
    await open();
    expect([added.settled, delivered.settled]).toEqual(["resolved", "resolved"]);
    expect(landed.join("")).toBe("abcdef");
    expect(batcher.stats()).toMatchObject({ accepted: 6, committed: 6, held: 0, waiting: 0 });
  });

  it("lets waiters in first come, first served, and nobody passes them", async () => {
    const { batcher, clock, landed, answers, open } = await filled();
    const order: string[] = [];
    for (const text of "efgh") void batcher.add(text).then(() => order.push(text));
    await clock.settle();
    answers.shift()?.();
    await clock.settle();
    expect(order).toEqual(["e", "f"]);
    expect(batcher.tryAdd("x")).toBe(false);
    await open();
    expect(order).toEqual(["e", "f", "g", "h"]);
    expect(landed.join("")).toBe("abcdefgh");
  });

  it("lets a small one wait behind a large one", async () => {
    const { batcher, clock, answers, open, landed } = dammed({ maxBytes: 4, maxBufferedBytes: 8 });
    for (const text of ["aaaa", "bb"]) batcher.tryAdd(text);
    await clock.settle();
    const large = follow(batcher.add("llllllll"));
    const small = follow(batcher.add("s"));
    await clock.settle();
    expect([large.settled, small.settled]).toEqual(["pending", "pending"]);
    answers.shift()?.();
    await clock.settle();
    expect([large.settled, small.settled]).toEqual(["pending", "pending"]);
    await open();
    expect([large.settled, small.settled]).toEqual(["resolved", "resolved"]);
    expect(landed).toEqual(["aaaa", "bb", "llllllll"]);
  });

  it("lets the next in line in when the one before gives up", async () => {
    const { batcher, clock, open } = dammed({ maxBytes: 4, maxBufferedBytes: 8 });
    for (const text of ["aaaa", "bb"]) batcher.tryAdd(text);
    await clock.settle();
    const controller = new AbortController();
    const large = follow(batcher.add("lllll", { signal: controller.signal }));
    const small = follow(batcher.add("s"));
    controller.abort();
    await clock.settle();
    expect([large.settled, small.settled]).toEqual(["rejected", "resolved"]);
    expect(batcher.stats()).toMatchObject({ waiting: 0, heldBytes: 7 });
    await open();
  });

  it("a blocked producer forces a flush, however long maxDelayMs", async () => {
    const { batcher, clock, landed, open, events } = dammed({ lanes: 4, ...FOUR, maxEntries: 4 });
    for (const text of "abcd") batcher.tryAdd(text);
    await clock.settle();
    expect(events.filter(({ type }) => type === "sealed")).toHaveLength(0);
    const added = follow(batcher.add("e"));
    await clock.settle();
    await open();
    expect(added.settled).toBe("resolved");
    expect(landed.join("")).toBe("abcd");
    expect(clock.now()).toBe(0);
  });

  it("a full buffer is sent although nobody waits: tryAdd is not refused until maxDelayMs", async () => {
    for (const overflow of ["wait", "reject", "drop-newest", "drop-oldest"] as const) {
      const { batcher, clock, open } = dammed({ maxBytes: 8, maxBufferedBytes: 8, overflow });
      batcher.tryAdd("12345");
      batcher.tryAdd("6789");
      await clock.settle();
      await open();
      expect(batcher.tryAdd("6789"), overflow).toBe(true);
      expect(clock.now()).toBe(0);
    }
  });

  it("counts what is in flight: room comes when a batch has landed, not when it is sent", async () => {
    const { batcher, clock, answers } = await filled();
    const added = follow(batcher.add("e"));
    await clock.advance(10_000);
    expect(added.settled).toBe("pending");
    answers.shift()?.();
    await clock.settle();
    expect(added.settled).toBe("resolved");
    expect(batcher.stats()).toMatchObject({ heldEntries: 3, heldBytes: 3 });
  });

  it("bounds bytes as well as entries", async () => {
    const { batcher } = dammed({ maxBytes: 10, maxBufferedBytes: 10 });
    expect(batcher.tryAdd("123456")).toBe(true);
    expect(batcher.tryAdd("12345")).toBe(false);
    expect(batcher.stats().heldBytes).toBe(6);
  });
});

describe('overflow "reject"', () => {
  it("refuses with the figures, counts each refusal, accepts nothing", async () => {
    const { batcher, open, landed } = await filled({ overflow: "reject" });
    expect(batcher.tryAdd("x")).toBe(false);
    await expect(batcher.add("x")).rejects.toEqual(FULL);
    await expect(batcher.deliver("x")).rejects.toThrow(/holds 4 entries and 4 bytes/);
    expect(batcher.stats()).toMatchObject({ accepted: 4, refused: 3, dropped: 0 });
    await open();
    expect(landed.join("")).toBe("abcd");
  });
});

describe('overflow "drop-newest"', () => {
  it("takes responsibility for the new item and drops it", async () => {
    const { batcher, open, landed, events } = await filled({ overflow: "drop-newest" });
    expect(batcher.tryAdd("x")).toBe(false);
    await expect(batcher.add("x")).resolves.toBeUndefined();
    await expect(batcher.deliver("x")).rejects.toEqual(DROPPED);
    expect(batcher.stats()).toMatchObject({ accepted: 7, refused: 0, dropped: 3, held: 4 });
    expect(batcher.stats().droppedByReason).toEqual({
      "drop-newest": 3,
      "drop-oldest": 0,
      close: 0,
      withdrawn: 0,
    });
    const dropped = { type: "dropped", reason: "drop-newest", items: 1, entries: 1, bytes: 1 };
    expect(events.filter(({ type }) => type === "dropped")).toEqual(
      [1, 2, 3].map(() => ({ name: "list", ...dropped })),
    );
    await open();
    expect(landed.join("")).toBe("abcd");
  });
});

describe('overflow "drop-oldest"', () => {
  it("makes room by what is gathered longest, never by what is in flight", async () => {
    const { batcher, open, landed } = await filled({ overflow: "drop-oldest" });
    expect(batcher.tryAdd("e")).toBe(true);
    await batcher.add("f");
    const delivered = batcher.deliver("g");
    expect(batcher.stats()).toMatchObject({ accepted: 7, dropped: 3, held: 4 });
    expect(batcher.stats().droppedByReason["drop-oldest"]).toBe(3);
    const flushed = follow(batcher.flush());
    await open();
    await expect(delivered).resolves.toMatchObject({ attempts: 1 });
    expect(flushed.settled).toBe("resolved");
    expect(landed.join("")).toBe("abfg");
    expect(batcher.stats()).toMatchObject({ committed: 4, dropped: 3, held: 0 });
  });

  it("tells the caller who waits for the dropped item at once, and flush counts it", async () => {
    const { batcher, clock, open } = dammed({ ...FOUR, overflow: "drop-oldest" });
    for (const text of "ab") batcher.tryAdd(text);
    const c = follow(batcher.deliver("c"));
    const d = follow(batcher.deliver("d"));
    await clock.settle();
    const flushed = follow(batcher.flush());
    batcher.tryAdd("e");
    await clock.settle();
    expect([c.settled, d.settled, flushed.settled]).toEqual(["rejected", "pending", "pending"]);
    await open();
    expect([c.settled, d.settled, flushed.settled]).toEqual(["rejected", "resolved", "rejected"]);
    expect(c.error).toEqual(DROPPED);
    expect(flushed.error).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { items: 4, committed: 3, dropped: 1 },
    });
  });

  it("tells everybody when a whole batch was dropped before it left", async () => {
    const { batcher, open } = await filled({ overflow: "drop-oldest" });
    const flushed = follow(batcher.flush());
    for (const text of "efgh") batcher.tryAdd(text);
    await open();
    expect(flushed.error).toMatchObject({ report: { items: 4, committed: 2, dropped: 2 } });
    expect(batcher.stats()).toMatchObject({ committed: 4, dropped: 4, held: 0 });
  });

  it("spares what is older when dropping all of it would not make room", async () => {
    const { batcher, clock, open, landed } = dammed({
      maxBytes: 6,
      maxBufferedBytes: 10,
      overflow: "drop-oldest",
    });
    batcher.tryAdd("flight");
    await clock.settle();
    for (const text of ["1", "2"]) batcher.tryAdd(text);
    expect(batcher.tryAdd("large")).toBe(false);
    expect(batcher.stats().droppedByReason).toMatchObject({ "drop-newest": 1, "drop-oldest": 0 });
    const flushed = batcher.flush();
    await open();
    await flushed;
    expect(landed).toEqual(["flight", "1", "2"]);
  });

  it("does not break a full buffer into small batches while the store is away", async () => {
    const { batcher, events, open } = await filled({ overflow: "drop-oldest" });
    for (let add = 0; add < 100; add += 1) batcher.tryAdd("x");
    void batcher.flush();
    await open();
    const sealed = events.flatMap((event) => (event.type === "sealed" ? [event.entries] : []));
    expect(sealed.length).toBeLessThanOrEqual(3);
  });

  it("survives an observer that adds again while it is told of a drop", async () => {
    let again = 3;
    const clock = manualClock();
    const landed: string[] = [];
    const batcher = createBatcher({
      shape: list<string>(),
      sink: (batch) => void landed.push(...batch),
      clock,
      maxEntries: 1,
      maxBufferedEntries: 2,
      overflow: "drop-oldest",
      observe: ({ type }) => {
        if (type === "dropped" && again > 0) {
          again -= 1;
          batcher.tryAdd(`again ${again}`);
        }
        const { accepted, committed, deadLettered, dropped, unknown, held } = batcher.stats();
        expect(accepted).toBe(committed + deadLettered + dropped + unknown + held);
      },
    });
    for (const text of "abcdef") batcher.tryAdd(text);
    const report = await batcher.close();
    expect(report.stats).toMatchObject({ accepted: 9, held: 0, heldEntries: 0, heldBytes: 0 });
    expect(report.stats.committed).toBe(landed.length);
  });

  it("counts every item of a dropped key", async () => {
    const clock = manualClock();
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: () => new Promise(() => undefined),
      clock,
      maxEntries: 1,
      maxBufferedEntries: 2,
      overflow: "drop-oldest",
    });
    batcher.tryAdd({ k: "in flight", n: 1 });
    await clock.settle();
    for (let add = 0; add < 5; add += 1) batcher.tryAdd({ k: "old", n: 1 });
    batcher.tryAdd({ k: "new", n: 1 });
    expect(batcher.stats()).toMatchObject({ accepted: 7, dropped: 5, held: 2 });
    batcher.tryAdd({ k: "old", n: 1 });
    expect(batcher.stats()).toMatchObject({ accepted: 8, dropped: 6, held: 2, heldEntries: 2 });
    await Promise.all([batcher.close({ timeoutMs: 0 }), clock.advance(0)]);
  });
});

describe("a held key", () => {
  it("is absorbed at no cost when the buffer is full, with any policy, past all who wait", async () => {
    for (const overflow of ["wait", "reject", "drop-newest", "drop-oldest"] as const) {
      const clock = manualClock();
      const answers: (() => void)[] = [];
      const batcher = createBatcher({
        shape: sums({ key: ["k"], sum: ["n"] }),
        sink: () => new Promise<void>((resolve) => answers.push(resolve)),
        clock,
        maxEntries: 2,
        maxBufferedEntries: 4,
        overflow,
      });
      for (const k of "abcd") batcher.tryAdd({ k, n: 1 });
      await clock.settle();
      const waiting = overflow === "wait" ? batcher.add({ k: "e", n: 1 }) : undefined;
      const full = batcher.stats();
      for (let add = 0; add < 100; add += 1) expect(batcher.tryAdd({ k: "d", n: 1 })).toBe(true);
      await batcher.add({ k: "c", n: 1 });
      const after = batcher.stats();
      expect(after.accepted).toBe(full.accepted + 101);
      expect([after.heldEntries, after.heldBytes]).toEqual([full.heldEntries, full.heldBytes]);
      const closed = batcher.close();
      waiting?.catch(() => undefined);
      for (const _ of [1, 2]) {
        await clock.settle();
        answers.shift()?.();
      }
      expect((await closed).stats.committed).toBe(105);
    }
  });
});

describe("an AbortSignal", () => {
  it("ends the wait of its own caller and of nobody else", async () => {
    const { batcher, clock, landed, open } = await filled();
    const controllers = [new AbortController(), new AbortController()];
    const [e, f, g] = [
      follow(batcher.add("e", { signal: controllers[0]?.signal })),
      follow(batcher.deliver("f", { signal: controllers[1]?.signal })),
      follow(batcher.add("g")),
    ];
    const reason = new Error("enough");
    controllers[0]?.abort(reason);
    await clock.settle();
    expect([e.settled, f.settled, g.settled]).toEqual(["rejected", "pending", "pending"]);
    expect(e.error).toBe(reason);
    controllers[1]?.abort(reason);
    await open();
    const flushed = batcher.flush();
    await clock.settle();
    await open();
    await flushed;
    expect([f.settled, g.settled]).toEqual(["rejected", "resolved"]);
    expect(landed.join("")).toBe("abcdg");
    expect(batcher.stats()).toMatchObject({ accepted: 5, committed: 5, waiting: 0 });
  });

  it("of two who wait lets in neither of them, though the second would have room", async () => {
    const { batcher, clock, open } = dammed({ maxBytes: 4, maxBufferedBytes: 8 });
    for (const text of ["aaaa", "bb"]) batcher.tryAdd(text);
    await clock.settle();
    const controller = new AbortController();
    const { signal } = controller;
    const large = follow(batcher.add("lllll", { signal }));
    const small = follow(batcher.deliver("s", { signal }));
    const reason = new Error("enough");
    controller.abort(reason);
    await clock.settle();
    expect([large.error, small.error]).toEqual([reason, reason]);
    expect(batcher.stats()).toMatchObject({ accepted: 2, waiting: 0 });
    await open();
  });

  it("that is aborted already stops add, deliver and flush before they begin", async () => {
    const { batcher } = dammed();
    const signal = AbortSignal.abort(new Error("before"));
    for (const call of [
      batcher.add("a", { signal }),
      batcher.deliver("a", { signal }),
      batcher.flush({ signal }),
    ]) {
      await expect(call).rejects.toThrow("before");
    }
    expect(batcher.stats()).toMatchObject({ accepted: 0, refused: 0 });
  });

  it("ends the wait for delivery; the item lands all the same", async () => {
    const { batcher, clock, landed, open } = dammed({ maxEntries: 2 });
    const controller = new AbortController();
    const a = follow(batcher.deliver("a", { signal: controller.signal }));
    const b = follow(batcher.deliver("b"));
    await clock.settle();
    controller.abort(new Error("enough"));
    await clock.settle();
    expect([a.settled, b.settled]).toEqual(["rejected", "pending"]);
    await open();
    expect(b.settled).toBe("resolved");
    expect(landed.join("")).toBe("ab");
  });

  it("ends the wait of a flush; delivery goes on", async () => {
    const { batcher, clock, landed, open } = dammed();
    batcher.tryAdd("a");
    const controller = new AbortController();
    const flushes = [batcher.flush({ signal: controller.signal }), batcher.flush()].map((call) =>
      follow<unknown>(call),
    );
    await clock.settle();
    controller.abort(new Error("enough"));
    await clock.settle();
    expect(flushes.map(({ settled }) => settled)).toEqual(["rejected", "pending"]);
    await open();
    expect(flushes.map(({ settled }) => settled)).toEqual(["rejected", "resolved"]);
    expect(landed.join("")).toBe("a");
  });

  it("is left without listeners when the wait is over, however it ended", async () => {
    const { batcher, clock, open } = await filled();
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      batcher.add("e", { signal }),
      batcher.deliver("f", { signal }),
      batcher.flush({ signal }),
    ].map((call) => follow<unknown>(call));
    await clock.settle();
    expect(getEventListeners(signal, "abort")).toHaveLength(1); // of all three
    await open();
    await batcher.flush();
    expect(calls.map(({ settled }) => settled)).toEqual(["resolved", "resolved", "resolved"]);
    expect(getEventListeners(signal, "abort")).toHaveLength(0);

    for (const text of "abcd") batcher.tryAdd(text);
    await clock.settle();
    const late = [
      batcher.add("e", { signal }),
      batcher.deliver("f", { signal }),
      batcher.flush({ signal }),
      batcher.flush({ signal, timeoutMs: 5 }),
    ].map((call) => follow<unknown>(call));
    await clock.advance(5);
    expect(late[3]?.settled).toBe("rejected");
    controller.abort();
    await clock.settle();
    expect(late.map(({ settled }) => settled)).toEqual(late.map(() => "rejected"));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await open();
  });

  it("is left without listeners when close sends the waiter away", async () => {
    const { batcher, clock, open } = await filled();
    const { signal } = new AbortController();
    const waiting = batcher.add("e", { signal });
    const closed = batcher.close();
    await expect(waiting).rejects.toMatchObject({ code: "SLUICE_ERR_BATCHER_CLOSED" });
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await clock.settle();
    await open();
    expect(await closed).toMatchObject({ items: 4, committed: 4 });
  });
});

describe("addMany", () => {
  it("accepts in order and waits for room", async () => {
    const { batcher, landed, open, clock } = dammed(FOUR);
    const added = follow(batcher.addMany("abcdefghij"));
    await clock.settle();
    expect(added.settled).toBe("pending");
    expect(batcher.stats()).toMatchObject({ accepted: 4, waiting: 1 });
    await open();
    expect(added.settled).toBe("resolved");
    void batcher.flush();
    await clock.settle();
    await open();
    expect(landed).toEqual([..."abcdefghij"]);
  });

  it("takes an iterable as far as it goes: an item that is refused ends it, with the count", async () => {
    const { batcher } = dammed({ ...FOUR, overflow: "reject" });
    await expect(batcher.addMany("abcdef")).rejects.toMatchObject({
      code: "SLUICE_ERR_ADD_INCOMPLETE",
      disposition: "incomplete",
      message: expect.stringContaining(
        "list: 4 items were accepted, and not the next: list is full",
      ),
      report: { accepted: 4 },
      cause: FULL,
    });
    expect(batcher.stats()).toMatchObject({ accepted: 4, held: 4, refused: 1 });
  });

  it("takes an async iterable, and says what else it wants", async () => {
    const { batcher, clock, landed, open } = dammed(FOUR);
    async function* stream(): AsyncGenerator<string> {
      yield* "abcdef";
    }
    const added = follow(batcher.addMany(stream()));
    await clock.settle();
    expect(batcher.stats()).toMatchObject({ accepted: 4, waiting: 1 });
    await open();
    expect(added.settled).toBe("resolved");
    expect(landed).toEqual([..."abcdef"]);
    const wrong: readonly (readonly [unknown, string])[] = [
      [7, "7"],
      [{ id: 1 }, '{"id":1}'],
      [undefined, "undefined"],
    ];
    for (const [items, quoted] of wrong) {
      await expect(batcher.addMany(items as Iterable<string>)).rejects.toMatchObject({
        code: "SLUICE_ERR_OPTION_INVALID",
        message: `addMany: items must be an iterable of items; received ${quoted}`,
      });
    }
  });

  it("passes on what the iterable throws", async () => {
    const { batcher } = dammed();
    function* torn(): Generator<string> {
      yield "a";
      throw new Error("the source is torn");
    }
    const report = { accepted: 1 };
    const error = {
      report,
      message: "list: 1 items were accepted, and not the next: the source is torn",
    };
    await expect(batcher.addMany(torn())).rejects.toMatchObject(error);
  });

  it.each([
    ["close", "SLUICE_ERR_BATCHER_CLOSED"],
    ["abort", undefined],
  ])("ends at %s while it waits, and says how many were accepted", async (how, code) => {
    const { batcher, clock, open } = dammed(FOUR);
    const controller = new AbortController();
    const added = follow(batcher.addMany("abcdefgh", { signal: controller.signal }));
    await clock.settle();
    if (how === "close") void batcher.close();
    else controller.abort(new Error("enough"));
    await clock.settle();
    expect(added.error).toMatchObject({
      code: "SLUICE_ERR_ADD_INCOMPLETE",
      report: { accepted: 4 },
      cause: code === undefined ? { message: "enough" } : { code },
    });
    await open();
    expect(batcher.stats().accepted).toBe(4);
  });

  it("counts what its overflow policy drops as accepted", async () => {
    const { batcher } = dammed({ ...FOUR, overflow: "drop-newest" });
    await batcher.addMany("abcdef");
    expect(batcher.stats()).toMatchObject({ accepted: 6, dropped: 2, held: 4 });
  });
});
