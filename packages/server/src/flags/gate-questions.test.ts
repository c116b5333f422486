import { describe, expect, test } from "vitest";
import { agentIdOf } from "../traffic/agent-id.ts";
import { generateTraffic } from "../traffic/generate.ts";
import type { TrafficRequest } from "../traffic/request.ts";
import { GATES, gatesOf, gateUserOf } from "./gate-questions.ts";

const REQUEST: TrafficRequest = {
  client: "192.0.2.1",
  at: 0,
  method: "GET",
  target: "/a/b?c",
  status: 200,
  bytes: 0,
  referrer: "",
  userAgent: "curl/8.11.0",
};
const TRAFFIC = [...generateTraffic({ seed: 3, events: 5_000 })];

describe("the user of a request", () => {
  test("is its client, with what can be told of it", () => {
    expect(gateUserOf(REQUEST)).toEqual({
      userID: "192.0.2.1",
      custom: { agent: "tool", deletes: false },
    });
    expect(gateUserOf({ ...REQUEST, method: "DELETE" }).custom.deletes).toBe(true);
  });

  test.each([
    ["", "none"],
    ["Mozilla/5.0 (compatible; ExampleBot/2.1)", "bot"],
    ["Mozilla/5.0 (iPhone) Version/18.1 Mobile/15E148", "mobile"],
    ["Mozilla/5.0 (X11; Linux x86_64) Firefox/133.0", "desktop"],
    ["\ud800 anything", "tool"],
  ])("with the user agent %j is of the kind %s", (userAgent, agent) => {
    expect(gateUserOf({ ...REQUEST, userAgent }).custom.agent).toBe(agent);
  });

  test.each(["2001:db8::1", "::1", "é黄🦥", "x".repeat(100), "__proto__"])(
    "has the name %j as its id",
    (client) => expect(gateUserOf({ ...REQUEST, client }).userID).toBe(client),
  );

  test("has an id of its own where the name is too long or empty", () => {
    const long = `${"🦥".repeat(50)}x`;
    const ids = [long, `${long}y`, ""].map((client) => gateUserOf({ ...REQUEST, client }).userID);
    expect(ids).toEqual([agentIdOf(long), agentIdOf(`${long}y`), agentIdOf("")]);
    expect(new Set(ids.map((id) => id.length))).toEqual(new Set([36]));
  });

  test("is one of a few per client", () => {
    const users = new Map<string, Set<string>>();
    for (const request of TRAFFIC) {
      const known = users.get(request.client) ?? new Set();
      users.set(request.client, known.add(JSON.stringify(gateUserOf(request))));
    }
    const counts = [...users.values()].map(({ size }) => size);
    expect(new Set(counts)).toEqual(new Set([1, 2]));
  });
});

describe("the gates of a request", () => {
  test("follow from its table and its method alone", () => {
    const gates = gatesOf(REQUEST);
    expect(gatesOf({ ...REQUEST, client: "c", target: "/a/x", status: 404 })).toEqual(gates);
    const by = (other: Partial<TrafficRequest>) => gatesOf({ ...REQUEST, ...other });
    expect(new Set(["/a", "/b", "/c"].map((target) => by({ target })[0])).size).toBe(3);
    const methods = ["GET", "HEAD", "POST"].map((method) => by({ method }));
    expect(new Set(methods.map(([first]) => first)).size).toBe(1);
    expect(new Set(methods.map(([, second]) => second)).size).toBeGreaterThan(1);
  });

  test("are two that exist, and a client asks several", () => {
    const asked = new Map<string, Set<string>>();
    for (const request of TRAFFIC) {
      const gates = gatesOf(request);
      expect(new Set(gates).size).toBe(2);
      const known = asked.get(request.client) ?? new Set();
      for (const gate of gates) known.add(gate);
      asked.set(request.client, known);
    }
    const names = new Set([...asked.values()].flatMap((gates) => [...gates]));
    expect(names).toEqual(new Set(GATES));
    const sizes = [...asked.values()].map(({ size }) => size);
    expect(Math.max(...sizes)).toBe(GATES.length);
    expect(Math.min(...sizes)).toBeGreaterThan(1);
  });
});
