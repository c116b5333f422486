import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readUser } from "./statsig-user.ts";

/** What is refused, and how. */
const refusal = (user: unknown): unknown => {
  try {
    return readUser(user);
  } catch (error) {
    return error;
  }
};

const refuses = (user: unknown, message: string): void => {
  expect(refusal(user)).toMatchObject({
    code: "SLUICE_ERR_STATSIG_USER",
    disposition: "usage",
    message,
  });
};

const FIELDS =
  "userID, email, ip, userAgent, country, locale, appVersion, custom, privateAttributes, customIDs, statsigEnvironment";
const NEEDS_ID = "user must be a user with a userID, or with customIDs; received";

const FULL = {
  userID: "u-1",
  email: "a@example.com",
  ip: "192.0.2.7",
  userAgent: "agent",
  country: "NZ",
  locale: "en_NZ",
  appVersion: "1.2.3",
  custom: { plan: "pro", seats: [1, 2, { a: null }] },
  privateAttributes: { age: 33 },
  customIDs: { companyID: "c-1" },
  statsigEnvironment: { tier: "staging" },
};

describe("a user", () => {
  it("has the documented fields", () => {
    expect(JSON.parse(readUser(FULL))).toEqual(FULL);
    expect(readUser({ userID: "u" })).toBe('{"userID":"u"}');
  });

  it.each([
    ["null", null, "null"],
    ["undefined", undefined, "undefined"],
    ["a text", "u-1", '"u-1"'],
    ["a list", [{ userID: "u" }], '[{"userID":"u"}]'],
    ["a function", () => 0, "[function]"],
  ])("is no %s", (_name, user, received) => {
    refuses(user, `user must be an object; received ${received}`);
  });

  it("is a plain object", () => {
    class User {
      readonly userID = "u";
    }
    refuses(new User(), 'user must be JSON; received {"userID":"u"}');
    refuses(new Map([["userID", "u"]]), `${NEEDS_ID} []`);
  });

  it("needs a userID or customIDs", () => {
    refuses({}, `${NEEDS_ID} []`);
    refuses({ email: "a@b.c" }, `${NEEDS_ID} ["email"]`);
    refuses({ userID: undefined, customIDs: {} }, `${NEEDS_ID} ["userID","customIDs"]`);
    refuses({ customIDs: { a: undefined } }, `${NEEDS_ID} ["customIDs"]`);
    expect(readUser({ customIDs: { a: "1" } })).toBe('{"customIDs":{"a":"1"}}');
    expect(readUser({ userID: "u", customIDs: {} })).toBe('{"customIDs":{},"userID":"u"}');
  });

  it.each(["userId", "user_id", "Custom", "", "__proto__", "constructor", "toString"])(
    "has no field %j",
    (field) => {
      const user = JSON.parse(`{"userID":"u",${JSON.stringify(field)}:"x"}`) as unknown;
      refuses(user, `there is no "user.${field}"; there are ${FIELDS}`);
    },
  );

  it("may have fields that are undefined, at every depth: they are absent", () => {
    expect(readUser({ ...FULL, email: undefined, country: undefined })).not.toMatch(
      /email|country/,
    );
    const gaps = { userID: "u", other: undefined, custom: { a: undefined, b: { c: undefined } } };
    expect(readUser(gaps)).toBe('{"custom":{"b":{}},"userID":"u"}');
    expect(readUser({ userID: "u", statsigEnvironment: { tier: undefined } })).toBe(
      '{"statsigEnvironment":{},"userID":"u"}',
    );
  });

  it.each(Object.keys(FULL))("has no %s that is null", (field) => {
    expect(refusal({ ...FULL, [field]: null })).toMatchObject({
      code: "SLUICE_ERR_STATSIG_USER",
      message: expect.stringMatching(new RegExp(`^user\\.${field} must be .*; received null$`)),
    });
  });
});

describe("a text", () => {
  it.each([
    ["userID", 1, 100],
    ["ip", 7, 45],
    ["country", 2, 2],
  ])("%s has from %i to %i characters", (field, least, most) => {
    const rule = least === most ? `${most}` : `${least} to ${most}`;
    for (const length of [least, most]) {
      expect(readUser({ userID: "u", [field]: "x".repeat(length) })).toContain(
        `"${"x".repeat(length)}"`,
      );
    }
    for (const length of [0, least - 1, most + 1]) {
      const text = "x".repeat(length);
      const shown = length > 80 ? `${"x".repeat(80)}… (${length} long)` : text;
      refuses(
        { userID: "u", [field]: text },
        `user.${field} must be a string of ${rule} characters; received ${JSON.stringify(shown)}`,
      );
    }
  });

  it.each(["email", "userAgent", "locale", "appVersion"])(
    "%s may be as long as it likes",
    (field) => {
      for (const text of ["", "x".repeat(5_000)]) {
        expect(JSON.parse(readUser({ userID: "u", [field]: text }))).toHaveProperty(field, text);
      }
      refuses({ userID: "u", [field]: 7 }, `user.${field} must be a string; received 7`);
    },
  );

  it("is no number and no object", () => {
    refuses({ userID: 12 }, "user.userID must be a string of 1 to 100 characters; received 12");
    refuses(
      { userID: ["u"] },
      'user.userID must be a string of 1 to 100 characters; received ["u"]',
    );
  });

  it("is whole: a lone surrogate would be one with others", () => {
    refuses({ userID: "\ud800" }, String.raw`user.userID must be JSON; received "\ud800"`);
    refuses(
      { userID: "u", custom: { "\udfff": 1 } },
      String.raw`user.custom must be JSON; received "\udfff"`,
    );
  });
});

describe("what is an object", () => {
  it.each(["custom", "privateAttributes", "customIDs", "statsigEnvironment"])(
    "is one: %s",
    (field) => {
      for (const [value, received] of [
        [[], "[]"],
        ["text", '"text"'],
        [0, "0"],
      ] as const) {
        refuses(
          { userID: "u", [field]: value },
          `user.${field} must be an object; received ${received}`,
        );
      }
    },
  );

  it("customIDs are texts of 1 to 100 characters", () => {
    const rule = "must be a string of 1 to 100 characters; received";
    refuses({ customIDs: { a: "1", b: "" } }, `user.customIDs.b ${rule} ""`);
    refuses({ customIDs: { b: 5 } }, `user.customIDs.b ${rule} 5`);
    refuses(
      { customIDs: { b: "x".repeat(101) } },
      `user.customIDs.b ${rule} "${"x".repeat(80)}… (101 long)"`,
    );
    expect(readUser({ customIDs: { b: "x".repeat(100) } })).toContain("x".repeat(100));
    const long = `"user.customIDs.${"k".repeat(65)}… (1015 long)"`;
    refuses({ customIDs: { ["k".repeat(1_000)]: 1 } }, `${long} ${rule} 1`);
  });

  it("statsigEnvironment has a tier, and nothing else", () => {
    const environment = (statsigEnvironment: object) => ({ userID: "u", statsigEnvironment });
    refuses(
      environment({ tier: "" }),
      'user.statsigEnvironment.tier must be a string; received ""',
    );
    refuses(environment({ tier: 1 }), "user.statsigEnvironment.tier must be a string; received 1");
    refuses(
      environment({ tier: "a", stage: "b" }),
      'there is no "user.statsigEnvironment.stage"; there are tier',
    );
  });

  it("holds JSON: no Date, bigint, instance, NaN or cycle", () => {
    const custom = (a: unknown) => ({ userID: "u", custom: { a } });
    refuses(custom(new Date(3)), "user.custom.a must be JSON; received Date(3)");
    refuses(custom([1n]), "user.custom.a[0] must be JSON; received 1n");
    refuses(custom(new Set()), "user.custom.a must be JSON; received {}");
    refuses(custom(Number.NaN), "user.custom.a must be JSON; received NaN");
    refuses({ userID: "u", custom: new Date(3) }, "user.custom must be JSON; received Date(3)");
    const cycle: Record<string, unknown> = {};
    cycle["cycle"] = cycle;
    expect(refusal({ userID: "u", privateAttributes: cycle })).toMatchObject({
      code: "SLUICE_ERR_STATSIG_USER",
      message: expect.stringMatching(/^"user\.privateAttributes\.cycle\..* received \[object\]$/),
    });
  });
});

describe("the canonical text", () => {
  it("is the same in whichever order fields stand, at every depth", () => {
    const reversed = (value: unknown): unknown =>
      typeof value !== "object" || value === null || Array.isArray(value)
        ? value
        : Object.fromEntries(
            Object.entries(value)
              .toReversed()
              .map(([name, field]) => [name, reversed(field)]),
          );
    const user = { ...FULL, custom: { b: { d: 1, c: 2 }, a: [{ y: 1, x: 2 }] } };
    const other = { ...user, custom: { a: [{ x: 2, y: 1 }], b: { c: 2, d: 1 } } };
    expect(readUser(other)).toBe(readUser(user));
    expect(readUser(reversed(user))).toBe(readUser(user));
  });

  it.each(Object.keys(FULL))("differs where %s does, or is not there", (field) => {
    const other = {
      ...FULL,
      custom: { ...FULL.custom, plan: "free" },
      privateAttributes: { age: 34 },
      customIDs: { companyID: "c-2" },
      statsigEnvironment: { tier: "production" },
    };
    const value = other[field as keyof typeof other];
    const changed = typeof value === "string" ? value.replace(/.$/, "Q") : value;
    expect(readUser({ ...FULL, [field]: changed })).not.toBe(readUser(FULL));
    expect(readUser({ ...FULL, [field]: undefined })).not.toBe(readUser(FULL));
  });

  it("says where a field ends: ab and c are not a and bc", () => {
    const texts = [
      { userID: "ab", email: "c" },
      { userID: "a", email: "bc" },
      { userID: "a", email: "b", locale: "c" },
      { userID: "abc" },
      { userID: 'a","email":"bc' },
      { customIDs: { ab: "c" } },
      { customIDs: { a: "bc" } },
      { customIDs: { a: "b", c: "c" } },
      { userID: "u", custom: { a: ["b", "c"] } },
      { userID: "u", custom: { a: ["b,c"] } },
      { userID: "u", custom: { a: '["b","c"]' } },
      { userID: "u", custom: { a: "b", c: "d" } },
      { userID: "u", custom: { a: "b" }, privateAttributes: { c: "d" } },
    ].map(readUser);
    expect(new Set(texts).size).toBe(texts.length);
  });

  it("tells types apart, and takes numbers as JSON does", () => {
    const values = [0, 1, 1e21, 1e-7, "0", "1", "1e+21", null, false, "false", true, [], {}, ""];
    const text = (a: unknown): string => readUser({ userID: "u", custom: { a } });
    expect(new Set(values.map(text)).size).toBe(values.length);
    expect(text(-0)).toBe(text(0));
    expect(text(1e21)).toBe('{"custom":{"a":1e+21},"userID":"u"}');
    expect(text(100)).toBe(text(1e2));
  });

  it("has `__proto__` like every other name", () => {
    const custom = (json: string): unknown => ({ userID: "u", custom: JSON.parse(json) });
    const text = readUser(custom('{"__proto__":{"admin":true}}'));
    expect(text).toBe('{"custom":{"__proto__":{"admin":true}},"userID":"u"}');
    expect(text).not.toBe(readUser(custom("{}")));
    const ids = JSON.parse('{"customIDs":{"__proto__":"x"}}') as unknown;
    expect(readUser(ids)).toBe('{"customIDs":{"__proto__":"x"}}');
  });

  const names = fc.constantFrom("a", "b", "ab", "__proto__");
  const short = fc.constantFrom("a", "b", "ab", "c", "bc", '"', "{}");
  const attributes = fc.dictionary(
    names,
    fc.oneof(short, fc.constantFrom<unknown>(0, 1, null, true, [], {}, ["a"], { a: "b" })),
    { maxKeys: 3 },
  );
  const users = fc.record(
    {
      userID: short,
      email: short,
      ip: fc.constantFrom("1.2.3.4", "1.2.3.5"),
      userAgent: short,
      country: fc.constantFrom("NZ", "AU"),
      locale: short,
      appVersion: short,
      custom: attributes,
      privateAttributes: attributes,
      customIDs: fc.dictionary(names, short, { maxKeys: 2 }),
      statsigEnvironment: fc.record({ tier: short }, { requiredKeys: [] }),
    },
    { requiredKeys: ["userID"] },
  );
  /** Two that are the same but for one field, or for none; the second has its fields elsewhere. */
  const pairs = fc
    .tuple(users, users, fc.constantFrom("", ...Object.keys(FULL)))
    .map(([one, third, field]) => {
      const other = Object.entries({ ...third, ...one }).filter(([name]) =>
        Object.hasOwn(name === field ? third : one, name),
      );
      const mixed = other.map(([name, value]) => [
        name,
        name === field ? third[name as keyof typeof third] : value,
      ]);
      return [one, Object.fromEntries(mixed) as unknown] as const;
    });

  it("is equal for users that are deeply equal, and for no others", () => {
    let equal = 0;
    fc.assert(
      fc.property(fc.oneof(pairs, fc.tuple(users, users)), ([a, b]) => {
        const [one, other] = [JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))];
        const same = isDeepStrictEqual(one, other);
        if (same) equal += 1;
        return (readUser(a) === readUser(b)) === same;
      }),
      { numRuns: 2_000, seed: 7 },
    );
    expect(equal).toBeGreaterThan(20);
  });
});
