import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import { type Options, scriptedCoalescer } from "../../../../test/support/scripted-coalescer.ts";
import { retryable } from "../errors.ts";
import { manualClock } from "../testing/index.ts";

const CLOSED = { code: "SLUICE_ERR_BATCHER_CLOSED", disposition: "closed" };

/** A coalescer that is going to be closed. */
function scripted(options: Partial<Options> = {}) {
  const script = scriptedCoalescer(options);
  const { clock, calls, coalescer } = script;
  const load = (key: number, group = "g", signal?: AbortSignal) =>
    follow(coalescer.load({ group, key }, { signal }));
  /** Answers every call, those that come of it included. */
  const answerAll = async (): Promise<void> => {
    await clock.settle();
    for (let call = calls.shift(); call !== undefined; call = calls.shift()) {
      call.answer();
      await clock.settle();
    }
  };
  return { ...script, load, answerAll };
}

/** One caller of each kind: in flight, in a pause, waiting for a slot, gathering, waiting for room. */
async function everywhere(options: Partial<Options> = {}) {
  const setup = scripted({
    maxInFlight: 1,
    maxDelayMs: 1_000,
    maxBufferedEntries: 4,
    maxEntries: 2,
    ...options,
  });
  const { clock, calls, load } = setup;
  const asked = [load(1, "a"), load(2, "a")];
  await clock.settle();
  calls.shift()?.fail(retryable("busy", { retryAfterMs: 5_000 }));
  await clock.settle();
  asked.push(load(3, "b"));
  await clock.advance(1_000);
  expect(calls).toHaveLength(1);
  asked.push(load(4, "c"));
  asked.push(load(5, "d"), load(6, "d"), load(6, "d"));
  expect(setup.coalescer.stats()).toMatchObject({ held: 4, waiting: 2, pending: 7 });
  return { ...setup, asked };
}

describe("close that drains", () => {
  it("answers everybody who has asked, those who wait for room included, and waits for it", async () => {
    const { clock, coalescer, asked, answerAll } = await everywhere();
    const closing = follow(coalescer.close());
    for (let step = 0; step < 10; step += 1) {
      await answerAll();
      if (closing.settled === "pending") await clock.advance(500);
    }
    expect(asked.map(({ value }) => value)).toEqual([
      "a/1",
      "a/2",
      "b/3",
      "c/4",
      "d/5",
      "d/6",
      "d/6",
    ]);
    const { answered, failed, aborted, stats } = closing.value ?? expect.fail("still open");
    expect({ answered, failed, aborted }).toEqual({ answered: 7, failed: 0, aborted: 0 });
    expect(stats).toEqual(coalescer.stats());
    expect(stats).toMatchObject({ pending: 0, held: 0, waiting: 0 });
    expect(clock.timers).toBe(0);
  });

  it("does not wait for maxDelayMs", async () => {
    const { clock, coalescer, load, answerAll } = scripted({ maxDelayMs: 1_000 });
    const asked = load(1);
    const closing = coalescer.close();
    await answerAll();
    expect([asked.value, clock.now(), clock.timers]).toEqual(["g/1", 0, 0]);
    expect(await closing).toMatchObject({ answered: 1, durationMs: 0 });
  });

  it("counts who fails and who leaves meanwhile", async () => {
    const { clock, calls, coalescer, load } = scripted();
    const controller = new AbortController();
    const asked = [load(1, "a"), load(2, "b"), load(3, "c", controller.signal)];
    const closing = coalescer.close();
    await clock.settle();
    calls[0]?.answer();
    calls[1]?.fail(new Error("no"));
    controller.abort("gone");
    await clock.settle();
    expect(await closing).toMatchObject({ answered: 1, failed: 1, aborted: 1 });
    expect(asked.map(({ settled }) => settled)).toEqual(["resolved", "rejected", "rejected"]);
  });

  it("reaches its deadline: who is left has SLUICE_ERR_BATCHER_CLOSED then, wherever it waits", async () => {
    const { clock, calls, coalescer, asked } = await everywhere();
    const closing = follow(coalescer.close({ timeoutMs: 300 }));
    await clock.advance(299);
    expect([closing.settled, ...asked.map(({ settled }) => settled)]).not.toContain("rejected");
    expect(calls[0]?.signal.aborted).toBe(false);
    await clock.advance(1);
    for (const { error } of asked) expect(error).toMatchObject(CLOSED);
    expect(closing.value).toMatchObject({ answered: 0, failed: 7, durationMs: 300 });
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true]);
    expect([clock.timers, coalescer.stats().held]).toEqual([0, 0]);
  });

  it("has closeTimeoutMs for it, and 0 is at once", async () => {
    const patient = scripted({ closeTimeoutMs: 200 });
    const asked = patient.load(1);
    const closing = follow(patient.coalescer.close());
    await patient.clock.advance(199);
    expect([asked.settled, closing.settled]).toEqual(["pending", "pending"]);
    await patient.clock.advance(1);
    expect([asked.error, closing.value]).toMatchObject([CLOSED, { failed: 1, durationMs: 200 }]);
    const hasty = await everywhere();
    const closed = follow(hasty.coalescer.close({ timeoutMs: 0 }));
    await hasty.clock.advance(0);
    expect(closed.value).toMatchObject({ failed: 7, durationMs: 0 });
    expect(hasty.clock.timers).toBe(0);
  });

  it("shares its deadline between the wait for room and all that follows", async () => {
    const { clock, calls, coalescer, load } = scripted({ maxEntries: 1, maxBufferedEntries: 1 });
    const asked = [load(1, "a"), load(2, "b")];
    await clock.settle();
    const closing = follow(coalescer.close({ timeoutMs: 100 }));
    await clock.advance(60);
    calls[0]?.answer();
    await clock.advance(39);
    expect([calls.length, closing.settled]).toEqual([2, "pending"]);
    await clock.advance(1);
    expect(asked[1]?.error).toMatchObject(CLOSED);
    expect(closing.value).toMatchObject({ answered: 1, failed: 1, durationMs: 100 });
  });
});

describe("close that rejects", () => {
  it("fails everybody at once, and gives up what is in flight", async () => {
    const { clock, calls, coalescer, asked } = await everywhere();
    const closing = follow(coalescer.close({ pending: "reject" }));
    expect(coalescer.stats()).toMatchObject({ pending: 0, failed: 7 });
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true]);
    await clock.settle();
    for (const { error } of asked) expect(error).toMatchObject(CLOSED);
    expect(closing.value).toMatchObject({ answered: 0, failed: 7, durationMs: 0 });
    expect(coalescer.stats()).toMatchObject({ held: 0, waiting: 0 });
    expect([clock.timers, clock.now()]).toEqual([0, 1_000]);
    calls[0]?.answer();
    await clock.settle();
    expect(coalescer.stats()).toMatchObject({ answered: 0, failed: 7 });
  });

  it("of somebody who left before says nothing more", async () => {
    const { clock, coalescer, load } = scripted();
    const controller = new AbortController();
    const asked = [load(1, "a", controller.signal), load(1, "a")];
    controller.abort("gone");
    await coalescer.close({ pending: "reject" });
    await clock.settle();
    expect(asked.map(({ error }) => error)).toMatchObject(["gone", CLOSED]);
    expect(coalescer.stats()).toMatchObject({ aborted: 1, failed: 1, pending: 0 });
  });
});

describe("a closed coalescer", () => {
  it("turns loads away from the moment it closes, the cache and open questions notwithstanding", async () => {
    const { coalescer, load, answerAll } = scripted();
    const asked = load(1);
    const closing = coalescer.close();
    const [equal, other] = [load(1), load(2)];
    await answerAll();
    await closing;
    const late = load(3);
    await answerAll();
    for (const { error } of [equal, other, late]) expect(error).toMatchObject(CLOSED);
    expect(asked.value).toBe("g/1");
    expect(coalescer.stats()).toMatchObject({ loads: 1, refused: 3, answered: 1 });
  });

  it("closes once: every close has the same report, and flush has nothing to do", async () => {
    const { coalescer, load, answerAll } = scripted();
    load(1);
    const first = coalescer.close();
    const second = coalescer.close({ timeoutMs: 0 });
    await answerAll();
    expect(await first).toMatchObject({ answered: 1, failed: 0 });
    expect(await second).toBe(await first);
    expect(await coalescer.close()).toBe(await first);
    expect(await coalescer.flush()).toMatchObject({ items: 0 });
  });

  it("ends a drain that takes too long when it is told to reject after all", async () => {
    const { coalescer, load } = scripted();
    const asked = load(1);
    const draining = coalescer.close({ timeoutMs: 60_000 });
    const rejecting = coalescer.close({ pending: "reject" });
    expect(await rejecting).toMatchObject({ answered: 0, failed: 1 });
    expect(await draining).toBe(await rejecting);
    expect(asked.error).toMatchObject(CLOSED);
  });

  it("refuses options of close that are wrong, and stays open", async () => {
    const { coalescer, load, answerAll } = scripted();
    for (const [options, quoted] of [
      [{ pending: "drop" }, '"drop"'],
      [{ timeoutMs: -1 }, "-1"],
      [{ timeoutMS: 1 }, '"close: timeoutMS"'],
    ] as const) {
      const closing = coalescer.close(options as never);
      await expect(closing).rejects.toMatchObject({
        disposition: "usage",
        message: expect.stringContaining(quoted),
      });
    }
    const asked = load(1);
    await answerAll();
    expect(asked.value).toBe("g/1");
  });

  it("is what `await using` leaves behind, with everybody answered", async () => {
    const { coalescer, load, answerAll } = scripted();
    const asked = load(1);
    const answering = answerAll();
    {
      await using scoped = coalescer;
      expect(scoped.stats().pending).toBe(1);
    }
    expect([asked.value, coalescer.stats().pending]).toEqual(["g/1", 0]);
    await expect(coalescer.load({ group: "g", key: 2 })).rejects.toMatchObject(CLOSED);
    await answering;
  });
});

it("nobody's failure is an unhandled rejection, but of a promise that its caller dropped", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", onUnhandled);
  for (const pending of ["drain", "reject"] as const) {
    const { clock, coalescer, calls, load } = await everywhere();
    const controller = new AbortController();
    for (const [key, group] of [
      [1, "a"],
      [3, "b"],
      [4, "c"],
      [7, "e"],
    ] as const) {
      load(key, group, controller.signal);
    }
    calls[0]?.fail(new Error("in flight"));
    await clock.settle();
    controller.abort(new Error("left"));
    const closing = coalescer.close({ pending, timeoutMs: 10 });
    await clock.advance(20);
    await closing;
  }
  await manualClock().settle();
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
});
