/**
 * Entries under keys of text parts, in the order in which they came to be.
 *
 * A key is looked up part by part in nested maps, never by a joined string: ("a", "b\0c") and
 * ("a\0b", "c") stay apart, nothing is concatenated per item, and `__proto__` is a key like any other.
 */

/** Slots by key part, one map within the other. */
export type Level<Slot> = Map<string, Level<Slot> | Slot>;

/** Holds slots by their keys. What a slot is, and how it keeps its key, only its owner knows. */
export class KeyedIndex<Slot extends object> {
  root: Level<Slot> = new Map();
  readonly #keyOf: (slot: Slot) => readonly string[];
  #slots: Slot[] = [];
  /** How many slots at the front have left and await removal. */
  #gone = 0;

  constructor(keyOf: (slot: Slot) => readonly string[]) {
    this.#keyOf = keyOf;
  }

  get entries(): number {
    return this.#slots.length - this.#gone;
  }

  /** The slot of a key; parts that are no text are no key. */
  find(key: readonly unknown[]): Slot | undefined {
    let level: Level<Slot> | Slot | undefined = this.root;
    for (const part of key) level = (level as Level<Slot> | undefined)?.get(part as string);
    return level as Slot | undefined;
  }

  /** Adds the slot of a key that is not held. */
  add(slot: Slot): void {
    this.#slots.push(slot);
    let level = this.root;
    const key = this.#keyOf(slot);
    for (const part of key.slice(0, -1)) {
      let next = level.get(part) as Level<Slot> | undefined;
      if (next === undefined) level.set(part, (next = new Map()));
      level = next;
    }
    level.set(key.at(-1) as string, slot);
  }

  /** Removes the oldest `count` slots and gives them, oldest first. */
  take(count: number): readonly Slot[] {
    const slots = this.#slots.slice(this.#gone, this.#gone + count);
    if (slots.length === this.entries) {
      this.root = new Map();
      this.#slots = [];
      this.#gone = 0;
      return slots;
    }
    for (const slot of slots) this.#forget(slot);
    this.#gone += slots.length;
    // Removed once they are the greater half: each slot moves a bounded number of times.
    if (this.#gone * 2 >= this.#slots.length) {
      this.#slots = this.#slots.slice(this.#gone);
      this.#gone = 0;
    }
    return slots;
  }

  /** Takes the slot out of the maps, and maps that it leaves empty with it. */
  #forget(slot: Slot): void {
    const path: [Level<Slot>, string][] = [];
    let level: Level<Slot> | Slot | undefined = this.root;
    for (const part of this.#keyOf(slot)) {
      path.push([level as Level<Slot>, part]);
      level = (level as Level<Slot>).get(part);
    }
    for (const [map, part] of path.reverse()) {
      map.delete(part);
      if (map.size > 0) break;
    }
  }
}
