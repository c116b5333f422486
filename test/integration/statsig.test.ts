/** `sluice/statsig`: gates and configs of a flag API that is well. */
import { manualClock } from "sluice/testing";
import { describe, expect, it } from "vitest";
import { configValue, gateValue } from "../../packages/server/src/flags/rules.ts";
import { holder, names, opened, SEED, truth } from "./statsig-client.ts";

const USER = { userID: "u-1", country: "NZ", custom: { plan: "pro", team: "blue" } };

const truths = (gates: readonly string[], user: object): Map<string, boolean> =>
  new Map(gates.map((gate) => [gate, truth(gate, user)]));

describe("10,000 concurrent checks by 100 users over 50 gates", () => {
  const gates = names(50);
  const users = Array.from({ length: 100 }, (_, n) => ({
    userID: `u-${n % 20}`,
    custom: { group: n, plan: n % 2 === 0 ? "pro" : "free" },
    customIDs: { company: "c" },
  }));
  const checks = Array.from({ length: 10_000 }, (_, n) => ({
    gate: gates[(n * 31 + (n >> 7)) % 50] ?? "",
    user: users[n % 100] as (typeof users)[number],
  }));
  const right = checks.map(({ gate, user }) => truth(gate, user));
  const pairs = new Set(checks.map(({ gate, user }) => `${gate} ${JSON.stringify(user)}`)).size;

  it("each get their right answer by a call for each user, in which no name is twice", async () => {
    const { api, client } = await opened();
    const answers = await Promise.all(
      checks.map(({ gate, user }, n) => {
        const { userID, custom, customIDs } = user;
        const { group, plan } = custom;
        // An object of its own for each caller, with its fields in this order or that.
        return client.checkGate(
          gate,
          n % 2 === 0
            ? { userID, custom: { group, plan }, customIDs: { ...customIDs } }
            : { customIDs: { ...customIDs }, custom: { plan, group }, userID },
        );
      }),
    );
    expect(answers).toEqual(right);
    expect(api.stats).toMatchObject({
      calls: { check_gate: 100, get_config: 0 },
      users: 100,
      names: pairs,
      duplicateNames: 0,
      refused: 0,
    });
    expect(api.stats.largestCall).toBeLessThanOrEqual(50);
    expect(api.stats.peakInFlight).toBeLessThanOrEqual(16);
    expect(client.stats().evaluations).toMatchObject({
      loads: 10_000,
      answered: 10_000,
      calls: 100,
    });
  });

  it("take as many calls again in the next window without a cache, and none with one", async () => {
    for (const [cacheMaxEntries, calls] of [
      [0, 200],
      [10_000, 100],
    ]) {
      const { api, client } = await opened({ cacheMaxEntries });
      for (const _window of [1, 2]) {
        const answers = checks.map(({ gate, user }) => client.checkGate(gate, user));
        expect(await Promise.all(answers)).toEqual(right);
      }
      expect(api.stats.calls.check_gate).toBe(calls);
    }
  });
});

it("n gates of one user go in ceil(n / 100) calls", async () => {
  for (const count of [100, 101, 250]) {
    const { api, client, calls } = await opened();
    const gates = names(count);
    expect(await client.checkGates(gates, USER)).toEqual(truths(gates, USER));
    expect(calls).toHaveLength(Math.ceil(count / 100));
    expect(api.stats).toMatchObject({ names: count, duplicateNames: 0, largestCall: 100 });
  }
});

it("evaluations tell the rule that decided, are frozen, and shared", async () => {
  const { client } = await opened();
  for (const gate of names(10)) {
    const { value, rule_id: ruleId, group_name: groupName } = gateValue(SEED, gate, USER);
    const told = await client.getGateEvaluation(gate, USER);
    expect(told).toEqual({ name: gate, value, ruleId, groupName });
    expect(Object.isFrozen(told)).toBe(true);
  }
  const { value, rule_id: ruleId, group_name: groupName } = configValue(SEED, "config", USER);
  const told = await client.getConfigEvaluation("config", USER);
  expect(told).toEqual({ name: "config", value, ruleId, groupName, group: ruleId });
  const read = (await client.getConfig("config", USER)) as typeof value;
  expect(read).toBe(told?.value);
  expect([told, read, read["theme"]].every(Object.isFrozen)).toBe(true);
});

describe("users", () => {
  const gates = names(30);

  it("that are equal share a call, whatever the order of their fields", async () => {
    const { api, client } = await opened();
    const other = { custom: { team: "blue", plan: "pro" }, country: "NZ", userID: "u-1" };
    const answers = await Promise.all([
      client.checkGates(gates, USER),
      client.checkGates(gates.toReversed(), { ...other, email: undefined }),
      client.getConfig("config", USER),
      client.getConfig("config", other),
    ]);
    expect(answers[1]).toEqual(truths(gates, USER));
    expect(answers[3]).toBe(answers[2]);
    expect(api.stats).toMatchObject({
      calls: { check_gate: 1, get_config: 1 },
      names: 31,
      users: 1,
    });
  });

  const full = { ...USER, ip: "192.0.2.1", email: "a@b.c", userAgent: "x", locale: "en" };
  const base = { ...full, appVersion: "1.0", customIDs: { a: "b" }, privateAttributes: { a: "b" } };
  it.each<[string, object]>([
    ["a custom attribute", { custom: { plan: "free", team: "blue" } }],
    ["a custom attribute's type", { custom: { plan: "pro", team: "blue", seats: "1" } }],
    ["what is deep in a custom attribute", { custom: { plan: "pro", team: { blue: [1, 2] } } }],
    ["ip", { ip: "192.0.2.2" }],
    ["email", { email: "ab@.c" }],
    ["country", { country: "AU" }],
    ["userAgent", { userAgent: "xx" }],
    ["locale", { locale: "xen" }],
    ["appVersion", { appVersion: "1.01" }],
    ["customIDs", { customIDs: { ab: "b" } }],
    ["privateAttributes", { privateAttributes: { a: "b", c: null } }],
    ["statsigEnvironment", { statsigEnvironment: { tier: "staging" } }],
    ["nothing but a field that is not there", { userAgent: undefined }],
  ])("that differ in %s share neither a call nor a cached answer", async (_what, changed) => {
    const { api, client } = await opened();
    const other = { ...base, ...changed };
    const ask = async (): Promise<unknown> =>
      Promise.all([
        client.checkGates(gates, base),
        client.checkGates(gates, other),
        client.getConfig("config", base),
        client.getConfig("config", other),
      ]);
    const right = [truths(gates, base), truths(gates, other)];
    const configs = [base, other].map((user) => configValue(SEED, "config", user).value);
    expect(right[0]).not.toEqual(right[1]);
    expect(await ask()).toEqual([...right, ...configs]);
    const { calls } = api.stats;
    expect(calls).toEqual({ check_gate: 2, get_config: 2, log_event: 0 });
    expect(await ask()).toEqual([...right, ...configs]);
    expect(calls).toEqual({ check_gate: 2, get_config: 2, log_event: 0 });
  });

  it("that hang hold up nobody else", async () => {
    const { client, strike, came } = await opened({ maxInFlight: 8 });
    const { hold, release } = holder();
    strike(undefined, { hold: ({ user }) => (user?.["userID"] === "slow" ? hold() : undefined) });
    const slow = client.checkGates(gates, { userID: "slow" });
    await came(1);
    const others = names(50, "user").map((userID) => ({ userID }));
    for (const user of others) {
      expect(await client.checkGate("gate", user)).toBe(truth("gate", user));
    }
    release();
    expect(await slow).toEqual(truths(gates, { userID: "slow" }));
  });
});

describe("configs", () => {
  const configs = names(10, "config");
  const right = new Map(configs.map((name) => [name, configValue(SEED, name, USER).value]));

  it("are fetched in parallel, each once for all who ask", async () => {
    const { api, client, strike, came } = await opened();
    const { hold, release } = holder();
    strike(undefined, { hold });
    const asked = [1, 2, 3].map(() => client.getConfigs(configs, USER));
    const one = client.getConfig("config_3", USER);
    await came(10);
    expect(api.stats).toMatchObject({ inFlight: 10, names: 10, largestCall: 1 });
    asked.push(client.getConfigs(configs, USER)); // while they are under way
    release();
    expect(await Promise.all(asked)).toEqual([right, right, right, right]);
    expect(await one).toEqual(right.get("config_3"));
    expect(api.stats.calls.get_config).toBe(10);
  });

  it("and gates together stay within maxInFlight", async () => {
    const { api, client, strike, came } = await opened({ maxInFlight: 3 });
    const { hold, release } = holder();
    strike(undefined, { hold });
    const told = client.getConfigs(configs, USER);
    const checks = names(5, "user").map((userID) => client.checkGate("gate", { userID }));
    await came(3);
    release();
    expect(await told).toEqual(right);
    await Promise.all(checks);
    expect(api.stats).toMatchObject({ peakInFlight: 3, calls: { get_config: 10, check_gate: 5 } });
  });
});

describe("the cache", () => {
  it("answers before any call, for its time", async () => {
    const clock = manualClock();
    const { client, calls } = await opened({ clock, cacheTtlMs: 5_000 });
    const ask = (): Promise<unknown> =>
      Promise.all([client.checkGate("gate", USER), client.getConfig("config", USER)]);
    const right = [truth("gate", USER), configValue(SEED, "config", USER).value];
    expect(await ask()).toEqual(right);
    await clock.advance(5_000);
    expect(await ask()).toEqual(right);
    expect(calls).toHaveLength(2);
    await clock.advance(1);
    expect(await ask()).toEqual(right);
    expect(calls).toHaveLength(4);
    expect(client.stats().evaluations.cache).toMatchObject({ hits: 2, misses: 4, hitRatio: 1 / 3 });
  });

  it("keeps a gate and a config of one name apart, and leaves with clearCache()", async () => {
    const { client, calls } = await opened();
    const both = (): Promise<unknown> =>
      Promise.all([client.checkGate("same", USER), client.getConfig("same", USER)]);
    const right = [truth("same", USER), configValue(SEED, "same", USER).value];
    expect(await both()).toEqual(right);
    expect(await both()).toEqual(right);
    expect(calls).toHaveLength(2);
    client.clearCache();
    expect(await both()).toEqual(right);
    expect(calls).toHaveLength(4);
  });

  it("asks only for what it does not hold", async () => {
    const { client, calls } = await opened();
    await client.checkGates(["aa", "bb"], USER);
    const gates = ["aa", "cc", "bb", "dd"];
    expect(await client.checkGates(gates, USER)).toEqual(truths(gates, USER));
    expect(calls.map((call) => call.names)).toEqual([
      ["aa", "bb"],
      ["cc", "dd"],
    ]);
  });

  it("of 0 entries holds nothing, of 2 the latest two", async () => {
    const none = await opened({ cacheMaxEntries: 0 });
    for (const _time of [1, 2]) await none.client.checkGate("gate", USER);
    expect(none.calls).toHaveLength(2);
    expect(none.client.stats().evaluations.cache).toMatchObject({ inserts: 0, size: 0 });
    const two = await opened({ cacheMaxEntries: 2 });
    for (const gate of ["aa", "bb", "cc", "bb", "cc", "aa"]) await two.client.checkGate(gate, USER);
    expect(two.calls.map((call) => call.names.join())).toEqual(["aa", "bb", "cc", "aa"]);
    expect(two.client.stats().evaluations.cache).toMatchObject({ size: 2, evictions: 2 });
  });
});

it("a lone check of an idle client waits for no interval", async () => {
  const clock = manualClock(); // which stands still
  const { client } = await opened({ clock, batchFlushIntervalMs: 60_000 });
  expect(await client.checkGate("gate", USER)).toBe(truth("gate", USER));
  expect(await client.getConfig("config", USER)).toEqual(configValue(SEED, "config", USER).value);
  expect(clock.now()).toBe(0);
});
