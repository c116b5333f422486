/** The types, used as a caller uses them. `npm run check -- types` compiles this file. */
import { createBatcher, list, sums } from "sluice";

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
