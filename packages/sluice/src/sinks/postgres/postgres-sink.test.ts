import { expect, it } from "vitest";
import { createBatcher } from "../../core/batcher.ts";
import { list } from "../../shapes/list.ts";
import { insertRows } from "./insert-rows.ts";

/** A pool whose server answers COMMIT as it is told, and everything else with no rows. */
const answering = (commit: () => { command: string }) => ({
  connect: async () => ({
    query: async ({ text }: { text: string }) => ({
      rows: text.startsWith("WITH") ? [{ w0: 1 }] : [],
      command: text,
      ...(text === "COMMIT" ? commit() : {}),
    }),
    release: () => undefined,
  }),
});

const failing = (code: string) => (): never => {
  throw Object.assign(new Error("at COMMIT"), { code });
};

it.each([
  ["a serialization failure", failing("40001"), "deadLettered"],
  ["a ROLLBACK", () => ({ command: "ROLLBACK" }), "deadLettered"],
  ["a server that shuts down", failing("57P01"), "unknown"],
  ["a connection that breaks", failing("ECONNRESET"), "unknown"],
] as const)("COMMIT answered by %s says what became of the batch", async (_, commit, outcome) => {
  const batcher = createBatcher({
    shape: list<object>(),
    sink: insertRows(answering(commit), { table: "t", columns: { k: "text" }, ledger: false }),
    retry: { maxAttempts: 1 },
    deadLetter: () => undefined,
  });
  batcher.tryAdd({ k: "a" });
  const { stats } = await batcher.close();
  expect(stats).toMatchObject({ committed: 0, deadLettered: 0, unknown: 0, [outcome]: 1 });
});
