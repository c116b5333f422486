import type { BatchAlgebra } from "../shapes/shape.ts";

/** An entry at fault, by its place in the batch that was searched. */
export interface Fault {
  readonly index: number;
  readonly cause: unknown;
}

/**
 * Finds the entries at fault in a batch that was just refused with `cause`, by halving, and lands
 * the others on the way: `attempt` writes a part and answers with the cause of its rejection, or
 * `undefined` where the part needs no further halving. N entries with one at fault take at most
 * 2·⌈log2 N⌉ attempts.
 */
export async function bisect<Batch>(
  batch: Batch,
  cause: unknown,
  shape: Pick<BatchAlgebra<Batch>, "size" | "split">,
  attempt: (
    part: Batch,
    path: string,
    from: number,
  ) => Promise<{ readonly cause: unknown } | undefined>,
): Promise<readonly Fault[]> {
  const faults: Fault[] = [];
  const search = async (part: Batch, why: unknown, path: string, from: number): Promise<void> => {
    const { entries } = shape.size(part);
    if (entries === 1) {
      faults.push({ index: from, cause: why });
      return;
    }
    let at = from;
    for (const [half, piece] of shape.split(part, Math.ceil(entries / 2)).entries()) {
      const refusal = await attempt(piece, `${path}${half}`, at);
      // At once, before the other half: entries land in the order in which they stand.
      if (refusal !== undefined) await search(piece, refusal.cause, `${path}${half}`, at);
      at += shape.size(piece).entries;
    }
  };
  await search(batch, cause, "", 0);
  return faults;
}
