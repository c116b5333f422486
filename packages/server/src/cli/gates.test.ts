import { manualClock } from "sluice/testing";
import { afterEach, expect, test } from "vitest";
import { type FlagApi, startFlagApi } from "../flags/flag-api.ts";
import { createGateTally } from "../flags/gate-tally.ts";
import { randomTrouble, type Switches } from "../flags/trouble.ts";
import { generateTraffic } from "../traffic/generate.ts";
import { type Flags, openFlags } from "./flags.ts";
import { openGates } from "./gates.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Gates of a flag API with such troubles, and what they say. */
async function setup(switches: Switches = {}) {
  const apis: FlagApi[] = [];
  const flags: Flags = await openFlags(async (options) => {
    const api = await startFlagApi({ ...options, switches });
    apis.push(api);
    return api;
  });
  closing.push(flags.close);
  const tally = createGateTally(flags.seed);
  const said: string[] = [];
  const gates = openGates({ flags, tally, warn: (words) => void said.push(words) });
  return { gates, tally, said, stats: apis[0]?.stats };
}

const traffic = (events: number) => generateTraffic({ seed: 2, events });

test("every check is answered rightly, and most by few calls", async () => {
  const { gates, tally, said, stats } = await setup();
  for (const request of traffic(2_000)) await gates.ask(request);
  await gates.close(60_000);
  const { apiCalls, cacheHits, ...rest } = gates.figures();
  expect(rest).toEqual({ checks: 4_000, failures: 0 });
  expect(apiCalls).toBe(stats?.calls.check_gate);
  expect(apiCalls).toBeGreaterThan(0);
  expect(apiCalls + cacheHits).toBeLessThan(4_000);
  expect(tally.verdict()).toMatchObject({ verified: true, rows: 4_000 });
  expect([said, stats?.refused, stats?.events, stats?.inFlight]).toEqual([[], 0, 0, 0]);
});

test("trouble now and then costs calls, and no answer", async () => {
  const troubles = [{ kind: "error", status: 500 }, { kind: "cut-off" }] as const;
  const { gates, tally, said, stats } = await setup({
    trouble: randomTrouble(1, { share: 0.05, troubles }),
  });
  for (const request of traffic(1_000)) await gates.ask(request);
  await gates.close(60_000);
  expect(gates.figures()).toMatchObject({ checks: 2_000, failures: 0 });
  expect(tally.verdict()).toMatchObject({ verified: true, rows: 2_000 });
  expect(stats?.troubled).toBeGreaterThan(5);
  expect(said).toEqual([expect.stringMatching(/^the flag API fails, trying again: /)]);
});

test("an API that hangs holds up what asks too far ahead, until the deadline fails it", async () => {
  const { gates, tally } = await setup({ trouble: { kind: "hang" } });
  let answered = 0;
  let fill = (): void => undefined;
  const full = new Promise<void>((resolve) => (fill = resolve));
  const asking = (async () => {
    for (const request of traffic(5_001)) {
      const ask = gates.ask(request);
      if (answered === 4_999) fill();
      await ask;
      answered += 1;
    }
  })();
  await full;
  await manualClock().settle();
  expect(answered).toBe(4_999);
  await gates.close(0);
  await asking;
  const { checks, failures, cacheHits } = gates.figures();
  expect([checks, failures, cacheHits]).toEqual([10_002, 10_002, 0]);
  expect(tally.verdict()).toMatchObject({ verified: false, rows: 0, differences: 10_002 });
});

test("whoever asks too late is answered as a failure", async () => {
  const { gates, tally } = await setup();
  await gates.close(1_000);
  for (const request of traffic(1)) await gates.ask(request);
  await gates.close(1_000);
  expect(gates.figures()).toEqual({ checks: 2, apiCalls: 0, cacheHits: 0, failures: 2 });
  expect(tally.verdict().examples[0]).toContain("no answer: ");
});
