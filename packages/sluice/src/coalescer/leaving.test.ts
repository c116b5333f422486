import { AsyncLocalStorage } from "node:async_hooks";
import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import { type Options, scriptedCoalescer } from "../../../../test/support/scripted-coalescer.ts";
import { rejected, retryable } from "../errors.ts";

const WITHDRAWN = { code: "SLUICE_ERR_CALL_WITHDRAWN", disposition: "dropped" };

/** A coalescer whose callers may leave. */
function scripted(options: Partial<Options> = {}) {
  const script = scriptedCoalescer(options);
  const { clock, coalescer } = script;
  /** Asks as somebody who may leave. */
  const ask = (key: number, group = "g") => {
    const controller = new AbortController();
    const promise = coalescer.load({ group, key }, { signal: controller.signal });
    const answer = follow(promise);
    const leave = (): void => controller.abort(`${group}/${key} is not needed`);
    return { promise, answer, leave };
  };
  /** Nothing is left of anybody. */
  const over = async (): Promise<void> => {
    await clock.settle();
    const { loads, answered, failed, aborted, pending, held, waiting } = coalescer.stats();
    expect([pending, held, waiting, clock.timers]).toEqual([0, 0, 0, 0]);
    expect(answered + failed + aborted).toBe(loads);
  };
  return { ...script, ask, over };
}

const LEFT = { settled: "rejected", error: "g/1 is not needed" };

describe("a caller who leaves", () => {
  it("before asking is turned away, and its question is not asked", async () => {
    const { calls, coalescer, over } = scripted();
    const signal = AbortSignal.abort("too late");
    await expect(coalescer.load({ group: "g", key: 1 }, { signal })).rejects.toBe("too late");
    expect(coalescer.stats()).toMatchObject({ loads: 0, refused: 1, aborted: 0 });
    await over();
    expect(calls).toEqual([]);
  });

  it("while the call gathers takes its question along, and no other", async () => {
    const { clock, asked, ask, calls, coalescer, over } = scripted({ maxDelayMs: 10 });
    const [one, two] = [ask(1), ask(2)];
    await clock.advance(5);
    one.leave();
    expect(coalescer.stats()).toMatchObject({ aborted: 1, pending: 1 });
    await clock.advance(5);
    expect([asked(), one.answer]).toEqual(["2", LEFT]);
    calls[0]?.answer();
    await over();
    expect(two.answer.value).toBe("g/2");
  });

  it("while the call gathers, and others ask the same: they are answered", async () => {
    const { clock, asked, ask, calls, over } = scripted();
    const [first, second, other] = [ask(1), ask(1), ask(2)];
    first.leave();
    await clock.settle();
    expect(asked()).toBe("12");
    calls[0]?.answer();
    await over();
    expect([first.answer, second.answer.value, other.answer.value]).toEqual([LEFT, "g/1", "g/2"]);
  });

  it("while it waits for room: the next in line has it", async () => {
    const { clock, asked, ask, calls, coalescer, over } = scripted({
      maxEntries: 1,
      maxBufferedEntries: 1,
    });
    const [first, one, two] = [ask(0), ask(1), ask(2)];
    await clock.settle();
    expect(coalescer.stats()).toMatchObject({ held: 1, waiting: 2 });
    one.leave();
    await clock.settle();
    expect([one.answer, coalescer.stats().waiting]).toEqual([LEFT, 1]);
    calls[0]?.answer();
    await clock.settle();
    expect([first.answer.value, asked()]).toEqual(["g/0", "0,2"]);
    calls[1]?.answer();
    await over();
    expect(two.answer.value).toBe("g/2");
  });

  it("while the call waits for a slot: it is never sent, and the one behind it is", async () => {
    const { clock, asked, ask, calls, over } = scripted({ maxInFlight: 1 });
    const [, one, two] = [ask(0, "f"), ask(1), ask(2, "h")];
    await clock.settle();
    one.leave();
    await clock.settle();
    calls[0]?.answer();
    await clock.settle();
    expect([one.answer, asked()]).toEqual([LEFT, "0,2"]);
    calls[1]?.answer();
    await over();
    expect(two.answer.value).toBe("h/2");
  });

  it("in flight ends the call if nobody else waits: its signal aborts, and its slot is free", async () => {
    const { clock, asked, ask, calls, coalescer, over } = scripted({ maxInFlight: 1 });
    const one = ask(1);
    const two = ask(2);
    const next = ask(3, "h");
    await clock.settle();
    one.leave();
    await clock.settle();
    expect([one.answer, calls[0]?.signal.aborted]).toEqual([LEFT, false]);
    two.leave();
    expect(calls[0]?.signal.reason).toMatchObject(WITHDRAWN);
    await clock.settle();
    expect([asked(), coalescer.stats().held]).toEqual(["12,3", 1]);
    calls[0]?.answer();
    calls[1]?.answer();
    await over();
    expect([one.answer.settled, two.answer.settled, next.answer.value]).toEqual([
      "rejected",
      "rejected",
      "h/3",
    ]);
  });

  it("of a half in flight ends it, although the other half has been answered", async () => {
    const { clock, ask, calls, coalescer, over } = scripted();
    const [one, two] = [ask(1), ask(2)];
    await clock.settle();
    calls[0]?.fail(rejected("not both"));
    await clock.settle();
    calls[1]?.answer();
    await clock.settle();
    expect([one.answer.value, calls[2]?.keys]).toEqual(["g/1", [2]]);
    two.leave();
    expect(calls[2]?.signal.aborted).toBe(true);
    await over();
    expect(coalescer.stats()).toMatchObject({ answered: 1, aborted: 1 });
  });

  it("in a pause between attempts is not asked for again; a call of nobody is not repeated", async () => {
    const { clock, asked, ask, calls, over } = scripted();
    const [one, two] = [ask(1), ask(2)];
    for (const leave of [two.leave, one.leave]) {
      await clock.advance(50);
      calls.at(-1)?.fail(retryable("busy", { retryAfterMs: 50 }));
      await clock.settle();
      leave();
    }
    await clock.advance(1_000);
    expect([asked(), one.answer]).toEqual(["12,1", LEFT]);
    await over();
  });

  it("in the tick of its answer has the answer, and counts once", async () => {
    const { clock, ask, calls, coalescer, over } = scripted();
    const one = ask(1);
    await clock.settle();
    calls[0]?.answer();
    while (coalescer.stats().answered === 0) await Promise.resolve();
    one.leave();
    await over();
    expect(one.answer).toMatchObject({ settled: "resolved", value: "g/1" });
    expect(coalescer.stats()).toMatchObject({ answered: 1, aborted: 0 });
  });

  it("because another question of its call has failed costs no warning", async () => {
    const events: string[] = [];
    const { clock, ask, calls, over } = scripted({ observe: ({ type }) => events.push(type) });
    const asked = [ask(1), ask(2), ask(3)];
    const leave = (): void => asked.forEach((one) => one.leave());
    asked[0]?.promise.catch(leave);
    await clock.settle();
    calls[0]?.fail(new Error("no"));
    await over();
    expect(asked.map(({ answer }) => answer.settled)).toEqual(Array(3).fill("rejected"));
    expect(events).not.toContain("warning");
  });

  it("after its answer changes nothing", async () => {
    const { clock, ask, calls, coalescer, over } = scripted();
    const [one, other] = [ask(1), ask(2, "h")];
    await clock.settle();
    calls[0]?.answer();
    await clock.settle();
    one.leave();
    expect(calls[1]?.signal.aborted).toBe(false);
    calls[1]?.answer();
    await over();
    expect([one.answer.value, other.answer.value]).toEqual(["g/1", "h/2"]);
    expect(coalescer.stats().aborted).toBe(0);
  });
});

describe("a question that everybody has left", () => {
  it.for(["gathers", "is in flight", "waits"])(
    "is a fresh one in that very tick: it %s",
    async (at) => {
      const { clock, asked, ask, calls, over } = scripted({ maxEntries: 1, maxBufferedEntries: 1 });
      const others = at === "waits" ? [ask(0)] : [];
      const one = ask(1);
      if (at === "is in flight") await clock.settle();
      one.leave();
      const again = ask(1);
      for (let call = 0; call < 2; call += 1) {
        await clock.settle();
        calls[call]?.answer();
      }
      await over();
      expect(asked()).toBe(at === "gathers" ? "1" : at === "waits" ? "0,1" : "1,1");
      expect([one.answer, again.answer.value]).toEqual([LEFT, "g/1"]);
      expect(others.map(({ answer }) => answer.value)).toEqual(others.map(() => "g/0"));
    },
  );

  it("may be joined again while its call goes on for others, and is in it once", async () => {
    const { clock, asked, ask, calls, over } = scripted({ maxDelayMs: 10 });
    const [one] = [ask(1), ask(2)];
    one.leave();
    const again = ask(1);
    await clock.advance(10);
    again.leave();
    const third = ask(1);
    await clock.advance(10);
    expect(asked()).toBe("12");
    calls[0]?.answer();
    await over();
    expect(third.answer.value).toBe("g/1");
  });

  it("before its call was sent is asked in another", async () => {
    const { clock, asked, ask, calls, over } = scripted();
    const [one, two] = [ask(1), ask(2)];
    one.leave();
    await clock.settle();
    const again = ask(1);
    await clock.settle();
    expect(asked()).toBe("2,1");
    for (const call of calls) call.answer();
    await over();
    expect([two.answer.value, again.answer.value]).toEqual(["g/2", "g/1"]);
  });

  it("is not joined by what an observer asks while it is withdrawn", async () => {
    const answers: ReturnType<typeof follow>[] = [];
    const { clock, ask, calls, coalescer, over } = scripted({
      observe: ({ type }) => {
        if (type === "dropped" && answers.length < 3) answers.push(ask(answers.length).answer);
      },
    });
    const asked = [ask(0), ask(1), ask(2)];
    coalescer.stats(); // they have a place in a call
    for (const { leave } of asked) leave();
    await clock.settle();
    for (const call of calls) call.answer();
    await over();
    expect(answers.map(({ value }) => value)).toEqual(["g/0", "g/1", "g/2"]);
  });

  it("tells resolve in nobody's async context", async () => {
    const tenant = new AsyncLocalStorage<string>();
    const { clock, ask, calls } = scripted();
    const seen: unknown[] = [];
    const one = ask(1);
    await clock.settle();
    calls[0]?.signal.addEventListener("abort", () => seen.push(tenant.getStore()));
    tenant.run("acme", () => one.leave());
    expect(seen).toEqual([undefined]);
  });
});

describe("a signal of many loads", () => {
  it("has one listener, warns of no leak, and ends them all and nothing else", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const { clock, ask, calls, coalescer, over } = scripted({ maxEntries: 100 });
    const controller = new AbortController();
    const { signal } = controller;
    const other = ask(0);
    const loads = Array.from({ length: 1_000 }, (_, key) =>
      follow(coalescer.load({ group: "g", key }, { signal })),
    );
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await clock.settle();
    controller.abort("enough");
    await clock.settle();
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    expect(new Set(loads.map(({ error }) => error))).toEqual(new Set(["enough"]));
    expect(calls.map((call) => call.signal.aborted)).toEqual([false, true, true, true]);
    calls[0]?.answer();
    await over();
    expect([other.answer.value, coalescer.stats().aborted]).toEqual(["g/0", 1_000]);
  });

  it("that lives long keeps nothing of what has settled", async () => {
    const { signal } = new AbortController();
    const { clock, calls, coalescer, over } = scripted();
    for (const group of ["g", "h"]) follow(coalescer.load({ group, key: 1 }, { signal }));
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    await clock.settle();
    calls[0]?.answer();
    await clock.settle();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    calls[1]?.fail(new Error("no"));
    await over();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });
});
