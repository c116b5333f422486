import { AsyncLocalStorage } from "node:async_hooks";
import { expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { localPubsub } from "./local-pubsub.ts";

const into = (log: string[]) => ({
  onPayload: (payload: string): void => {
    log.push(payload);
  },
  onGap: (): void => {
    log.push("gap");
  },
});

it("calls subscribers after the publisher's code and before its await goes on", async () => {
  const pubsub = localPubsub();
  const log: string[] = [];
  pubsub.subscribe("c", into(log));
  const first = pubsub.publish("c", ["1", "2", "1"]);
  const second = pubsub.publish("c", ["3"]);
  log.push("publisher");
  await first;
  log.push("published");
  await second;
  expect(log).toEqual(["publisher", "1", "2", "3", "published"]);
});

it("reaches who subscribed before, and not who has left since", async () => {
  const pubsub = localPubsub();
  const [early, left, late]: [string[], string[], string[]] = [[], [], []];
  pubsub.subscribe("c", into(early));
  const leaving = pubsub.subscribe("c", into(left));
  const published = pubsub.publish("c", ["1"]);
  leaving.close();
  leaving.close();
  pubsub.subscribe("c", into(late));
  await published;
  expect({ early, left, late }).toEqual({ early: ["1"], left: [], late: [] });
});

it("counts each subscription of one subscriber", async () => {
  const pubsub = localPubsub();
  const log: string[] = [];
  const subscriber = into(log);
  const one = pubsub.subscribe("c", subscriber);
  pubsub.subscribe("c", subscriber);
  await pubsub.publish("c", ["1"]);
  one.close();
  await pubsub.publish("c", ["2"]);
  expect(log).toEqual(["1", "1", "2"]);
});

it("keeps the publisher's async context from the subscribers", async () => {
  const storage = new AsyncLocalStorage<string>();
  const pubsub = localPubsub();
  const seen: unknown[] = [];
  const onPayload = (): void => {
    seen.push(storage.getStore());
  };
  pubsub.subscribe("c", { onPayload, onGap: onPayload });
  await storage.run("publisher", () => pubsub.publish("c", ["1"]));
  expect(seen).toEqual([undefined]);
});

it("names itself in the warning that a throwing subscriber makes", async () => {
  const events: SluiceEvent[] = [];
  const pubsub = localPubsub({ observe: (event) => events.push(event) });
  const error = new Error("subscriber");
  const onPayload = (): never => {
    throw error;
  };
  pubsub.subscribe("c", { onPayload, onGap: () => undefined });
  await pubsub.publish("c", ["1"]);
  expect(events).toEqual([{ type: "warning", name: "local-pubsub", error }]);
});

it("refuses what it cannot take", async () => {
  const code = (suffix: string): object =>
    expect.objectContaining({ code: `SLUICE_ERR_${suffix}` });
  expect(() => localPubsub({ obseve: () => undefined } as object)).toThrow(code("OPTION_UNKNOWN"));
  const pubsub = localPubsub();
  await expect(pubsub.publish("", ["a"])).rejects.toEqual(code("OPTION_INVALID"));
  await expect(pubsub.publish("c", ["a"], { timeoutMs: 0 })).rejects.toEqual(
    code("OPTION_INVALID"),
  );
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(pubsub.publish("c", ["a"], { signal })).rejects.toThrow("enough");
  await pubsub.close();
  await pubsub.close();
  expect(() => pubsub.subscribe("c", into([]))).toThrow(code("PUBSUB_CLOSED"));
  await expect(pubsub.publish("c", ["a"])).rejects.toEqual(code("PUBSUB_CLOSED"));
});
