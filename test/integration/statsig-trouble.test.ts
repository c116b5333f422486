/** `sluice/statsig`: gates and configs of a flag API that is not well. */
import { manualClock } from "sluice/testing";
import { describe, expect, it } from "vitest";
import { configValue } from "../../packages/server/src/flags/rules.ts";
import type { Trouble } from "../../packages/server/src/flags/trouble.ts";
import { failure, opened, SEED, truth } from "./statsig-client.ts";

const USER = { userID: "u-1", country: "NZ" };
const UNANSWERED = "SLUICE_ERR_CALL_UNANSWERED";
const REJECTED = "SLUICE_ERR_SINK_REJECTED";
const INVALID = "SLUICE_ERR_ANSWER_INVALID";
const MISSING = "SLUICE_ERR_ANSWER_MISSING";

const text = (json: string): Trouble => ({ kind: "text", text: json });
const config = (name: string): unknown => configValue(SEED, name, USER).value;

/** What becomes of a gate and of a config, each alone, in trouble that stays; two attempts are allowed. */
interface Row {
  readonly trouble: Trouble;
  readonly code: string;
  readonly message: RegExp;
  readonly calls: 1 | 2;
  /** Whether `offlineFallback` answers. */
  readonly falls: boolean;
  /** Where a config fares otherwise. */
  readonly config?: { readonly code: string; readonly message: RegExp };
}

const passing = (trouble: Trouble, message: RegExp): Row => {
  return { trouble, code: UNANSWERED, message, calls: 2, falls: true };
};
const refusal = (status: number): Row => {
  const trouble: Trouble = { kind: "error", status };
  const message = new RegExp(`answered ${status}.*trouble`);
  return { trouble, code: REJECTED, message, calls: 1, falls: false };
};
const senseless = (trouble: Trouble, message: RegExp, code: string = INVALID): Row => {
  return { trouble, code, message, calls: 1, falls: true };
};
const answered = (what: string): RegExp =>
  new RegExp(`was expected to answer .*; it answered ${what}$`);

const TROUBLES: readonly (readonly [name: string, row: Row])[] = [
  ...[408, 425, 500, 502, 503, 504].map(
    (status) =>
      [
        `${status}`,
        passing({ kind: "error", status }, new RegExp(`no answer after 2 attempts: .* ${status}`)),
      ] as const,
  ),
  ...[301, 400, 401, 403, 404, 409, 413, 422].map(
    (status) => [`${status}`, refusal(status)] as const,
  ),
  ["429", passing({ kind: "error", status: 429 }, /answered 429/)],
  ["429, to be tried at once", passing({ kind: "error", status: 429, retryAfter: 0 }, /429/)],
  ["an answer that is cut off", passing({ kind: "cut-off" }, /broke off after \d+ bytes/)],
  [
    "a web page",
    senseless({ kind: "html" }, /200, but not in JSON with HTML: .*sign in/, REJECTED),
  ],
  ["invalid JSON", senseless({ kind: "invalid-json" }, /200, but not in JSON: \{/, REJECTED)],
  [
    "200 MB",
    senseless({ kind: "huge", megabytes: 200 }, /with more than 10485760 bytes/, REJECTED),
  ],
  ["no text at all", senseless(text(""), answered("nothing"))],
  ["null", senseless(text("null"), answered("null"))],
  ["a list", senseless(text("[true]"), answered("a list"))],
  ["a text", senseless(text('"true"'), answered("a string"))],
  ["a number", senseless(text("1"), answered("a number"))],
  ["true", senseless(text("true"), answered("a boolean"))],
  [
    "half an answer",
    {
      ...senseless({ kind: "half-answer" }, /no answer to "flag" was among/, MISSING),
      config: { code: INVALID, message: answered("nothing") },
    },
  ],
  [
    "a gate that is a text",
    {
      ...senseless(
        text('{"flag":{"value":"true"},"name":"other","value":1}'),
        answered("a string"),
      ),
      config: {
        code: INVALID,
        message: /config "flag", and under this name; it answered a string$/,
      },
    },
  ],
  [
    "a gate that is null",
    {
      ...senseless(text('{"flag":null}'), answered("null")),
      config: { code: INVALID, message: answered("nothing") },
    },
  ],
];

const LIMITS = { retryAttempts: 1, cacheTtlMs: 60_000 };

describe("callers fail, and the failure is not kept, where the answer is", () => {
  it.each(TROUBLES)("%s", async (_name, { trouble, code, message, calls, config: other }) => {
    const { client, strike, calls: came } = await opened(LIMITS);
    strike(trouble);
    const [gate, gates] = [client.checkGate("flag", USER), client.checkGates(["flag"], USER)];
    expect(await failure(gate)).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(await failure(gates)).toMatchObject({ code });
    expect(came).toHaveLength(calls);
    expect(await failure(client.getConfig("flag", USER))).toMatchObject({
      code: other?.code ?? code,
      message: expect.stringMatching(other?.message ?? message),
    });
    expect(came).toHaveLength(2 * calls);
    strike();
    expect(await client.checkGate("flag", USER)).toBe(truth("flag", USER));
    expect(await client.getConfig("flag", USER)).toEqual(config("flag"));
  });
});

describe("with offlineFallback", () => {
  it.each(TROUBLES.filter(([, { falls }]) => falls))(
    "gates are closed and configs null, and that is not kept, where the answer is %s",
    async (_name, { trouble, calls }) => {
      const { client, strike, calls: came } = await opened({ ...LIMITS, offlineFallback: true });
      strike(trouble);
      expect(await client.checkGate("flag", USER)).toBe(false);
      expect(await client.getGateEvaluation("flag", USER)).toBe(null);
      expect(await client.checkGates(["flag"], USER)).toEqual(new Map([["flag", false]]));
      expect(await client.getConfig("flag", USER)).toBe(null);
      expect(await client.getConfigEvaluation("flag", USER)).toBe(null);
      expect(await client.getConfigs(["flag"], USER)).toEqual(new Map([["flag", null]]));
      expect(client.stats().fallbacks).toBe(6);
      expect(came).toHaveLength(6 * calls);
      strike();
      expect(await client.checkGate("flag", USER)).toBe(truth("flag", USER));
      expect(await client.getConfig("flag", USER)).toEqual(config("flag"));
    },
  );

  it.each(TROUBLES.filter(([, { falls }]) => !falls))(
    "a refusal is an error still: %s",
    async (_name, { trouble, code }) => {
      const { client, strike } = await opened({ ...LIMITS, offlineFallback: true });
      strike(trouble);
      expect(await failure(client.checkGate("flag", USER))).toMatchObject({ code });
      expect(await failure(client.getConfig("flag", USER))).toMatchObject({ code });
      expect(client.stats().fallbacks).toBe(0);
    },
  );
});

describe("an API that cannot be reached, or never answers", () => {
  it.each([false, true])("with offlineFallback %j: nobody listens", async (offlineFallback) => {
    const { api, client } = await opened({ retryAttempts: 1, offlineFallback });
    await api.close();
    if (offlineFallback) expect(await client.checkGate("flag", USER)).toBe(false);
    else {
      expect(await failure(client.checkGate("flag", USER))).toMatchObject({
        code: UNANSWERED,
        message: expect.stringContaining("ECONNREFUSED"),
      });
    }
    expect(client.stats().evaluations).toMatchObject({ calls: 2, retries: 1 });
  });

  it.each([false, true])(
    "with offlineFallback %j: hangs for timeoutMs",
    async (offlineFallback) => {
      const clock = manualClock();
      const { client, strike, came, next, calls } = await opened({
        clock,
        timeoutMs: 700,
        retryAttempts: 1,
        offlineFallback,
      });
      strike({ kind: "hang" });
      const retried = next("retried");
      const asked = offlineFallback
        ? client.checkGate("flag", USER)
        : failure(client.checkGate("flag", USER));
      await came(1);
      await clock.advance(699);
      expect(calls).toHaveLength(1);
      await clock.advance(1);
      await retried;
      await clock.advance(1);
      await came(2);
      await clock.advance(700);
      if (offlineFallback) expect(await asked).toBe(false);
      else {
        const message = expect.stringMatching(/no answer after 2 attempts: .* longer than/);
        expect(await asked).toMatchObject({ code: UNANSWERED, message });
      }
      strike();
      expect(await client.checkGate("flag", USER)).toBe(truth("flag", USER));
    },
  );
});

it("an answer above maxResponseBytes is an error, one of just as many is not", async () => {
  const answer = '{"flag":{"value":true}}';
  for (const maxResponseBytes of [answer.length, answer.length - 1]) {
    const { client, strike } = await opened({ maxResponseBytes });
    strike(text(answer));
    const asked = client.checkGate("flag", USER);
    if (maxResponseBytes === answer.length) expect(await asked).toBe(true);
    else expect(await failure(asked)).toMatchObject({ code: REJECTED });
  }
});

describe("attempts", () => {
  it.each([0, 1, 4])("are retryAttempts + 1: %i + 1", async (retryAttempts) => {
    const { client, strike, calls, events } = await opened({ retryAttempts });
    strike({ kind: "error", status: 500 });
    const error = await failure(client.checkGate("flag", USER));
    const [count, s] = [retryAttempts + 1, retryAttempts === 0 ? "" : "s"];
    expect(error.message).toContain(`no answer after ${count} attempt${s}: `);
    expect(calls).toHaveLength(count);
    expect(events.filter(({ type }) => type === "retried")).toHaveLength(retryAttempts);
    strike((_call, { length }) =>
      length < 2 * count ? { kind: "error", status: 503 } : undefined,
    );
    expect(await client.checkGate("flag", USER)).toBe(truth("flag", USER));
    expect(calls).toHaveLength(2 * count);
  });

  it.each<[string, number | Date, number]>([
    ["seconds", 7, 7_000],
    ["a date", new Date(Date.UTC(2026, 0, 1, 0, 0, 9)), 9_000],
    ["a date that is over, so only a pause", new Date(Date.UTC(2025, 0, 1)), 1],
    ["an hour, of which a minute counts", 3_600, 60_000],
  ])("wait as long as Retry-After asks: %s", async (_what, retryAfter, delayMs) => {
    const clock = manualClock({ epochMs: Date.UTC(2026, 0, 1) });
    const { client, strike, next, calls } = await opened({ clock, random: () => 0 });
    strike((_call, { length }) =>
      length === 1 ? { kind: "error", status: 429, retryAfter } : undefined,
    );
    const retried = next("retried");
    const asked = client.checkGate("flag", USER);
    expect(await retried).toMatchObject({ delayMs });
    await clock.advance(delayMs - 1);
    expect(calls).toHaveLength(1);
    await clock.advance(1);
    expect(await asked).toBe(truth("flag", USER));
    expect(calls).toHaveLength(2);
  });
});
