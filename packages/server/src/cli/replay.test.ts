import { manualClock } from "sluice/testing";
import { expect, test } from "vitest";
import { createMetadataTally, type MetadataValue } from "../traffic/metadata-tally.ts";
import type { TrafficEntry } from "../traffic/request.ts";
import { type AccessRow, createRowTally } from "../traffic/row-tally.ts";
import { createTally } from "../traffic/tally.ts";
import { type Activity, createReplayCounts, replay, type ReplayTarget } from "./replay.ts";

const REQUEST = {
  method: "GET",
  target: "/a/b",
  status: 404,
  bytes: 3,
  referrer: "r",
  userAgent: "u",
};

async function* entriesOf(...clients: string[]): AsyncGenerator<TrafficEntry> {
  for (const [index, client] of clients.entries()) {
    const line = index + 1;
    if (client === "") yield { line, malformed: "is nonsense" };
    else yield { line, request: { ...REQUEST, client, at: line * 1_000 } };
  }
}

const usageError = (): Error => Object.assign(new Error("too long"), { disposition: "usage" });

function refuseOf(client: string): void {
  if (client === "a") throw usageError();
}

async function replayed(
  clients: string[],
  refuse: (client: string) => Error | undefined,
  { log, describe, ask }: Partial<Pick<ReplayTarget, "log" | "describe" | "ask">> = {},
) {
  const calls: (Activity | readonly string[])[] = [];
  const target: ReplayTarget = {
    async register(names) {
      calls.push(names);
    },
    async record(activity) {
      const error = refuse(activity.client);
      if (error !== undefined) throw error;
      calls.push(activity);
    },
    ask: ask ?? (async () => undefined),
    describe: describe ?? (async () => undefined),
    log,
  };
  const [tally, counts] = [createTally(), createReplayCounts()];
  const [metadataTally, rowTally] = [createMetadataTally(), createRowTally()];
  const tallies = { tally, metadataTally, rowTally };
  const entries = entriesOf(...clients);
  await replay({ entries, target, ...tallies, counts, onProgress: () => undefined });
  const { values } = metadataTally;
  return { calls, tally, values, rows: rowTally.sums.get("count()"), counts };
}

test("registers each client once, before its first request", async () => {
  const { calls, tally } = await replayed(["a", "b", "a"], () => undefined);
  const activity = { status: 404, cached: false, table: "a", operation: "GET", isError: true };
  expect(calls).toEqual([
    ["a", "b"],
    { client: "a", at: 1_000, ...activity },
    { client: "b", at: 2_000, ...activity },
    { client: "a", at: 3_000, ...activity },
  ]);
  expect([tally.requests, tally.clients]).toEqual([3, 2]);
});

test("works in chunks and asks for no client twice", async () => {
  const clients = Array.from({ length: 2_500 }, (_, index) => `c${index % 1_500}`);
  const { calls, tally } = await replayed(clients, () => undefined);
  const registrations = calls.filter((call): call is readonly string[] => Array.isArray(call));
  expect(registrations.map((names) => names.length)).toEqual([1_000, 500]);
  expect([tally.requests, tally.clients]).toEqual([2_500, 1_500]);
});

test("counts malformed and refused lines, and keeps them out of the tally", async () => {
  const refused = new Set(["long"]);
  const { tally, counts } = await replayed(["a", "", "long", "", "", "", ""], (client) =>
    refused.has(client) ? usageError() : undefined,
  );
  expect([tally.requests, tally.isRegistered("long")]).toEqual([1, true]);
  expect(counts.skipped).toBe(6);
  expect(counts.examples.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6]);
});

test("the first skipped lines are the first ones in the log", async () => {
  const { counts } = await replayed(["long", "", "a", "long", ""], (client) =>
    client === "long" ? usageError() : undefined,
  );
  expect(counts.examples.map(({ line }) => line)).toEqual([1, 2, 4, 5]);
});

test("names the line of a refused request", async () => {
  const { counts } = await replayed(["a", "long"], (client) =>
    client === "long" ? usageError() : undefined,
  );
  expect(counts.examples).toEqual([{ line: 2, reason: "was refused: too long" }]);
});

test("a row follows every request that was recorded, and no other", async () => {
  const logged: AccessRow[] = [];
  const { rows } = await replayed(
    ["a", "", "long", "b"],
    (client) => (client === "long" ? usageError() : undefined),
    { log: async (row) => void logged.push(row) },
  );
  const row = { method: "GET", path: "/a/b", status: 404, bytes: 3, referrer: "r" };
  expect(logged).toEqual([
    { client: "a", at: 1, ...row, user_agent: "u" },
    { client: "b", at: 4, ...row, user_agent: "u" },
  ]);
  expect(rows).toBe(2n);
});

test("a row that is refused is counted, and in no tally of rows", async () => {
  const { tally, rows, counts } = await replayed(["a", "b"], () => undefined, {
    log: async ({ client }) => refuseOf(client),
  });
  expect([tally.requests, rows, counts.skipped]).toEqual([2, 1n, 1]);
});

test("a request that was recorded says three things of its client, and any other none", async () => {
  const said: MetadataValue[] = [];
  const { values } = await replayed(
    ["", "long", "www.example.com"],
    (client) => (client === "long" ? usageError() : undefined),
    { describe: async (value) => void said.push(value) },
  );
  const common = { agentId: "2ed6657d-e927-568b-95e1-2665a8aea6a2", at: 3_000 };
  expect(said).toEqual([
    { ...common, key: "path", value: "/a/b" },
    { ...common, key: "status", value: "404" },
    { ...common, key: "user_agent", value: "u" },
  ]);
  expect(values).toBe(3);
});

test("a value that is refused is counted once, and only what was accepted before it", async () => {
  const outcome = await replayed(["a", "b"], () => undefined, {
    describe: async ({ key, at }) => refuseOf(`${key} ${at}` === "status 1000" ? "a" : ""),
    log: async () => undefined,
  });
  const { tally, values, rows, counts } = outcome;
  expect([tally.requests, values, rows]).toEqual([2, 4, 1n]);
  expect(counts).toEqual({ skipped: 1, examples: [{ line: 1, reason: "was refused: too long" }] });
});

test("every request that was recorded asks, also one whose value is refused, and no other", async () => {
  const asked: [client: string, at: number][] = [];
  const { tally } = await replayed(
    ["a", "", "long", "b", "a"],
    (client) => (client === "long" ? usageError() : undefined),
    {
      ask: async ({ client, at }) => void asked.push([client, at]),
      describe: async ({ at }) => refuseOf(at === 1_000 ? "a" : ""),
    },
  );
  expect(asked).toEqual([
    ["a", 1_000],
    ["b", 4_000],
    ["a", 5_000],
  ]);
  expect(tally.requests).toBe(3);
});

test("the replay goes on when the next request may ask", async () => {
  const { settle } = manualClock();
  let go = (): void => undefined;
  const asked: number[] = [];
  const ended = replayed(["a", "b"], () => undefined, {
    ask: ({ at }) => {
      asked.push(at);
      return new Promise((resolve) => (go = resolve));
    },
  });
  await settle();
  expect(asked).toEqual([1_000]);
  go();
  await settle();
  expect(asked).toEqual([1_000, 2_000]);
  go();
  await ended;
});

test("without an access log nothing is counted for it", async () => {
  expect((await replayed(["a"], () => undefined)).rows).toBe(0n);
});

test("any other error ends the replay", async () => {
  await expect(replayed(["a"], () => new Error("closed"))).rejects.toThrow("closed");
});
