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
  const refused = [{ batch, cause, path: "", from: 0 }];
  for (let current = refused.pop(); current !== undefined; current = refused.pop()) {
    const { entries } = shape.size(current.batch);
    if (entries === 1) {
      faults.push({ index: current.from, cause: current.cause });
      continue;
    }
    let from = current.from;
    const halves = shape.split(current.batch, Math.ceil(entries / 2));
    for (const [half, part] of halves.entries()) {
      const path = `${current.path}${half}`;
      const refusal = await attempt(part, path, from);
      if (refusal !== undefined) refused.push({ batch: part, cause: refusal.cause, path, from });
      from += shape.size(part).entries;
    }
  }
  return faults.sort((a, b) => a.index - b.index);
}
