/** `sluice/statsig`: answers of a flag API that are wrong in part, or say what they should not. */
import { describe, expect, it } from "vitest";
import { configValue } from "../../packages/server/src/flags/rules.ts";
import { refuseNames, type Trouble } from "../../packages/server/src/flags/trouble.ts";
import { API_KEY, failure, names, opened, SEED, truth } from "./statsig-client.ts";

const USER = { userID: "u-1", country: "NZ" };
const REJECTED = "SLUICE_ERR_SINK_REJECTED";
const INVALID = "SLUICE_ERR_ANSWER_INVALID";
const MISSING = "SLUICE_ERR_ANSWER_MISSING";

const text = (json: string): Trouble => ({ kind: "text", text: json });
const config = (name: string): unknown => configValue(SEED, name, USER).value;

describe("one name at fault", () => {
  const gates = names(16);
  const settled = async (asked: readonly Promise<unknown>[]): Promise<readonly unknown[]> =>
    (await Promise.allSettled(asked)).map((one) =>
      one.status === "fulfilled" ? one.value : (one.reason as { code: string }).code,
    );

  it("which the API refuses: the call is halved, and its caller alone fails", async () => {
    const { api, client, strike, calls } = await opened();
    strike(refuseNames("gate_5"));
    const right = gates.map((gate) => (gate === "gate_5" ? REJECTED : truth(gate, USER)));
    expect(await settled(gates.map((gate) => client.checkGate(gate, USER)))).toEqual(right);
    expect(calls).toHaveLength(1 + 2 * Math.log2(16));
    expect(calls.at(0)?.names).toEqual(gates);
    expect(api.stats.duplicateNames).toBe(0);
    expect(client.stats().evaluations).toMatchObject({ answered: 15, failed: 1, retries: 0 });
  });

  it("which the API refuses after a call was lost: the same", async () => {
    const { client, strike } = await opened();
    const refuse = refuseNames("gate_5");
    strike((call, { length }) => (length === 1 ? { kind: "error", status: 500 } : refuse(call)));
    const right = gates.map((gate) => (gate === "gate_5" ? REJECTED : truth(gate, USER)));
    expect(await settled(gates.map((gate) => client.checkGate(gate, USER)))).toEqual(right);
  });

  it("or which no answer has: its caller alone fails, in one call", async () => {
    const { client, strike, calls } = await opened();
    strike({ kind: "half-answer", missing: ["gate_2", "gate_3"] });
    const right = gates.map((gate) => (/_[23]$/.test(gate) ? MISSING : truth(gate, USER)));
    expect(await settled(gates.map((gate) => client.checkGate(gate, USER)))).toEqual(right);
    expect(calls).toHaveLength(1);
    expect(client.stats().evaluations).toMatchObject({ missing: 2, failed: 2, answered: 14 });
    expect(await failure(client.checkGates(gates, USER))).toMatchObject({ code: MISSING });
  });

  it("or whose value is none: its caller alone fails", async () => {
    const { client, strike } = await opened({ offlineFallback: false });
    const odd = {
      aa: { value: 1 },
      bb: null,
      cc: [],
      dd: { value: null },
      ee: {},
      ok: { value: true },
    };
    strike(text(JSON.stringify(odd)));
    const asked = Object.keys(odd).map((gate) => client.checkGate(gate, USER));
    expect(await settled(asked)).toEqual([INVALID, INVALID, INVALID, INVALID, INVALID, true]);
  });

  it("is a fallback alone, with offlineFallback", async () => {
    const { client, strike } = await opened({ offlineFallback: true });
    strike({ kind: "half-answer", missing: ["gate_2"] });
    const right = gates.map((gate) => [gate, gate !== "gate_2" && truth(gate, USER)] as const);
    expect(await client.checkGates(gates, USER)).toEqual(new Map(right));
    expect(client.stats().fallbacks).toBe(1);
  });
});

describe("answers that nobody asked", () => {
  it("are nobody's, and a warning", async () => {
    const { client, strike, events, calls } = await opened();
    strike({ kind: "stray-answer", names: ["stray", "__proto__", API_KEY] });
    expect(await client.checkGates(["aa", "bb"], USER)).toEqual(
      new Map(["aa", "bb"].map((gate) => [gate, truth(gate, USER)])),
    );
    const message = 'resolve() answered "[redacted]", which was not asked (3 such answers)';
    const warning = { type: "warning", error: { code: INVALID, message } };
    expect(events.filter(({ type }) => type === "warning")).toMatchObject([warning]);
    strike();
    expect(await client.checkGate("stray", USER)).toBe(truth("stray", USER));
    expect(calls).toHaveLength(2);
  });

  it("are no answers of a config under another name", async () => {
    const { client, strike, calls } = await opened();
    strike({ kind: "stray-answer", names: ["other"] });
    expect(await failure(client.getConfig("config", USER))).toMatchObject({
      code: INVALID,
      message: expect.stringContaining(
        'config "config", and under this name; it answered a string',
      ),
    });
    strike();
    expect(await client.getConfig("other", USER)).toEqual(config("other"));
    expect(calls).toHaveLength(2);
  });
});

it("an answer as deep as a parser takes harms nobody", async () => {
  const { client, strike } = await opened();
  const deep = 100_000;
  strike(text(`{"value":${"[".repeat(deep)}${"]".repeat(deep)}}`));
  let [value, depth] = [await client.getConfig("config", USER), 0];
  for (; Array.isArray(value) && Object.isFrozen(value); depth += 1) value = value[0] ?? null;
  expect(depth).toBe(deep);
  expect(await failure(client.checkGate("flag", USER))).toMatchObject({ code: MISSING });
});

describe("an API that gives back the key it was sent shows it in no error, event or figure:", () => {
  const key = JSON.stringify(API_KEY);
  it.each<[string, string, number, string]>([
    ["a text", key, 200, "application/json"],
    ["a list", `[${key}]`, 200, "application/json"],
    ["a stray name", `{${key}:{"value":true},"flag":{"value":true}}`, 200, "application/json"],
    ["a gate", `{"flag":${key}}`, 200, "application/json"],
    ["a value", `{"flag":{"value":${key}},"value":7,"name":${key}}`, 200, "application/json"],
    ["a page", `<html>your key: ${API_KEY}</html>`, 200, "text/html"],
    ["invalid JSON", `{"key":${key}`, 200, "application/json"],
    ...[400, 401, 429, 500].map((status): [string, string, number, string] => [
      `${status}`,
      `{"message":"bad key ${encodeURIComponent(API_KEY)} ${API_KEY}"}`,
      status,
      "application/json",
    ]),
  ])("%s", async (_what, answer, status, contentType) => {
    const { client, strike, events } = await opened({ retryAttempts: 1 });
    strike({ kind: "text", text: answer, status, contentType });
    await client.checkGates(["flag", "gate"], USER).catch(() => undefined);
    await failure(client.checkGate("gate", USER));
    if (!answer.startsWith("{") || status !== 200) await failure(client.checkGate("flag", USER));
    await failure(client.getConfig("config", USER));
    expect(events.length).toBeGreaterThan(2); // each of which is looked at in the end
  });
});
