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

test("answers have bodies where HTTP lets them, and clients keep their user agents", () => {
  const bodies = (of: (request: (typeof requests)[number]) => boolean): number[] =>
    requests.filter(of).map(({ bytes }) => bytes);
  expect(new Set(bodies(({ status }) => status === 204 || status === 304))).toEqual(new Set([0]));
  expect(new Set(bodies(({ method }) => method === "HEAD"))).toEqual(new Set([0]));
  const pages = bodies(({ status, method }) => status === 200 && method === "GET");
  expect(Math.min(...pages)).toBeGreaterThan(1_000);
  expect(Math.max(...pages)).toBeLessThan(200_000);
  const agents = new Map<string, string>();
  for (const { client, userAgent } of requests) {
    expect(agents.get(client) ?? userAgent).toBe(userAgent);
    agents.set(client, userAgent);
  }
  expect(new Set(agents.values()).size).toBeGreaterThan(4);
  expect([...agents.values()]).not.toContain("");
});

test("most requests of people come from a page, and no robot's does", () => {
  const isRobot = ({ userAgent }: (typeof requests)[number]): boolean => /Bot|curl/.test(userAgent);
  const people = requests.filter((request) => !isRobot(request));
  const from = new Set(people.map(({ referrer }) => referrer));
  expect(from.size).toBeGreaterThan(2);
  expect(from).toContain("");
  const linked = people.filter(({ referrer }) => referrer !== "").length;
  expect(linked / people.length).toBeGreaterThan(0.7);
  expect(new Set(requests.filter(isRobot).map(({ referrer }) => referrer))).toEqual(new Set([""]));
});

test("a weighted pick follows its weights", () => {
  const random = createRandom(1);
  const pick = createWeightedPick([1, 0, 3], (weight) => weight);
  const picked = Array.from({ length: 4_000 }, () => pick(random));
  expect(picked).not.toContain(0);
  expect(picked.filter((item) => item === 3).length / 4_000).toBeCloseTo(0.75, 1);
  expect(() => createWeightedPick([], () => 1)).toThrow(RangeError);
});
