/** What the client refuses before it asks anybody: names, users and events. */
import { describe, expect, it } from "vitest";
import { manualClock } from "../testing/index.ts";
import { createStatsigClient, type StatsigClient, type StatsigEvent } from "./statsig.ts";

const USER = { userID: "u" };

/** A client that notes the events it sends, and answers every gate with true and every config with 7. */
function opened() {
  const clock = manualClock();
  const calls: string[] = [];
  const sent: object[] = [];
  const client = createStatsigClient({
    apiKey: "secret-canary",
    clock,
    random: () => 0,
    fetch: async (url, { body = "" }) => {
      calls.push(new URL(url).pathname);
      const { gateNames, configName, events } = JSON.parse(body) as {
        readonly gateNames?: readonly string[];
        readonly configName?: string;
        readonly events?: readonly object[];
      };
      sent.push(...(events ?? []));
      if (configName !== undefined) return Response.json({ value: 7 });
      return Response.json(
        Object.fromEntries((gateNames ?? []).map((name) => [name, { value: true }])),
      );
    },
  });
  const logged = async (event: object): Promise<unknown> => {
    await client.logEvent(event as StatsigEvent);
    await client.flush();
    return sent.at(-1);
  };
  return { client, clock, calls, sent, logged };
}

const refused = async (code: string, message: string, promise: Promise<unknown>): Promise<void> => {
  await expect(promise).rejects.toMatchObject({ code, disposition: "usage", message });
};

/** The methods that take a name, or a list of names. */
const gates = ["checkGate", "getGateEvaluation", "checkGates"] as const;
const configs = ["getConfig", "getConfigEvaluation", "getConfigs"] as const;
const ask = (
  client: StatsigClient,
  method: (typeof gates | typeof configs)[number],
  name: unknown,
  user: object = USER,
): Promise<unknown> => {
  const names = method === "checkGates" || method === "getConfigs" ? ["other", name] : name;
  return client[method](names as never, user);
};

const LONG = "x".repeat(101);
const SHOWN = `"${"x".repeat(80)}… (101 long)"`;

describe("a name", () => {
  it.each<[unknown, string]>([
    ["", '""'],
    ["a", '"a"'],
    [LONG, SHOWN],
    [undefined, "undefined"],
    [null, "null"],
    [12, "12"],
    [["aa"], '["aa"]'],
  ])("%j is refused, by every method, before anything is asked", async (name, received) => {
    const { client, calls } = opened();
    const [gate, config] = ["characters", "letters, digits, blanks and _-."].map(
      (characters) => `must have 2 to 100 ${characters}; received ${received}`,
    );
    const code = "SLUICE_ERR_STATSIG_NAME";
    for (const method of gates)
      await refused(code, `the name of a gate ${gate}`, ask(client, method, name));
    for (const method of configs)
      await refused(code, `the name of a config ${config}`, ask(client, method, name));
    expect(calls).toEqual([]);
  });

  it("of 2 and of 100 characters is one", async () => {
    const { client } = opened();
    for (const name of ["ab", "x".repeat(100)]) {
      expect(await client.checkGate(name, USER)).toBe(true);
      expect(await client.getConfig(name, USER)).toBe(7);
    }
  });

  it("of a gate may have any characters, of a config only some", async () => {
    const { client } = opened();
    for (const name of ["a/b", "ü.ü", "a\n", "黄色", '"}', "__proto__"]) {
      expect(await client.checkGate(name, USER)).toBe(true);
      if (name === "__proto__") continue;
      const rule = "the name of a config must have 2 to 100 letters, digits, blanks and _-.";
      const message = `${rule}; received ${JSON.stringify(name)}`;
      await refused("SLUICE_ERR_STATSIG_NAME", message, client.getConfig(name, USER));
    }
    for (const name of ["A b-c_d.9", "__proto__"])
      expect(await client.getConfig(name, USER)).toBe(7);
    const message = String.raw`the name of a gate must have 2 to 100 characters; received "a\ud800"`;
    await refused("SLUICE_ERR_STATSIG_NAME", message, client.checkGate("a\ud800", USER));
  });

  it("is in a list, where there are several", async () => {
    const { client } = opened();
    for (const [kind, method] of [
      ["gate", "checkGates"],
      ["config", "getConfigs"],
    ] as const) {
      const message = `the names of ${kind}s must be a list; received "ab"`;
      await refused("SLUICE_ERR_STATSIG_NAME", message, client[method]("ab" as never, USER));
      await expect(client[method](Array(2), USER)).rejects.toMatchObject({
        code: "SLUICE_ERR_STATSIG_NAME",
      });
    }
  });

  it("is asked once, however often it is in the list; answers have the order of the list", async () => {
    const { client, calls } = opened();
    expect(await client.checkGates(["bb", "aa", "bb", "aa"], USER)).toEqual(
      new Map([
        ["bb", true],
        ["aa", true],
      ]),
    );
    expect([...(await client.getConfigs(["dd", "cc", "dd"], USER))]).toEqual([
      ["dd", 7],
      ["cc", 7],
    ]);
    expect(calls).toEqual(["/v1/check_gate", "/v1/get_config", "/v1/get_config"]);
    expect(client.stats().evaluations).toMatchObject({ loads: 4 });
    expect(await client.checkGates([], USER)).toEqual(new Map());
    expect(calls).toHaveLength(3);
  });
});

it("a user that is none is refused by every method, and costs no call", async () => {
  const { client, calls } = opened();
  const code = "SLUICE_ERR_STATSIG_USER";
  const message = 'user must be a user with a userID, or with customIDs; received ["email"]';
  for (const method of [...gates, ...configs])
    await refused(code, message, ask(client, method, "name", { email: "a@b.c" }));
  await refused(code, message, client.checkGates([], { email: "a@b.c" }));
  await refused(code, message, client.logEvent({ eventName: "e", user: { email: "a@b.c" } }));
  expect(calls).toEqual([]);
});

describe("an event", () => {
  it.each<[string, unknown, string]>([
    ["null", null, "an event must be an object; received null"],
    ["a text", "e", 'an event must be an object; received "e"'],
    ["a list", [], "an event must be an object; received []"],
    [
      "one with another field",
      { eventName: "e", user: USER, name: 1 },
      'the fields of an event must be among eventName, user, value, metadata, time; received "name"',
    ],
    [
      "one without a name",
      { user: USER },
      "eventName must be a string of 1 to 256 characters; received undefined",
    ],
    [
      "one with an empty name",
      { eventName: "", user: USER },
      'eventName must be a string of 1 to 256 characters; received ""',
    ],
    [
      "one with too long a name",
      { eventName: "x".repeat(257), user: USER },
      `eventName must be a string of 1 to 256 characters; received "${"x".repeat(80)}… (257 long)"`,
    ],
    [
      "one whose value is an object",
      { eventName: "e", user: USER, value: { a: 1 } },
      'value must be a string or a finite number; received {"a":1}',
    ],
    [
      "one whose value is NaN",
      { eventName: "e", user: USER, value: Number.NaN },
      "value must be a string or a finite number; received NaN",
    ],
    [
      "one whose value is a bigint",
      { eventName: "e", user: USER, value: 1n },
      "value must be a string or a finite number; received 1n",
    ],
    [
      "one whose metadata is a list",
      { eventName: "e", user: USER, metadata: [1] },
      "metadata must be an object; received [1]",
    ],
    [
      "one whose metadata is no JSON",
      { eventName: "e", user: USER, metadata: { a: 1n } },
      "metadata must be JSON; received [object]",
    ],
    [
      "one at an invalid date",
      { eventName: "e", user: USER, time: new Date(Number.NaN) },
      "time must be a Date or epoch milliseconds; received Date(NaN)",
    ],
    [
      "one at a text",
      { eventName: "e", user: USER, time: "2026-01-01" },
      'time must be a Date or epoch milliseconds; received "2026-01-01"',
    ],
  ])("is no %s", async (_name, event, message) => {
    const { client } = opened();
    const code = "SLUICE_ERR_STATSIG_EVENT";
    await refused(code, `logEvent: ${message}`, client.logEvent(event as StatsigEvent));
    const several = [{ eventName: "good", user: USER }, event] as readonly StatsigEvent[];
    await refused(code, `logEvent: ${message}`, client.logEvents(several));
    expect(client.stats().events).toMatchObject({ accepted: 0 });
  });

  it("has its own user, checked like every other", async () => {
    const { client } = opened();
    await refused(
      "SLUICE_ERR_STATSIG_USER",
      "user must be an object; received undefined",
      client.logEvent({ eventName: "e" } as StatsigEvent),
    );
    await refused(
      "SLUICE_ERR_STATSIG_USER",
      'user.country must be a string of 2 characters; received "NZL"',
      client.logEvent({ eventName: "e", user: { userID: "u", country: "NZL" } }),
    );
  });

  it("has a time: a Date, epoch milliseconds, or when it is logged", async () => {
    const { clock, logged } = opened();
    const at = (time: unknown): Promise<unknown> => logged({ eventName: "e", user: USER, time });
    expect(await at(new Date(1_234))).toMatchObject({ time: 1_234 });
    expect(await at(1_234.9)).toMatchObject({ time: 1_234 });
    expect(await at(0)).toMatchObject({ time: 0 });
    await clock.advance(5);
    expect(await at(undefined)).toMatchObject({ time: clock.epochMs() });
  });

  it("has a value and metadata where it is given them", async () => {
    const { logged } = opened();
    const time = 1;
    const event = { eventName: "x".repeat(256), user: USER, time };
    expect(await logged({ ...event, value: undefined, metadata: undefined })).toEqual(event);
    for (const value of ["", "text", 0, -1.5]) {
      expect(await logged({ ...event, value })).toEqual({ ...event, value });
    }
    const metadata = JSON.parse('{"b":{"d":[null]},"__proto__":"x"}') as object;
    expect(await logged({ ...event, metadata: { ...metadata, gone: undefined } })).toEqual({
      ...event,
      metadata,
    });
  });

  it("is in a list with at least one, and no holes", async () => {
    const { client, sent } = opened();
    for (const [events, received] of [
      [[], "[]"],
      [{ eventName: "e", user: USER }, '{"eventName":"e","user":{"userID":"u"}}'],
      [undefined, "undefined"],
    ] as const) {
      const message = `logEvent: events must be a list with at least one; received ${received}`;
      await refused("SLUICE_ERR_STATSIG_EVENT", message, client.logEvents(events as never));
    }
    await refused(
      "SLUICE_ERR_STATSIG_EVENT",
      "logEvent: an event must be an object; received undefined",
      client.logEvents(Array(2)),
    );
    await client.flush();
    expect(sent).toEqual([]);
  });
});
