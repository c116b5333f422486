import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FlagApi, startFlagApi } from "./flag-api.ts";
import { configValue, gateValue } from "./rules.ts";
import { type FlagCall, randomTrouble, refuseNames, type Trouble } from "./trouble.ts";

const SEED = 5;
const KEY = "secret-test";
const USER = { userID: "u-1" };
const NAMES = ["aa", "bb", "cc"];
const MEBIBYTE = 1024 * 1024;

let api: FlagApi;
beforeEach(async () => {
  api = await startFlagApi({ seed: SEED, apiKey: KEY });
});
afterEach(() => api.close());

function post(endpoint: string, body: object, user: object = USER): Promise<Response> {
  return fetch(`${api.url}/v1/${endpoint}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "statsig-api-key": KEY,
      "statsig-client-time": "0",
    },
    body: JSON.stringify({ user, ...body }),
  });
}

const askGates = (gateNames: readonly string[] = NAMES): Promise<Response> =>
  post("check_gate", { gateNames });
const askConfig = (): Promise<Response> => post("get_config", { configName: "aa" });
const log = (): Promise<Response> => post("log_event", { events: [{ eventName: "e" }] });

function truth(names: readonly string[]): object {
  return Object.fromEntries(names.map((name) => [name, { name, ...gateValue(SEED, name, USER) }]));
}

describe("an error", () => {
  test.each<[number, number | Date | undefined, string | null]>([
    [500, undefined, null],
    [429, 7, "7"],
    [503, new Date(Date.UTC(2030, 0, 2, 3, 4, 5)), "Wed, 02 Jan 2030 03:04:05 GMT"],
  ])("of status %d, to be tried again after %s", async (status, retryAfter, header) => {
    const trouble = { kind: "error", status } as const;
    api.configure({ trouble: retryAfter === undefined ? trouble : { ...trouble, retryAfter } });
    for (const response of [await askGates(), await askConfig(), await log()]) {
      expect(response.status).toBe(status);
      expect(response.headers.get("retry-after")).toBe(header);
      expect(await response.json()).toEqual({ message: "trouble" });
    }
    expect(api.stats).toMatchObject({ events: 0, troubled: 3, refused: 0 });
  });
});

describe("half an answer", () => {
  test("has every second name, or those that are not missing", async () => {
    api.configure({ trouble: { kind: "half-answer" } });
    expect(await (await askGates()).json()).toEqual(truth(["bb"]));
    api.configure({ trouble: { kind: "half-answer", missing: ["bb"] } });
    expect(await (await askGates()).json()).toEqual(truth(["aa", "cc"]));
  });

  test("has no value where there is a single name, and no success where there are events", async () => {
    api.configure({ trouble: { kind: "half-answer" } });
    const { value: _, ...rest } = gateValue(SEED, "aa", USER);
    const single = await post("check_gate", { gateName: "aa" });
    expect(await single.json()).toEqual({ name: "aa", ...rest });
    expect(await (await askConfig()).json()).not.toHaveProperty("value");
    expect(await (await log()).json()).toEqual({});
    api.configure({ trouble: { kind: "half-answer", missing: ["bb"] } });
    expect(await (await askConfig()).json()).toHaveProperty("value");
  });
});

test("a stray answer has names that nobody asked, besides or instead", async () => {
  api.configure({ trouble: { kind: "stray-answer", names: ["stray", "aa"] } });
  expect(await (await askGates()).json()).toEqual(truth([...NAMES, "stray"]));
  const { value } = configValue(SEED, "aa", USER);
  expect(await (await askConfig()).json()).toMatchObject({ name: "stray", value });
  api.configure({ trouble: { kind: "stray-answer" } });
  expect(await (await askGates()).json()).toEqual(truth([...NAMES, "nobody_asked"]));
});

test("a web page has status 200", async () => {
  api.configure({ trouble: { kind: "html" } });
  const response = await askGates();
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/html/);
  expect(await response.text()).toMatch(/^<!doctype html>/);
});

test("invalid JSON has status 200 and its whole length", async () => {
  api.configure({ trouble: { kind: "invalid-json" } });
  const response = await askGates();
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(response.headers.get("content-length")).toBe(String(text.length));
  expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
});

test("a text is sent as it is", async () => {
  api.configure({ trouble: { kind: "text", text: "null" } });
  expect(await (await askGates()).json()).toBe(null);
  api.configure({ trouble: { kind: "text", text: "no", status: 403, contentType: "text/plain" } });
  const response = await askGates();
  expect([response.status, await response.text()]).toEqual([403, "no"]);
  expect(response.headers.get("content-type")).toBe("text/plain");
});

test("an answer that is cut off announces more than it has", async () => {
  api.configure({ trouble: { kind: "cut-off" } });
  const response = await askGates();
  expect(response.status).toBe(200);
  const length = JSON.stringify(truth(NAMES)).length;
  expect(response.headers.get("content-length")).toBe(String(length));
  const reader = response.body?.getReader();
  const first = await reader?.read();
  expect(first?.value?.length).toBe(Math.ceil(length / 2));
  await expect(reader?.read()).rejects.toThrow("terminated");
});

describe("a huge answer", () => {
  test("is right behind its padding", async () => {
    api.configure({ trouble: { kind: "huge", megabytes: 1.5 } });
    const response = await askGates();
    const text = await response.text();
    expect(text.length).toBe(1.5 * MEBIBYTE + JSON.stringify(truth(NAMES)).length);
    expect(JSON.parse(text)).toEqual(truth(NAMES));
    expect(api.stats).toMatchObject({ inFlight: 0, abandoned: 0 });
  });

  test("ends with its client, however much is left, and is nowhere in memory", async () => {
    api.configure({ trouble: { kind: "huge", megabytes: 1e9 } });
    const before = process.memoryUsage().rss;
    const response = await askGates();
    await response.body?.cancel();
    api.configure({});
    expect(await (await askGates()).json()).toEqual(truth(NAMES));
    await api.close();
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * MEBIBYTE);
    expect(api.stats).toMatchObject({ inFlight: 0, abandoned: 1 });
  });

  test("ends with the API where its client does not read on", async () => {
    api.configure({ trouble: { kind: "huge", megabytes: 1e9 } });
    const response = await askGates();
    await api.close();
    await expect(response.text()).rejects.toThrow("terminated");
  });
});

describe("a switch is aimed", () => {
  test("at every third call", async () => {
    api.configure({
      trouble: ({ number }) => (number % 3 === 0 ? { kind: "error", status: 500 } : undefined),
    });
    const statuses: number[] = [];
    for (let call = 0; call < 6; call += 1) statuses.push((await askGates()).status);
    expect(statuses).toEqual([200, 200, 500, 200, 200, 500]);
    expect(api.stats).toMatchObject({ calls: { check_gate: 6 }, troubled: 2 });
  });

  test("at one user", async () => {
    api.configure({
      trouble: ({ user }) =>
        user?.["userID"] === "u-2" ? { kind: "error", status: 500 } : undefined,
    });
    const body = { gateName: "aa" };
    expect((await post("check_gate", body, { userID: "u-2" })).status).toBe(500);
    expect((await post("check_gate", body, { userID: "u-3" })).status).toBe(200);
  });

  test("at a name, which fails its call as a whole", async () => {
    api.configure({ trouble: refuseNames("bb", "dd") });
    expect((await askGates()).status).toBe(400);
    expect((await askGates(["aa", "cc"])).status).toBe(200);
  });

  test("at the calls that come from now on, until all is off", async () => {
    api.configure({ trouble: { kind: "error", status: 500 } });
    expect((await askGates()).status).toBe(500);
    api.configure({});
    expect((await askGates()).status).toBe(200);
  });
});

describe("events are received", () => {
  test.each<[Trouble, number]>([
    [{ kind: "error", status: 500 }, 0],
    [{ kind: "error", status: 500, taken: true }, 1],
    [{ kind: "html" }, 0],
    [{ kind: "half-answer" }, 1],
    [{ kind: "stray-answer" }, 1],
    [{ kind: "invalid-json" }, 1],
    [{ kind: "cut-off" }, 1],
    [{ kind: "cut-off", taken: false }, 0],
  ])("or not, with %j: %d", async (trouble, events) => {
    api.configure({ trouble });
    const response = await log();
    await response.text().catch(() => undefined);
    expect(api.stats).toMatchObject({ events, troubled: 1 });
    expect(api.stats.log).toHaveLength(events);
  });
});

describe("random trouble", () => {
  const call: FlagCall = { endpoint: "check_gate", names: ["aa"], user: USER, number: 1 };
  const draw = (seed: number, share: number, count = 2_000): readonly (Trouble | undefined)[] => {
    const choose = randomTrouble(seed, { share });
    return Array.from({ length: count }, () => choose(call));
  };

  test("is the same for the same seed only", () => {
    expect(draw(1, 0.3)).toEqual(draw(1, 0.3));
    expect(draw(1, 0.3)).not.toEqual(draw(2, 0.3));
  });

  test("has its share, and ends soon", () => {
    const struck = draw(1, 0.3).filter((trouble) => trouble !== undefined);
    expect(struck.length).toBeGreaterThan(500);
    expect(struck.length).toBeLessThan(700);
    const kinds = new Set(struck.map(({ kind }) => kind));
    const all = ["cut-off", "error", "half-answer", "html", "invalid-json", "stray-answer"];
    expect([...kinds].toSorted()).toEqual(all);
    expect(draw(1, 0).filter((trouble) => trouble !== undefined)).toEqual([]);
    expect(draw(1, 1)).not.toContain(undefined);
  });

  test("strikes the same calls whatever the share of the others is", () => {
    const few = draw(1, 0.1);
    const many = draw(1, 0.5);
    few.forEach((trouble, index) => {
      if (trouble !== undefined) expect(many[index]).toEqual(trouble);
    });
  });

  test("chooses from what it is given", async () => {
    const troubles: readonly Trouble[] = [{ kind: "error", status: 418 }];
    api.configure({ trouble: randomTrouble(1, { share: 1, troubles }) });
    expect((await askGates()).status).toBe(418);
    const none = randomTrouble(1, { share: 1, troubles: [] });
    expect(none(call)).toBeUndefined();
  });
});
