import { describe, expect, it } from "vitest";
import type { WriteContext } from "../sinks/sink.ts";
import { list } from "../shapes/list.ts";
import { faultySink, manualClock, memorySink, seededRandom } from "./index.ts";

const warnings: unknown[] = [];
const context = (seq: number, part?: string): WriteContext<readonly number[]> => ({
  id: { writer: "w", seq, part },
  attempt: 1,
  signal: new AbortController().signal,
  timeoutMs: 1_000,
  remainingMs: () => 1_000,
  shape: list<number>(),
  warn: (error) => void warnings.push(error),
});

describe("manualClock", () => {
  it("runs what falls due in order, each at its own time, and lets promises settle after each", async () => {
    const clock = manualClock({ epochMs: 1_000 });
    const log: string[] = [];
    const at = (name: string, delayMs: number): void =>
      void clock.schedule(() => {
        log.push(`${name}@${clock.now()}`);
        void Promise.resolve().then(() => log.push(`after ${name}`));
      }, delayMs);
    at("c", 30);
    at("a", 10);
    at("b", 10);
    expect(clock.timers).toBe(3);
    await clock.advance(29);
    expect(log).toEqual(["a@10", "after a", "b@10", "after b"]);
    expect([clock.now(), clock.epochMs()]).toEqual([29, 1_029]);
    expect(await clock.next()).toBe(true);
    expect(await clock.next()).toBe(false);
    expect([clock.now(), clock.timers]).toEqual([30, 0]);
  });

  it("runs what a callback schedules, if it falls due as well, and forgets what is cancelled", async () => {
    const clock = manualClock();
    const log: number[] = [];
    const again = (): void => {
      log.push(clock.now());
      clock.schedule(again, 10);
    };
    clock.schedule(again, 10);
    clock.cancel(clock.schedule(() => log.push(-1), 5));
    clock.cancel(undefined);
    await clock.advance(35);
    expect(log).toEqual([10, 20, 30]);
    expect(clock.timers).toBe(1);
  });

  it("never goes back", async () => {
    const clock = manualClock();
    await clock.advance(10);
    await clock.advance(-5);
    expect(clock.now()).toBe(10);
    await Promise.all([clock.advance(20), clock.advance(5)]);
    expect(clock.now()).toBe(30);
  });
});

describe("seededRandom", () => {
  it("repeats itself for a seed, differs between seeds, and fills [0, 1) evenly", () => {
    const draw = (seed: number): number[] => Array.from({ length: 10_000 }, seededRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    for (const seed of [0, 1, -1, 2 ** 31]) {
      const numbers = draw(seed);
      expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...numbers)).toBeLessThan(1);
      expect(numbers.reduce((a, b) => a + b) / numbers.length).toBeCloseTo(0.5, 1);
    }
    expect(seededRandom(1)()).toBe(0.627_073_940_588_161_3);
  });
});

describe("memorySink", () => {
  it("applies each batch once, and says when it had it already", async () => {
    const sink = memorySink<readonly number[]>();
    expect(await sink.write([1], context(1))).toBeUndefined();
    expect(await sink.write([1], context(1))).toEqual({ duplicate: true });
    expect(await sink.write([2], context(1, "0"))).toBeUndefined();
    expect(sink.applied.map(({ batch }) => batch)).toEqual([[1], [2]]);
    expect(sink.calls).toHaveLength(3);
  });

  it("without a ledger applies every call", async () => {
    const sink = memorySink<readonly number[]>({ ledger: false });
    for (let call = 0; call < 2; call += 1) await sink.write([1], context(1));
    expect(sink.applied).toHaveLength(2);
  });
});

describe("faultySink", () => {
  const faulty = (faults: object) => {
    const store = memorySink<readonly number[]>();
    const clock = manualClock();
    return { store, clock, sink: faultySink(store, { random: () => 0, clock, ...faults }) };
  };

  it("without faults is the sink itself", async () => {
    const { store, sink } = faulty({});
    await sink.write([1], context(1));
    expect(store.applied).toHaveLength(1);
  });

  it("fails before anything is applied, and says so", async () => {
    const { store, sink } = faulty({ fail: 1 });
    await expect(sink.write([1], context(1))).rejects.toMatchObject({ ambiguous: false });
    expect(store.calls).toEqual([]);
  });

  it("loses the acknowledgement of what it applied", async () => {
    const { store, sink } = faulty({ loseAck: 1 });
    await expect(sink.write([1], context(1))).rejects.toMatchObject({
      disposition: "retryable",
      ambiguous: true,
    });
    expect(store.applied).toHaveLength(1);
  });

  it("hangs, for good or until the zombie applies the batch", async () => {
    for (const [faults, applied] of [
      [{ hang: 1 }, 0],
      [{ zombie: 1, zombieMs: 50 }, 1],
    ] as const) {
      const { store, clock, sink } = faulty(faults);
      let ended = false;
      void Promise.resolve(sink.write([1], context(1))).finally(() => {
        ended = true;
      });
      await clock.advance(49);
      expect(store.applied).toHaveLength(0);
      await clock.advance(1_000);
      expect([ended, store.applied.length]).toEqual([false, applied]);
    }
  });

  it("rejects poison, whatever else might strike", async () => {
    const { store, sink } = faulty({ fail: 1, poison: () => "poison" });
    await expect(sink.write([1], context(1))).rejects.toMatchObject({ disposition: "rejected" });
    expect(store.calls).toEqual([]);
  });

  it("refuses zombies without a clock: they would be no faults at all", () => {
    const store = memorySink<readonly number[]>();
    expect(() => faultySink(store, { random: () => 0, zombie: 0.1 })).toThrow(/clock/);
  });

  it("strikes as often as it is told, the same way for the same seed", async () => {
    const run = async (): Promise<string> => {
      const random = seededRandom(3);
      const { sink } = faulty({ random, fail: 0.3, loseAck: 0.2 });
      let log = "";
      for (let seq = 1; seq <= 1_000; seq += 1) {
        await sink.write([seq], context(seq)).then(
          () => (log += "."),
          (error: unknown) => (log += (error as { ambiguous: boolean }).ambiguous ? "l" : "f"),
        );
      }
      return log;
    };
    const log = await run();
    expect(await run()).toBe(log);
    expect(log.replaceAll(/[^f]/g, "").length).toBeGreaterThan(250);
    expect(log.replaceAll(/[^f]/g, "").length).toBeLessThan(350);
    expect(log.replaceAll(/[^l]/g, "").length).toBeGreaterThan(150);
    expect(log.replaceAll(/[^l]/g, "").length).toBeLessThan(250);
  });
});
