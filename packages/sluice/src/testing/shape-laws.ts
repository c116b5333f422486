import { isDeepStrictEqual } from "node:util";
import type { Random } from "../clock.ts";
import { count, invalidOption, refuseUnknown } from "../core/validate.ts";
import { quote } from "../errors.ts";
import type { Shape } from "../shapes/shape.ts";
import { seededRandom } from "./seeded-random.ts";

/** What `checkShapeLaws` needs. */
export interface LawOptions<Item, Batch = never> {
  /** Draws an item. It should hit equal keys often, and every corner that the shape has. */
  readonly item: (random: Random) => Item;
  /** What batches are compared by. Default: the batch itself. */
  readonly canonical?: ((batch: Batch) => unknown) | undefined;
  /** How many cases to try. Default 200. */
  readonly runs?: number | undefined;
  /** The first seed; each case has its own. Default 1. */
  readonly seed?: number | undefined;
}

const METHODS = ["accumulator", "size", "itemsAt", "split", "merge", "encode", "decode"] as const;

/**
 * The contract suite of shapes: folds random items and checks every law of `shape.ts`. Throws an
 * error that names the law and the seed.
 *
 * @example
 * checkShapeLaws(sums({ key: ["k"], sum: ["n"] }), { item: (random) => ({ k: "a", n: 1 }) });
 */
export function checkShapeLaws<Item, Batch>(
  shape: Shape<Item, Batch>,
  options: LawOptions<Item, Batch>,
): void {
  if (!METHODS.every((method) => typeof shape?.[method] === "function")) {
    throw invalidOption("checkShapeLaws: the shape", `an object with ${METHODS.join(", ")}`, shape);
  }
  refuseUnknown(options, ["item", "canonical", "runs", "seed"], "checkShapeLaws: ");
  const { item, canonical = (batch) => batch } = options;
  for (const [name, given] of Object.entries({ item, canonical })) {
    if (typeof given === "function") continue;
    throw invalidOption(`checkShapeLaws: ${name}`, "a function", given);
  }
  const runs = count("checkShapeLaws: runs", options.runs, 200, 1_000_000);
  const seed = count("checkShapeLaws: seed", options.seed, 1);
  for (let run = 0; run < runs; run += 1) {
    const random = seededRandom(seed + run);
    const check: Check = (law, received, expected) => {
      if (isDeepStrictEqual(received, expected)) return;
      const [left, right] = [quote(received), quote(expected)];
      throw new Error(
        `${shape.kind} breaks "${law}" at seed ${seed + run}: ${left} is not ${right}`,
      );
    };
    const checkBatch: Check<Batch> = (law, received, expected) =>
      check(law, canonical(received), canonical(expected));
    const items = Array.from({ length: Math.floor(random() * 40) }, () => item(random));
    const cut = Math.floor(random() * (items.length + 1));
    const [xs, ys] = [items.slice(0, cut), items.slice(cut)];
    const [whole, first, second] = [fold(shape, items), fold(shape, xs), fold(shape, ys)];
    const size = shape.size(whole);

    checkBatch("fold(xs ++ ys) = merge(fold(xs), fold(ys))", shape.merge(first, second), whole);
    for (const at of [0, 1, Math.ceil(size.entries / 2), size.entries]) {
      if (at > size.entries) continue;
      const [head, tail] = shape.split(whole, at);
      checkBatch("merge(split(b, n)) = b", shape.merge(head, tail), whole);
      check("split(b, n) leaves n entries in front", shape.size(head).entries, at);
    }
    checkBatch("decode(encode(b)) = b", shape.decode(shape.encode(whole)), whole);
    const merged = shape.size(shape.merge(first, second)).items;
    check("items(merge(a, b)) = items(a) + items(b)", merged, size.items);
    check("items(fold(xs)) = what was added", size.items, addedItems(shape, items));
    const each = Array.from({ length: size.entries }, (_, index) => shape.itemsAt(whole, index));
    check(
      "the items of the entries are those of the batch",
      each.reduce((a, b) => a + b, 0),
      size.items,
    );
    checkAccumulator(shape, items, random, check, checkBatch);
  }
}

/** Compares two values, or throws an error that names the law. */
type Check<Value = unknown> = (law: string, received: Value, expected: Value) => void;

/** Sealing piece by piece loses nothing, and what is held is what will be sealed. */
function checkAccumulator<Item, Batch>(
  shape: Shape<Item, Batch>,
  items: readonly Item[],
  random: Random,
  check: Check,
  checkBatch: Check<Batch>,
): void {
  const accumulator = shape.accumulator();
  let sealed = shape.accumulator().seal(0).batch;
  let sealedItems = 0;
  const seal = (entries: number): void => {
    const next = accumulator.seal(entries);
    check("seal(n) takes n entries", next.entries, entries);
    const { items: sizeItems, entries: sizeEntries, bytes } = next;
    check(
      "a sealed batch knows its size",
      { items: sizeItems, entries: sizeEntries, bytes },
      shape.size(next.batch),
    );
    sealed = shape.merge(sealed, next.batch);
    sealedItems += next.items;
  };
  for (const item of items) {
    const { entries, bytes } = accumulator;
    accumulator.measure(item);
    const { addsEntries, addsBytes } = accumulator;
    const growth = accumulator.growth?.() ?? [];
    if (addsEntries === 0) {
      const grown = growth.reduce((sum, each) => sum + each.bytes, 0);
      check("an item without a new entry adds what held entries grow by", grown, addsBytes);
    }
    accumulator.fold();
    check(
      "an item adds the entries and bytes it was measured for",
      [accumulator.entries, accumulator.bytes],
      [entries + addsEntries, bytes + addsBytes],
    );
    if (random() < 0.2) seal(Math.floor(random() * (accumulator.entries + 1)));
  }
  const { items: heldItems } = accumulator;
  check(
    "held and sealed are all that was added",
    heldItems + sealedItems,
    addedItems(shape, items),
  );
  seal(accumulator.entries);
  check(
    "an emptied accumulator holds nothing",
    [accumulator.items, accumulator.entries, accumulator.bytes],
    [0, 0, 0],
  );
  checkBatch("sealing piece by piece = sealing once", sealed, fold(shape, items));
}

function fold<Item, Batch>(shape: Shape<Item, Batch>, items: readonly Item[]): Batch {
  const accumulator = shape.accumulator();
  for (const item of items) {
    accumulator.measure(item);
    accumulator.fold();
  }
  return accumulator.seal(accumulator.entries).batch;
}

function addedItems<Item, Batch>(shape: Shape<Item, Batch>, items: readonly Item[]): number {
  const accumulator = shape.accumulator();
  return items.reduce((sum, item) => {
    accumulator.measure(item);
    return sum + accumulator.addsItems;
  }, 0);
}
