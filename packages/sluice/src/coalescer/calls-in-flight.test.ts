import { describe, expect, it } from "vitest";
import { follow } from "../../../../test/support/follow.ts";
import {
  type Call,
  type Options,
  type Request,
  scriptedCoalescer,
} from "../../../../test/support/scripted-coalescer.ts";
import { rejected, retryable } from "../errors.ts";
import { manualClock } from "../testing/index.ts";
import { createCoalescer } from "./coalescer.ts";

const UNANSWERED = { code: "SLUICE_ERR_CALL_UNANSWERED", disposition: "expired" };

/** A coalescer whose answers are timed. */
function scripted(options: Partial<Options> = {}) {
  const script = scriptedCoalescer(options);
  const { clock, coalescer } = script;
  const load = (group: string, key: number) => {
    const promise = coalescer.load({ group, key });
    const state = Object.assign(follow(promise), { at: -1 });
    const stamp = (): void => void (state.at = clock.now());
    promise.then(stamp, stamp);
    return state;
  };
  return { ...script, load };
}

const groupsOf = (calls: readonly Call[]): string => calls.map(({ group }) => group).join("");

describe("maxInFlight", () => {
  it("is how many calls run at a time, over all groups; the others gather on until they may", async () => {
    const { clock, calls, load } = scripted({ maxInFlight: 2 });
    const first = ["a", "b", "c", "d"].map((group) => load(group, 1));
    await clock.settle();
    expect(groupsOf(calls)).toBe("ab");
    const second = load("c", 2);
    calls[1]?.answer();
    await clock.settle();
    expect(groupsOf(calls)).toBe("abc");
    expect(calls[2]?.keys).toEqual([1, 2]);
    for (const call of calls) call.answer();
    await clock.settle();
    calls[3]?.answer();
    await clock.settle();
    expect([...first, second].map(({ value }) => value).join()).toBe("a/1,b/1,c/1,d/1,c/2");
    expect(clock.timers).toBe(0);
  });

  it("is for one group without a group function: all of it", async () => {
    const { clock, calls, load } = scripted({ group: undefined, maxInFlight: 3, maxEntries: 1 });
    for (const key of [1, 2, 3, 4]) load("-", key);
    await clock.settle();
    expect(calls.map(({ keys }) => keys)).toEqual([[1], [2], [3]]);
  });

  it("leaves room: a group holds a quarter of it at most, and any gets its first", async () => {
    const { clock, calls, load } = scripted({ maxInFlight: 16, maxEntries: 1 });
    for (let key = 0; key < 50; key += 1) load("a", key);
    await clock.settle();
    expect(groupsOf(calls)).toBe("aaaa");
    for (let key = 0; key < 50; key += 1) load("b", key);
    for (const group of "cdefghijk") load(group, 1);
    await clock.settle();
    expect(groupsOf(calls)).toBe("aaaabbbcdefghijk");
    load("l", 1);
    await clock.settle();
    expect(calls).toHaveLength(16);
    calls[4]?.answer(); // one of b: a and b have more than their share still
    await clock.settle();
    expect(groupsOf(calls.slice(16))).toBe("l");
  });

  it("one group that hangs: the others' p99 stays within twice their time without it", async () => {
    const p99 = async (hangs: boolean): Promise<number> => {
      const clock = manualClock();
      const coalescer = createCoalescer<Request, number, number, string>({
        group: ({ group }) => group,
        key: ({ key }) => key,
        maxEntries: 10,
        clock,
        random: () => 0,
        resolve: (group, keys) =>
          new Promise((resolve) => {
            if (group === "0" && hangs) return;
            clock.schedule(() => resolve(keys), 10);
          }),
      });
      const times: number[] = [];
      for (let round = 0; round < 20; round += 1) {
        for (let group = 0; group < 100; group += 1) {
          for (let key = 0; key < 12; key += 1) {
            const at = clock.now();
            const answer = coalescer.load({ group: `${group}`, key: 100 * round + key });
            const note = (): unknown => group > 0 && times.push(clock.now() - at);
            answer.then(note, () => undefined);
          }
        }
        await clock.advance(100);
      }
      await clock.advance(5_000);
      expect(times).toHaveLength(20 * 99 * 12);
      await clock.advance(60_000);
      expect([coalescer.stats().pending, clock.timers]).toEqual([0, 0]);
      return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
    };
    const without = await p99(false);
    expect(without).toBeGreaterThan(10);
    expect(await p99(true)).toBeLessThanOrEqual(2 * without);
  });
});

describe("dispatchWhenIdle", () => {
  it("sends at once what comes while its group has nothing under way, and gathers meanwhile", async () => {
    const { clock, calls, load } = scripted({ maxDelayMs: 100, dispatchWhenIdle: true });
    load("a", 1);
    load("a", 2);
    await clock.settle();
    expect(calls.map(({ at, keys }) => [at, keys])).toEqual([[0, [1, 2]]]);
    load("a", 3);
    load("b", 1);
    await clock.advance(60);
    expect(groupsOf(calls)).toBe("ab");
    load("a", 4);
    calls[0]?.answer();
    await clock.settle();
    expect(calls[2]).toMatchObject({ at: 60, group: "a", keys: [3, 4] });
    load("a", 5);
    await clock.advance(99);
    expect(calls).toHaveLength(3);
    await clock.advance(1);
    expect(calls[3]).toMatchObject({ at: 160, keys: [5] });
  });

  it("is off by default: the first waits for maxDelayMs as well", async () => {
    const { clock, calls, load } = scripted({ maxDelayMs: 100 });
    load("a", 1);
    await clock.advance(99);
    expect(calls).toEqual([]);
    await clock.advance(1);
    expect(calls).toHaveLength(1);
  });
});

describe("a call that fails", () => {
  it("retryably is asked again as a whole after a pause, in which it holds no slot", async () => {
    const { clock, calls, coalescer, load, events } = scripted({ maxInFlight: 1 });
    const a = [load("a", 1), load("a", 2)];
    const b = load("b", 1);
    await clock.settle();
    calls[0]?.fail(retryable("busy", { retryAfterMs: 50 }));
    await clock.settle();
    expect(groupsOf(calls)).toBe("ab");
    await clock.advance(50);
    expect(calls).toHaveLength(2);
    calls[1]?.answer();
    await clock.settle();
    expect([b.value, calls[2]]).toMatchObject(["b/1", { group: "a", keys: [1, 2], attempt: 2 }]);
    calls[2]?.answer();
    await clock.settle();
    expect(a.map(({ value }) => value)).toEqual(["a/1", "a/2"]);
    expect(coalescer.stats()).toMatchObject({ calls: 3, retries: 1, answered: 3 });
    expect(events.filter(({ type }) => type === "retried")).toHaveLength(1);
  });

  it("as rejected is halved: good keys have their answers as soon as their half has", async () => {
    const { clock, calls, load, coalescer } = scripted();
    const asked = [1, 2, 3, 4].map((key) => load("a", key));
    const states = (): string => asked.map(({ settled }) => settled[2]).join("");
    const fault = rejected("3 is bad");
    await clock.settle();
    calls[0]?.fail(fault);
    await clock.settle();
    calls[1]?.answer();
    await clock.settle();
    expect(states()).toBe("ssnn");
    expect(asked[1]?.value).toBe("a/2");
    calls[2]?.fail(fault);
    await clock.settle();
    calls[3]?.fail(fault);
    await clock.settle();
    expect(states()).toBe("ssjn");
    expect(asked[2]?.error).toBe(fault);
    calls[4]?.answer();
    await clock.settle();
    expect(asked[3]?.value).toBe("a/4");
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["1234", "12", "34", "3", "4"]);
    expect(coalescer.stats()).toMatchObject({ answered: 3, failed: 1, retries: 0, held: 0 });
  });

  it("as rejected with a cause, or as a whole, reaches its callers as it was thrown", async () => {
    const { clock, calls, load } = scripted();
    for (const error of [
      rejected("bad", { cause: new Error("inner") }),
      rejected("all bad", { whole: true }),
      new Error("plain"),
    ]) {
      const from = calls.length;
      const asked = [load("a", 1), load("a", 2)];
      await clock.settle();
      for (let call = from; call < calls.length; call += 1) {
        calls[call]?.fail(error);
        await clock.settle();
      }
      expect(asked.map((one) => one.error === error)).toEqual([true, true]);
      expect(calls.length - from).toBe(error.cause === undefined ? 1 : 3);
    }
  });

  it("of no class is final, whatever was thrown, and the other groups do not notice", async () => {
    const { clock, calls, load } = scripted();
    for (const thrown of ["text", 5, null, Object.freeze({ odd: true })]) {
      const [bad, good] = [load("a", 1), load("b", 1)];
      await clock.settle();
      const [a, b] = calls.splice(0);
      a?.fail(thrown);
      b?.answer();
      await clock.advance(1_000);
      expect([bad.settled, good.value, calls.length]).toEqual(["rejected", "b/1", 0]);
      if (thrown !== null) expect(bad.error).toBe(thrown);
    }
  });

  it("is given up after retry.maxAttempts; the error has the cause", async () => {
    const { clock, calls, load } = scripted({ retry: { maxAttempts: 3 } });
    const asked = load("a", 1);
    const error = retryable("busy");
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await clock.advance(1);
      calls[attempt]?.fail(error);
    }
    await clock.advance(1_000);
    expect(calls.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(asked.error).toMatchObject({ ...UNANSWERED, cause: error });
    expect(String(asked.error)).toContain("no answer after 3 attempts: busy");
    expect(clock.timers).toBe(0);
  });
});

describe("time", () => {
  it("of an attempt is callTimeoutMs: its signal aborts, it is tried again, a late answer is none", async () => {
    const { clock, calls, load, events } = scripted({ callTimeoutMs: 100, deliveryTimeoutMs: 250 });
    const asked = load("a", 1);
    await clock.advance(99);
    expect(calls[0]?.signal.aborted).toBe(false);
    await clock.advance(2);
    expect(calls.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    calls[0]?.answer();
    await clock.settle();
    expect(asked.settled).toBe("pending");
    expect(events.at(-1)).toMatchObject({ type: "late", attempt: 1 });
    calls[1]?.answer();
    await clock.settle();
    expect([asked.value, clock.timers]).toEqual(["a/1", 0]);
  });

  it("of all attempts is deliveryTimeoutMs, and the last has what is left of it", async () => {
    const { clock, calls, load } = scripted({ callTimeoutMs: 100, deliveryTimeoutMs: 150 });
    const asked = load("a", 1);
    await clock.advance(149);
    expect(calls.map(({ timeoutMs }) => timeoutMs)).toEqual([100, 49]);
    expect(asked.settled).toBe("pending");
    await clock.advance(1);
    expect(asked.error).toMatchObject(UNANSWERED);
    expect(String(asked.error)).toContain(
      "after 2 attempts: the call took longer than callTimeoutMs",
    );
    expect([calls.length, clock.timers]).toEqual([2, 0]);
  });

  it("counts the wait for a slot; who never had one hears of no other group's failure", async () => {
    const { clock, calls, load } = scripted({ maxInFlight: 1, deliveryTimeoutMs: 1_000 });
    const asked = ["a", "b", "c", "d"].map((group) => load(group, 1));
    for (const _ of [1, 2]) {
      await clock.advance(400);
      calls.at(-1)?.fail(new Error("a secret"));
    }
    await clock.advance(199);
    expect([groupsOf(calls), asked[3]?.settled]).toEqual(["abc", "pending"]);
    await clock.advance(1);
    expect(asked[3]?.error).toMatchObject({ ...UNANSWERED, cause: undefined });
    expect(String(asked[3]?.error)).toContain("no call was free in time");
    expect([groupsOf(calls), clock.timers]).toEqual(["abc", 0]);
  });

  it("runs on for halves; one without an attempt has what its own call was rejected with", async () => {
    const { clock, calls, load } = scripted({ maxInFlight: 1, deliveryTimeoutMs: 1_000 });
    const asked = [load("a", 1), load("a", 2)];
    const refusal = rejected("1 or 2 is bad");
    await clock.advance(400);
    load("b", 1);
    load("c", 1);
    await clock.settle();
    calls[0]?.fail(refusal);
    await clock.settle();
    calls[1]?.fail(new Error("a secret"));
    await clock.advance(600);
    expect(groupsOf(calls)).toBe("abc");
    for (const { error } of asked) expect(error).toMatchObject({ ...UNANSWERED, cause: refusal });
    expect(String(asked[0]?.error)).toContain("after 1 attempt: 1 or 2 is bad");
  });
});
