import { describe, expect, it } from "vitest";
import { rejected } from "../errors.ts";
import { list } from "../shapes/list.ts";
import type { Shape } from "../shapes/shape.ts";
import type { WriteResult } from "../sinks/sink.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";

/** A list of texts that notes which batches come back to it. */
function noting(came: (readonly string[])[]): Shape<string, readonly string[], string> {
  const shape = list<string>();
  return {
    ...shape,
    accumulator: () =>
      Object.assign(shape.accumulator(), {
        recycle: (batch: readonly string[]) => void came.push(batch),
      }),
  };
}

async function recycled(
  write: (attempt: number) => WriteResult | undefined,
  releases: boolean | undefined,
): Promise<(readonly string[])[]> {
  const came: (readonly string[])[] = [];
  const clock = manualClock();
  const batcher = createBatcher({
    shape: noting(came),
    sink: { releases, write: async (_, { attempt }) => write(attempt) },
    clock,
    observe: () => undefined,
  });
  for (const text of "ab") batcher.tryAdd(text);
  const closed = batcher.close();
  await clock.advance(60_000);
  await closed;
  return came;
}

describe("a batch goes back to its shape", () => {
  it("once it has landed, if the sink lets go of it", async () => {
    expect(await recycled(() => undefined, true)).toEqual([["a", "b"]]);
  });

  it.each([
    ["when the sink may keep it", () => undefined, undefined],
    [
      "when an earlier attempt may still be reading it",
      (attempt: number) => {
        if (attempt === 1) throw new Error("lost");
        return undefined;
      },
      true,
    ],
    ["when an entry of it was rejected", () => ({ rejected: [{ index: 0, cause: "no" }] }), true],
    [
      "when it was halved",
      () => {
        throw rejected("no");
      },
      true,
    ],
  ] as const)("never %s", async (_, write, releases) => {
    expect(await recycled(write, releases)).toEqual([]);
  });
});
