import { describe, expect, test } from "vitest";
import { configValue, gateValue } from "./rules.ts";

const SEED = 7;
const USER = {
  userID: "u-1",
  email: "a@example.com",
  ip: "10.0.0.1",
  userAgent: "Mozilla/5.0",
  country: "DE",
  locale: "de_DE",
  appVersion: "2.4.1",
  custom: { plan: "pro", age: 45, beta: true, tags: ["a", "b"] },
  privateAttributes: { internal: "12345" },
  customIDs: { companyID: "company-456", deviceID: "device-789" },
  statsigEnvironment: { tier: "production" },
};

const GATES = Array.from({ length: 64 }, (_, index) => `gate_${index}`);

function gatesOf(user: object, seed = SEED): readonly boolean[] {
  return GATES.map((name) => gateValue(seed, name, user).value);
}

function rulesOf(user: object): readonly string[] {
  return GATES.map((name) => gateValue(SEED, name, user).rule_id);
}

function configsOf(user: object, seed = SEED): readonly unknown[] {
  return GATES.map((name) => configValue(seed, name, user));
}

/** The same value with the keys of every object the other way round. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
}

/** How many elements two lists have that differ. */
function differences(left: readonly unknown[], right: readonly unknown[]): number {
  return left.filter((element, index) => element !== right[index]).length;
}

test("the same question has the same answer, whatever was asked in between", () => {
  const before = [gatesOf(USER), configsOf(USER)];
  gatesOf({ userID: "somebody else" });
  expect([gatesOf(USER), configsOf(USER)]).toEqual(before);
});

test("the answers of a seed stay the same from version to version", () => {
  expect(gateValue(1, "new_checkout", USER)).toMatchInlineSnapshot(`
    {
      "group_name": "Countries CA, CH, DE, FR",
      "rule_id": "country_CA_CH_DE_FR",
      "value": true,
    }
  `);
  expect(configValue(1, "layout", USER)).toMatchInlineSnapshot(`
    {
      "group_name": "Control",
      "rule_id": "control_1",
      "value": {
        "enabled": true,
        "limit": 7895,
        "ratio": 0.94,
        "theme": {
          "colour": "黄",
          "sizes": [
            8,
            6,
          ],
        },
        "title": "grün 85",
      },
    }
  `);
});

test("the order of keys does not matter, at any depth", () => {
  const other = reversed(USER) as object;
  expect(Object.keys(other)).not.toEqual(Object.keys(USER));
  expect(gatesOf(other)).toEqual(gatesOf(USER));
  expect(configsOf(other)).toEqual(configsOf(USER));
});

test("a user is the same before and after the wire", () => {
  const user = {
    ...USER,
    email: undefined,
    custom: { since: new Date(0), zero: -0, no: undefined },
  };
  const received = JSON.parse(JSON.stringify(user)) as object;
  expect(gatesOf(received)).toEqual(gatesOf(user));
  expect(rulesOf(received)).toEqual(rulesOf(user));
  expect(configsOf(received)).toEqual(configsOf(user));
});

describe("every attribute matters", () => {
  test.each<[string, object]>([
    ["userID", { userID: "u-2" }],
    ["email", { email: "b@example.com" }],
    ["ip", { ip: "10.0.0.2" }],
    ["userAgent", { userAgent: "Mozilla/6.0" }],
    ["country", { country: "CH" }],
    ["locale", { locale: "de_CH" }],
    ["appVersion", { appVersion: "2.4.2" }],
    ["one custom attribute", { custom: { ...USER.custom, plan: "free" } }],
    ["the type of a custom attribute", { custom: { ...USER.custom, age: "45" } }],
    ["the order of a list", { custom: { ...USER.custom, tags: ["b", "a"] } }],
    ["an attribute that is null", { custom: { ...USER.custom, more: null } }],
    ["an attribute named __proto__", { custom: JSON.parse('{"__proto__":1}') as object }],
    ["a private attribute", { privateAttributes: { internal: "12346" } }],
    ["a custom id", { customIDs: { ...USER.customIDs, deviceID: "device-790" } }],
    ["the environment", { statsigEnvironment: { tier: "staging" } }],
  ])("%s", (_what, change) => {
    const other = { ...USER, ...change };
    // 64 even draws, by four standard deviations to either side.
    expect(differences(gatesOf(USER), gatesOf(other))).toBeGreaterThanOrEqual(16);
    expect(differences(gatesOf(USER), gatesOf(other))).toBeLessThanOrEqual(48);
    for (const name of GATES) {
      expect(configValue(SEED, name, other).value).not.toEqual(configValue(SEED, name, USER).value);
    }
  });

  test("an attribute counts as another where it has another place", () => {
    const inside = { userID: "u", custom: { country: "DE" } };
    const outside = { userID: "u", country: "DE" };
    expect(gatesOf(inside)).not.toEqual(gatesOf(outside));
  });
});

test("seed and name matter", () => {
  expect(gatesOf(USER, 8)).not.toEqual(gatesOf(USER));
  expect(configsOf(USER, 8)).not.toEqual(configsOf(USER));
  expect(new Set(gatesOf(USER)).size).toBe(2);
  expect(configValue(SEED, "ab", USER).value).not.toEqual(configValue(SEED, "ac", USER).value);
});

test.each(GATES.slice(0, 12))("about half of 1,000 users have the gate %s", (name) => {
  let open = 0;
  for (let id = 0; id < 1_000; id += 1) {
    if (gateValue(SEED, name, { userID: `user-${id}` }).value) open += 1;
  }
  expect(open).toBeGreaterThan(400);
  expect(open).toBeLessThan(600);
});

describe("the rule of a gate looks at the user", () => {
  const kinds = new Set(
    rulesOf({ userID: "u" }).concat(
      ["AT", "DE", "JP", "US"].flatMap((country) => rulesOf({ userID: "u", country })),
      rulesOf({ userID: "u", appVersion: "9.0" }),
      rulesOf({ userID: "u", custom: { beta: 1, company: 1, plan: 1, team: 1 } }),
    ),
  );

  test.each(["user_share", "country", "custom", "app_version", "default"])("%s", (kind) => {
    expect([...kinds].filter((id) => id.startsWith(kind))).not.toEqual([]);
  });

  test("a version is compared by its numbers", () => {
    const least = [...kinds].find((id) => id.startsWith("app_version")) ?? "";
    const name = GATES[rulesOf({ userID: "u", appVersion: "9.0" }).indexOf(least)] ?? "";
    const [major, minor] = least.split("_").slice(2).map(Number);
    const ruleAt = (appVersion: unknown): string =>
      gateValue(SEED, name, { userID: "u", appVersion }).rule_id;
    expect(ruleAt(`${major}.${minor}`)).toBe(least);
    expect(ruleAt(`${major}.1${minor}.0`)).toBe(least);
    expect(ruleAt("10")).toBe(least);
    expect(ruleAt("0.99")).toBe("default");
    expect(ruleAt("latest")).toBe("default");
    expect(ruleAt(undefined)).toBe("default");
  });

  test("a gate that is closed names no group, an open one does", () => {
    for (const name of GATES) {
      const { value, group_name } = gateValue(SEED, name, USER);
      expect(group_name === null).toBe(!value);
    }
  });
});
