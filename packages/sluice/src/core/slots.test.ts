import { describe, expect, it } from "vitest";
import { manualClock, seededRandom } from "../testing/index.ts";
import { Abort } from "./abort.ts";
import { type Share, Slots, Turn } from "./slots.ts";

const group = (sole = false): Share => ({ inFlight: 0, sole });

/** So many slots, and a way to ask for one and see whether it was given. */
function setup(size: number) {
  const clock = manualClock();
  const slots = new Slots(size, clock);
  const take = (share: Share, deadline = Infinity, abort = new Abort()) => {
    const state = { granted: undefined as boolean | undefined, abort };
    void slots.take(share, deadline, abort).then((granted) => {
      state.granted = granted;
    });
    return state;
  };
  return { clock, slots, take };
}

describe("slots", () => {
  it.for([
    [1, 1],
    [2, 1],
    [4, 1],
    [5, 2],
    [8, 2],
    [9, 3],
    [16, 4],
    [64, 16],
    [1_024, 256],
  ] as const)("of %i give one busy group %i", async ([size, most]) => {
    const { clock, take } = setup(size);
    const share = group();
    for (let ask = 0; ask < size; ask += 1) take(share);
    await clock.settle();
    expect(share.inFlight).toBe(most);
  });

  it("are all for a group that has no others to leave room for", async () => {
    const { clock, take } = setup(16);
    const share = group(true);
    for (let ask = 0; ask < 20; ask += 1) take(share);
    await clock.settle();
    expect(share.inFlight).toBe(16);
  });

  it("give a group its first while there is one, whatever others hold", async () => {
    const { clock, take } = setup(8);
    const busy = [group(), group(), group()];
    for (const share of busy) for (let ask = 0; ask < 8; ask += 1) take(share);
    const others = Array.from({ length: 5 }, () => group());
    for (const share of others) take(share);
    await clock.settle();
    expect(busy.map(({ inFlight }) => inFlight)).toEqual([2, 2, 1]);
    expect(others.map(({ inFlight }) => inFlight)).toEqual([1, 1, 1, 0, 0]);
  });

  it("are given in the order of asking, past those who must wait for their own group", async () => {
    const { clock, slots, take } = setup(2);
    const [a, b, c] = [group(), group(), group()];
    take(a);
    const [second, other, last] = [take(a), take(b), take(c)];
    await clock.settle();
    expect([second, other, last].map(({ granted }) => granted)).toEqual([
      undefined,
      true,
      undefined,
    ]);
    slots.release(b);
    await clock.settle();
    expect([second.granted, last.granted]).toEqual([undefined, true]);
    slots.release(a);
    await clock.settle();
    expect([second.granted, a.inFlight]).toEqual([true, 1]);
  });

  it("give several to those who wait, as far as they go, when one release allows it", async () => {
    const { clock, slots, take } = setup(8);
    const [a, b] = [group(), group()];
    for (let ask = 0; ask < 4; ask += 1) take(a);
    for (let ask = 0; ask < 6; ask += 1) take(group());
    await clock.settle();
    expect([a.inFlight, b.inFlight]).toEqual([2, 0]);
    const waiting = [take(b), take(b)];
    slots.release(a);
    await clock.settle();
    expect([a.inFlight, waiting.map(({ granted }) => granted)]).toEqual([1, [true, undefined]]);
  });

  it("are not waited for after the deadline, nor after an abort, and no trace is left", async () => {
    const { clock, slots, take } = setup(1);
    const [holder, share] = [group(), group()];
    take(holder);
    const [late, gone, last] = [take(share, 10), take(share, 20), take(share, 30)];
    gone.abort.abort("enough");
    await clock.advance(9);
    expect([late.granted, gone.granted]).toEqual([undefined, false]);
    await clock.advance(1);
    expect([late.granted, last.granted, clock.timers]).toEqual([false, undefined, 1]);
    slots.release(holder);
    await clock.settle();
    expect([last.granted, clock.timers, share.inFlight]).toEqual([true, 0, 1]);
    last.abort.abort("after it was given");
    expect(share.inFlight).toBe(1);
  });

  it("are not given to who asks too late or aborted, though they are free", async () => {
    const { clock, take } = setup(4);
    const abort = new Abort();
    abort.abort("before");
    const share = group();
    const [late, gone] = [take(share, 0), take(share, Infinity, abort)];
    await clock.settle();
    expect([late.granted, gone.granted, share.inFlight]).toEqual([false, false, 0]);
  });

  it("by chance: never more than there are, none idle while somebody may go, none left over", async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const random = seededRandom(seed);
      const size = 1 + Math.floor(random() * 12);
      const { clock, slots, take } = setup(size);
      const shares = Array.from({ length: 4 }, () => group());
      const asked: { share: Share; state: ReturnType<typeof take> }[] = [];
      const held: Share[] = [];
      for (let step = 0; step < 60; step += 1) {
        const share = shares[Math.floor(random() * 4)] ?? group();
        const given = held[Math.floor(random() * held.length)];
        if (random() < 0.6)
          asked.push({ share, state: take(share, clock.now() + 5 + random() * 20) });
        else if (random() < 0.7 && given !== undefined) {
          held.splice(held.indexOf(given), 1);
          slots.release(given);
        } else if (random() < 0.5)
          asked[Math.floor(random() * asked.length)]?.state.abort.abort("no");
        else await clock.advance(3);
        await clock.settle();
        for (const { share: granted } of asked.filter(({ state }) => state.granted === true))
          held.push(granted);
        asked.splice(0, asked.length, ...asked.filter(({ state }) => state.granted === undefined));
        expect(shares.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(held.length);
        expect(held.length).toBeLessThanOrEqual(size);
        const free = size - held.length;
        const mayGo = asked.filter(
          ({ share: { inFlight: n } }) => free > 0 && (n === 0 || n * 3 < free),
        );
        expect(mayGo).toEqual([]);
      }
      for (const share of held) slots.release(share);
      await clock.advance(100);
      for (const { share, state } of asked) if (state.granted === true) slots.release(share);
      expect(clock.timers).toBe(0);
      expect(shares.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0, 0]);
    }
  });
});

describe("a turn", () => {
  const turnOf = (slots: Slots, clock: ReturnType<typeof manualClock>) => {
    const share = group();
    return { share, turn: new Turn(slots, share, clock) };
  };

  it("holds one slot however often it is taken, and gives it back once", async () => {
    const { clock, slots } = setup(4);
    const { share, turn } = turnOf(slots, clock);
    const abort = new Abort();
    await turn.take(Infinity, abort);
    await turn.take(Infinity, abort);
    expect(await turn.admit(Infinity, abort)).toBe("free");
    expect(share.inFlight).toBe(1);
    for (const report of [turn.succeeded, turn.failed, turn.withdrawn, turn.giveBack]) {
      expect(await turn.admit(Infinity, abort)).toBe("free");
      report.call(turn);
      report.call(turn);
      expect(share.inFlight).toBe(0);
    }
  });

  it("gives back what it may not use any more, and says so", async () => {
    const { clock, slots } = setup(4);
    const { share, turn } = turnOf(slots, clock);
    const abort = new Abort();
    await turn.take(Infinity, abort);
    expect(await turn.admit(clock.now(), abort)).toBeUndefined();
    expect(share.inFlight).toBe(0);
    await turn.take(Infinity, abort);
    abort.abort("no");
    expect(await turn.admit(Infinity, abort)).toBeUndefined();
    expect(share.inFlight).toBe(0);
  });

  it("pauses for as long as it is told, or until the abort", async () => {
    const { clock, slots } = setup(1);
    const { turn } = turnOf(slots, clock);
    const abort = new Abort();
    let over = 0;
    void turn.wait(10, abort).then(() => (over += 1));
    void turn.wait(20, abort).then(() => (over += 1));
    await clock.advance(10);
    expect(over).toBe(1);
    abort.abort("no");
    await clock.settle();
    expect([over, clock.timers]).toEqual([2, 0]);
  });
});
