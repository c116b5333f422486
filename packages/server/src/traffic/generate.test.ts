import { expect, test } from "vitest";
import { generateTraffic } from "./generate.ts";
import { createRandom, createWeightedPick } from "./random.ts";
import { tableOf } from "./request.ts";

const requests = [...generateTraffic({ seed: 7, events: 5_000 })];

test("the same seed gives the same requests, another seed gives others", () => {
  expect([...generateTraffic({ seed: 7, events: 5_000 })]).toEqual(requests);
  expect([...generateTraffic({ seed: 8, events: 10 })]).not.toEqual(requests.slice(0, 10));
  expect([...generateTraffic({ seed: 7 + 2 ** 32, events: 10 })]).not.toEqual(
    requests.slice(0, 10),
  );
});

test("fewer events are the beginning of more", () => {
  expect([...generateTraffic({ seed: 7, events: 100 })]).toEqual(requests.slice(0, 100));
});

test("few clients are busy and most are rare", () => {
  const counts = new Map<string, number>();
  for (const { client } of requests) counts.set(client, (counts.get(client) ?? 0) + 1);
  const sorted = [...counts.values()].sort((one, other) => other - one);
  const busiest = sorted.slice(0, 20).reduce((sum, count) => sum + count, 0);
  expect(counts.size).toBeGreaterThan(300);
  expect(busiest).toBeGreaterThan(0.4 * requests.length);
  expect(sorted.at(-1)).toBeLessThan(10);
});

test("time never goes back, and every kind of answer occurs", () => {
  expect(requests.every(({ at }, index) => at >= (requests[index - 1]?.at ?? 0))).toBe(true);
  const statuses = new Set(requests.map(({ status }) => status));
  for (const status of [200, 201, 204, 301, 304, 404, 500]) expect(statuses).toContain(status);
  expect(new Set(requests.map(tableOf))).toContain("/");
  expect(new Set(requests.map(tableOf)).size).toBeGreaterThan(8);
});

test("a weighted pick follows its weights", () => {
  const random = createRandom(1);
  const pick = createWeightedPick([1, 0, 3], (weight) => weight);
  const picked = Array.from({ length: 4_000 }, () => pick(random));
  expect(picked).not.toContain(0);
  expect(picked.filter((item) => item === 3).length / 4_000).toBeCloseTo(0.75, 1);
  expect(() => createWeightedPick([], () => 1)).toThrow(RangeError);
});
