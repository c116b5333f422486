/** Something that knows its place in the one bag that holds it; -1 when none does. */
export interface Bagged {
  place: number;
}

/**
 * Things that come and go by the thousand. What a Set is, without its tables: V8 replaces those as things
 * come and go, and each old one, once it has grown old, keeps all that it and the next ones held from
 * minor collections. With a thing for each call that made a load three times as expensive.
 */
export class Bag<Item extends Bagged> {
  readonly #items: Item[] = [];

  add(item: Item): void {
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** False if it is not in the bag. */
  delete(item: Item): boolean {
    const { place } = item;
    if (place < 0) return false;
    item.place = -1;
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      last.place = place;
      this.#items[place] = last;
    }
    return true;
  }

  /** In no order. */
  values(): readonly Item[] {
    return this.#items.slice();
  }
}
