import type { Clock } from "../clock.ts";
import { ONE_GROUP, type Shape } from "../shapes/shape.ts";
import { Bag } from "./bag.ts";
import type { Lane } from "./lane.ts";
import type { LaneOfGroup } from "./lane-parts.ts";
import type { Settings } from "./options.ts";
import { type Share, Slots, Turn } from "./slots.ts";

/** The lanes of a batcher, and which of them an item belongs to. */
export interface Lanes<Item, Batch> extends Iterable<Lane<Item, Batch>> {
  of(item: Item): Lane<Item, Batch>;
}

interface LanesParts {
  readonly clock: Clock;
  readonly settings: () => Settings;
}

/** Makes the lane of this number. */
export type MakeLane<Item, Batch> = (index: number, call?: LaneOfGroup) => Lane<Item, Batch>;

/** The lanes that a shape needs: by key, or by group where it has groups. */
export function lanesOf<Item, Batch>(
  shape: Shape<Item, Batch>,
  size: number,
  parts: LanesParts,
  make: MakeLane<Item, Batch>,
): Lanes<Item, Batch> {
  if (shape.group === undefined) return fixedLanes(shape, size, make);
  return new GroupLanes(shape.group.bind(shape), size, parts, make);
}

/** As many lanes as there may be, for good: equal keys go to the same one, so that they keep their order. */
function fixedLanes<Item, Batch>(
  shape: Shape<Item, Batch>,
  size: number,
  make: MakeLane<Item, Batch>,
): Lanes<Item, Batch> {
  const first = make(0);
  const all = [first, ...Array.from({ length: size - 1 }, (_, index) => make(index + 1))];
  let next = 0;
  return {
    of: (item) => {
      if (size === 1) return first;
      const partition = shape.partition(item) ?? next++;
      return all[partition % size] ?? first;
    },
    [Symbol.iterator]: () => all.values(),
  };
}

interface Group<Item, Batch> extends Share {
  /** Where the next batch gathers. */
  gathering: Lane<Item, Batch> | undefined;
  /** How many lanes it has: one that gathers, and those under way. */
  lanes: number;
}

/**
 * A lane for each batch, made when a group begins to gather one, and gone when it has landed. Any
 * number gather, and as many as there are slots are in flight.
 */
class GroupLanes<Item, Batch> implements Lanes<Item, Batch> {
  readonly #groups = new Map<unknown, Group<Item, Batch>>();
  readonly #lanes = new Bag<Lane<Item, Batch>>();
  readonly #groupOf: (item: Item) => unknown;
  readonly #slots: Slots;
  readonly #clock: Clock;
  readonly #settings: () => Settings;
  readonly #make: MakeLane<Item, Batch>;
  #made = 0;

  constructor(
    groupOf: (item: Item) => unknown,
    size: number,
    { clock, settings }: LanesParts,
    make: MakeLane<Item, Batch>,
  ) {
    this.#groupOf = groupOf;
    this.#slots = new Slots(size, clock);
    this.#clock = clock;
    this.#settings = settings;
    this.#make = make;
  }

  of(item: Item): Lane<Item, Batch> {
    const key = this.#groupOf(item);
    let group = this.#groups.get(key);
    if (group?.gathering?.gathers === true) return group.gathering;
    if (group === undefined) {
      group = { gathering: undefined, lanes: 0, inFlight: 0, sole: key === ONE_GROUP };
      this.#groups.set(key, group);
    }
    return this.#begin(key, group);
  }

  [Symbol.iterator](): Iterator<Lane<Item, Batch>> {
    return this.#lanes.values().values();
  }

  #begin(key: unknown, group: Group<Item, Batch>): Lane<Item, Batch> {
    const turn = new Turn(this.#slots, group, this.#clock);
    const ended = (): void => {
      turn.giveBack();
      if (!this.#lanes.delete(lane)) return;
      group.lanes -= 1;
      if (group.gathering === lane) group.gathering = undefined;
      if (group.lanes === 0) this.#groups.delete(key);
      else if (group.lanes === 1 && this.#settings().dispatchWhenIdle) group.gathering?.expedite();
    };
    const lane = this.#make(this.#made++, { turn, alone: () => group.lanes === 1, ended });
    group.lanes += 1;
    group.gathering = lane;
    this.#lanes.add(lane);
    return lane;
  }
}
