/** `sluice/statsig`: callers who give up, and what becomes of those who wait when a client closes. */
import { createStatsigClient } from "sluice/statsig";
import { describe, expect, it } from "vitest";
import { API_KEY, failure, holder, names, opened, truth } from "./statsig-client.ts";

const USER = { userID: "u-1", country: "NZ" };

const truths = (gates: readonly string[], user: object): Map<string, boolean> =>
  new Map(gates.map((gate) => [gate, truth(gate, user)]));

describe("a caller who gives up", () => {
  it("ends no other's wait", async () => {
    const { api, client, strike, came } = await opened();
    const { hold, release } = holder();
    strike(undefined, { hold });
    const controller = new AbortController();
    const reason = new Error("gone");
    const gone = client.checkGates(["aa", "bb"], USER, { signal: controller.signal });
    const stays = client.checkGates(["aa", "bb"], USER);
    await came(1);
    controller.abort(reason);
    await expect(gone).rejects.toBe(reason);
    release();
    expect(await stays).toEqual(truths(["aa", "bb"], USER));
    expect(api.stats).toMatchObject({ calls: { check_gate: 1 }, abandoned: 0 });
    expect(client.stats().evaluations).toMatchObject({ aborted: 2, answered: 2, pending: 0 });
  });

  it("and is the last ends the call; one who has given up before is not asked for", async () => {
    const { api, client, strike, came, calls, signals } = await opened();
    const { hold } = holder();
    strike(undefined, { hold });
    const controller = new AbortController();
    const { signal } = controller;
    const gone = [
      client.getConfig("config", USER, { signal }),
      client.checkGate("gate", USER, { signal }),
    ];
    await came(2);
    controller.abort();
    for (const one of gone) await expect(one).rejects.toBe(signal.reason);
    const never = client.checkGate("gate", USER, { signal: AbortSignal.abort("early") });
    await expect(never).rejects.toBe("early");
    await client.flush();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    await api.close(); // until it has seen who is gone
    expect(api.stats).toMatchObject({ abandoned: 2, inFlight: 0 });
    expect(calls).toHaveLength(2);
  });
});

describe("close", () => {
  it("answers what has been asked, and takes no more", async () => {
    const { client, strike, came } = await opened({ maxInFlight: 2 });
    const { hold, release } = holder();
    strike(undefined, { hold });
    const asked = Promise.all([
      client.checkGates(names(250), USER),
      client.getConfigs(names(4, "config"), USER),
    ]);
    await came(2);
    const closed = client.close();
    expect(await failure(client.checkGate("gate", USER))).toMatchObject({
      code: "SLUICE_ERR_BATCHER_CLOSED",
    });
    release();
    expect((await asked)[0]).toEqual(truths(names(250), USER));
    expect(await closed).toMatchObject({
      evaluations: { answered: 254, failed: 0, aborted: 0 },
      events: { items: 0 },
    });
    expect(await client.close()).toEqual(await closed);
  });

  it("fails at its deadline what is unanswered", async () => {
    const { client, strike, came } = await opened();
    strike({ kind: "hang" });
    const asked = failure(client.checkGate("gate", USER));
    await came(1);
    expect(await client.close({ timeoutMs: 0 })).toMatchObject({ evaluations: { failed: 1 } });
    expect(await asked).toMatchObject({ code: "SLUICE_ERR_BATCHER_CLOSED" });
  });

  it("is what `await using` does", async () => {
    const { api } = await opened();
    let asked: Promise<unknown> | undefined;
    {
      await using client = createStatsigClient({
        apiKey: API_KEY,
        baseUrl: api.url,
        eventsBaseUrl: new URL(api.url),
      });
      asked = client.checkGate("gate", USER);
      await client.logEvent({ eventName: "seen", user: USER });
    }
    expect(api.stats).toMatchObject({ events: 1, calls: { check_gate: 1, log_event: 1 } });
    expect(await asked).toBe(truth("gate", USER));
  });
});
