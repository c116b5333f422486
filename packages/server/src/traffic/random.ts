/** The next number of a reproducible sequence, in [0, 1). */
export type Random = () => number;

/** Creates the sequence of a seed (a whole number that is safe in a double): sfc32. */
export function createRandom(seed: number): Random {
  // The golden ratio and pi keep small seeds apart from the first draw on.
  let a = seed >>> 0;
  let b = Math.floor(seed / 2 ** 32) >>> 0;
  let c = 0x9e3779b9;
  let counter = 0x243f6a88;

  function next(): number {
    const result = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return (result >>> 0) / 2 ** 32;
  }

  // Fifteen rounds carry every bit of the seed into every bit of the state.
  for (let round = 0; round < 15; round += 1) next();
  return next;
}

/** Creates a pick among items, each as likely as its weight. At least one item is needed. */
export function createWeightedPick<T>(
  items: readonly T[],
  weightOf: (item: T) => number,
): (random: Random) => T {
  const table: { item: T; upTo: number }[] = [];
  let total = 0;
  for (const item of items) {
    total += weightOf(item);
    table.push({ item, upTo: total });
  }
  const last = table.at(-1);
  if (last === undefined) throw new RangeError("there is nothing to pick from");

  return (random) => {
    const drawn = random() * total;
    let low = 0;
    let high = table.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (drawn < (table[middle]?.upTo ?? total)) high = middle;
      else low = middle + 1;
    }
    return (table[low] ?? last).item;
  };
}
