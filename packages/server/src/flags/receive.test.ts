import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type FlagApi, startFlagApi } from "./flag-api.ts";

const KEY = "secret-test";
const USER = { userID: "u-1" };
const HEADERS = {
  "content-type": "application/json",
  "statsig-api-key": KEY,
  "statsig-client-time": "1746230400000",
};

let api: FlagApi;
beforeAll(async () => {
  api = await startFlagApi({ seed: 1, apiKey: KEY });
});
afterAll(() => api.close());

interface Sent {
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly body: unknown;
}

/** Sends a request and answers its status and what the error says. */
async function outcome({ path = "check_gate", body, ...init }: Sent): Promise<string> {
  const response = await fetch(`${api.url}/v1/${path}`, {
    method: "POST",
    headers: HEADERS,
    ...init,
    ...(init.method === "GET" ? {} : { body: textOf(body) }),
  });
  const answer = (await response.json()) as { readonly message?: string };
  return `${response.status} ${answer.message ?? ""}`.trim();
}

function textOf(body: unknown): string | Uint8Array {
  return typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
}

function without(name: keyof typeof HEADERS): Record<string, string> {
  return Object.fromEntries(Object.entries(HEADERS).filter(([key]) => key !== name));
}

const GATE = { gateName: "aa", user: USER };
const LOG = { events: [{ eventName: "e" }] };

describe("a request is refused", () => {
  test.each<[string, string | RegExp, Sent]>([
    ["without a key", /^401 statsig-api-key/, { headers: without("statsig-api-key"), body: GATE }],
    ["with a wrong key", /^401/, { headers: { ...HEADERS, "statsig-api-key": "x" }, body: GATE }],
    ["at an unknown path", "404 there is no /v1/check_gates", { path: "check_gates", body: GATE }],
    ["below a known path", /^404/, { path: "check_gate/", body: GATE }],
    ["as GET", "405 GET is not allowed, only POST", { method: "GET", body: undefined }],
    ["as PUT", /^405/, { method: "PUT", body: GATE }],
    ["as text", /^400 content-type/, { headers: without("content-type"), body: GATE }],
    ["with bad JSON", "400 the body is no JSON", { body: "{" }],
    ["with no body", "400 the body is no JSON", { body: "" }],
    ["with bad UTF-8", "400 the body is no UTF-8", { body: Uint8Array.of(0x22, 0xff, 0x22) }],
    ["with a list", "400 the body must be an object", { body: [GATE] }],
    ["with null", "400 the body must be an object", { body: null }],
  ])("%s", async (_what, expected, sent) => {
    expect(await outcome(sent)).toMatch(expected);
  });

  test.each<[string, unknown, object]>([
    ["no user", undefined, {}],
    ["a user that is a list", [], {}],
    ["a user without ids", { email: "a@example.com" }, {}],
    ["an empty userID", { userID: "" }, {}],
    ["a userID that is a number", { userID: 7, customIDs: { a: "b" } }, {}],
    ["customIDs without any", { customIDs: {} }, {}],
    ["customIDs that are empty", { customIDs: { a: "" } }, {}],
    ["customIDs that are text", { userID: "a", customIDs: "b" }, {}],
    ["custom that is text", { userID: "a", custom: "b" }, {}],
    ["statsigMetadata that is text", USER, { statsigMetadata: "b" }],
  ])("with %s", async (_what, user, more) => {
    expect(await outcome({ body: { ...GATE, user, ...more } })).toMatch(/^400 (user|statsigM)/);
    const config = { configName: "aa", user, ...more };
    expect(await outcome({ path: "get_config", body: config })).toMatch(/^400 (user|statsigM)/);
  });

  test.each<[string, object]>([
    ["no name", {}],
    ["a name of one character", { gateName: "a" }],
    ["a name of 101 characters", { gateName: "a".repeat(101) }],
    ["a name that is a number", { gateName: 12 }],
    ["a name and a list", { gateName: "aa", gateNames: ["aa"] }],
    ["an empty list", { gateNames: [] }],
    ["101 names", { gateNames: Array.from({ length: 101 }, (_, index) => `gate_${index}`) }],
    ["a bad name in a list", { gateNames: ["aa", "b"] }],
    ["a list that is none", { gateNames: { 0: "aa" } }],
  ])("check_gate with %s", async (_what, body) => {
    expect(await outcome({ body: { ...body, user: USER } })).toMatch(/^400 gateName/);
  });

  test.each<[string, unknown]>([
    ["none", undefined],
    ["one character", "a"],
    ["101 characters", "a".repeat(101)],
    ["another character", "a/b"],
    ["a line feed at its end", "ab\n"],
  ])("get_config with a name of %s", async (_what, configName) => {
    const body = { configName, user: USER };
    expect(await outcome({ path: "get_config", body })).toMatch(/^400 configName/);
  });

  test.each<[string, RegExp, unknown]>([
    ["no events", /^400 events must/, {}],
    ["an empty list", /^400 events must/, { events: [] }],
    ["an event that is text", /^400 events\[1\] must/, { events: [{ eventName: "e" }, "e"] }],
    ["no eventName", /^400 events\[0\]\.eventName/, { events: [{}] }],
    ["an empty eventName", /^400 events\[0\]\.eventName/, { events: [{ eventName: "" }] }],
    ["a bad value", /^400 events\[0\]\.value/, { events: [{ eventName: "e", value: {} }] }],
    ["a bad time", /^400 events\[0\]\.time/, { events: [{ eventName: "e", time: "now" }] }],
    ["bad metadata", /^400 events\[0\]\.metadata/, { events: [{ eventName: "e", metadata: 1 }] }],
    ["a bad user", /^400 events\[0\]\.user/, { events: [{ eventName: "e", user: {} }] }],
    ["a bad user of the call", /^400 user/, { ...LOG, user: {} }],
  ])("log_event with %s", async (_what, expected, body) => {
    expect(await outcome({ path: "log_event", body })).toMatch(expected);
  });

  test.each(["", "now", "1.5", "-1"])("log_event with the client's time %j", async (time) => {
    const headers = { ...HEADERS, "statsig-client-time": time };
    const expected = "400 STATSIG-CLIENT-TIME must be a time in milliseconds";
    expect(await outcome({ path: "log_event", headers, body: LOG })).toBe(expected);
  });

  test("log_event without the client's time", async () => {
    const headers = without("statsig-client-time");
    expect(await outcome({ path: "log_event", headers, body: LOG })).toMatch(/^400 STATSIG/);
  });
});

describe("a request at the limit is answered", () => {
  test("100 names, of 2 and of 100 characters", async () => {
    const gateNames = Array.from({ length: 100 }, (_, index) => `gate_${index}`);
    gateNames.splice(0, 2, "aa", "b".repeat(100));
    expect(await outcome({ body: { gateNames, user: USER } })).toBe("200");
  });

  test("a user with customIDs alone", async () => {
    const user = { userID: "", customIDs: { a: "b" } };
    expect(await outcome({ body: { gateName: "aa", user } })).toBe("200");
  });

  test("5 MiB, and not a byte more", async () => {
    const size = 5 * 1024 * 1024;
    const text = JSON.stringify(GATE).padEnd(size, " ");
    expect(await outcome({ body: text })).toBe("200");
    const expected = `413 the body has ${size + 1} bytes, more than ${size}`;
    expect(await outcome({ body: `${text} ` })).toBe(expected);
  });

  test("with a query and with a charset", async () => {
    const headers = { ...HEADERS, "content-type": "application/json; charset=utf-8" };
    expect(await outcome({ path: "check_gate?k=1", headers, body: GATE })).toBe("200");
  });
});

test("a 405 tells what is allowed, and refused requests count as nothing else", async () => {
  const { refused, calls } = structuredClone(api.stats);
  const response = await fetch(`${api.url}/v1/log_event`);
  expect(response.headers.get("allow")).toBe("POST");
  expect(api.stats).toMatchObject({ refused: refused + 1, calls, events: 0, inFlight: 0 });
});
