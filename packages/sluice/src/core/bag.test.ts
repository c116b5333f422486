import { expect, it } from "vitest";
import { seededRandom } from "../testing/index.ts";
import { Bag } from "./bag.ts";

it("holds what a Set would", () => {
  const random = seededRandom(1);
  const things = Array.from({ length: 20 }, (_, id) => ({ id, place: -1 }));
  const bag = new Bag<(typeof things)[number]>();
  const set = new Set<(typeof things)[number]>();
  for (let step = 0; step < 2_000; step += 1) {
    const thing = things[Math.floor(random() * things.length)];
    if (thing === undefined) continue;
    if (random() < 0.5) expect(bag.delete(thing)).toBe(set.delete(thing));
    else if (!set.has(thing)) {
      bag.add(thing);
      set.add(thing);
    }
    expect(new Set(bag.values())).toEqual(set);
    expect(bag.values()).toHaveLength(set.size);
  }
});
