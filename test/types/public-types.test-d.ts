/** The types, used as a caller uses them. `npm run check -- types` compiles this file. */
import { createBatcher, latest, list, sums } from "sluice";
import type { AgentMetadataBatcher } from "sluice/agent-metadata";
import { type PostgresDriver, publishing, writeLatest } from "sluice/postgres";
import { createPublisher, localPubsub } from "sluice/pubsub";

type Equal<A, B> = [A, B] extends [B, A] ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

holds<Equal<1, 1>>();
// @ts-expect-error: the comparison itself is worth something only if it can fail.
holds<Equal<1, 2>>();

export function batchTypesReachSinks(): void {
  createBatcher({
    shape: list<string>(),
    sink: async (lines) => lines.map((line) => line.length),
    deadLetter: ({ entry }) => entry.length,
  });
  createBatcher({
    shape: sums({ key: ["client"], sum: ["requests"] }),
    sink: async ({ entries }, { id, attempt, signal }) => {
      const [first] = entries;
      signal.throwIfAborted();
      return `${id.writer}#${id.seq}/${attempt}: ${first?.key[0]} ${first?.sums[0]}`;
    },
    maxEntries: undefined,
  });
}

export function newestValues(driver: PostgresDriver): void {
  const shape = latest({ key: ["agent", "name"], value: ["value"], version: "at" });
  const settings = createBatcher({
    shape,
    sink: publishing(writeLatest(driver, { table: "settings" }), {
      publisher: createPublisher(localPubsub(), { channel: "settings" }),
      keys: ({ entries }) => entries.map(({ key: [agent = ""] }) => agent),
    }),
  });
  settings.tryAdd({ agent: "a", name: "n", value: 1.5, at: new Date() });
  settings.tryAdd({ agent: "a", name: "n", value: null, at: 1n });
  // @ts-expect-error: no value may be missing.
  settings.tryAdd({ agent: "a", name: "n", at: 1 });
  // @ts-expect-error: nor the version.
  settings.tryAdd({ agent: "a", name: "n", value: "x" });
  // @ts-expect-error: a value is a scalar.
  settings.tryAdd({ agent: "a", name: "n", value: {}, at: 1 });
  const revisions = latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" });
  const numbered = createBatcher({ shape: revisions, sink: async () => undefined });
  numbered.tryAdd({ k: "a", v: 1, rev: 1 });
  numbered.tryAdd({ k: "a", v: 1, rev: 1n });
  // @ts-expect-error: a number is no time.
  numbered.tryAdd({ k: "a", v: 1, rev: new Date() });
  // @ts-expect-error: nor is it text.
  numbered.tryAdd({ k: "a", v: 1, rev: "1" });
  const counters = sums({ key: ["k"], sum: ["n"] });
  // @ts-expect-error: sums are no newest values.
  createBatcher({ shape: counters, sink: writeLatest(driver, { table: "t" }) });
  // @ts-expect-error: there is no such field.
  latest({ key: ["k"], value: ["v"], versions: "at" });
}

export async function agents(
  metadata: AgentMetadataBatcher,
  signal: AbortSignal,
): Promise<string[]> {
  await metadata.add("id", [{ key: "load", value: "1" }], { signal });
  metadata.tryAdd("id", { keys: ["a"], values: ["1"], errors: [""], collectedAt: [new Date()] });
  // @ts-expect-error: a value is a text.
  metadata.tryAdd("id", [{ key: "load", value: 1 }]);
  const seen: string[] = [];
  for await (const { agentId, entries } of metadata.watch("id", { signal })) {
    seen.push(agentId, ...entries.map(({ key, collectedAt }) => `${key} ${collectedAt.getTime()}`));
  }
  return seen;
}
