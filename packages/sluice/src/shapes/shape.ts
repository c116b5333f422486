/**
 * The contract of a shape: the algebra of one kind of batch.
 *
 * Laws, published as a property suite in `sluice/testing` (`checkShapeLaws`):
 *
 *     fold(xs ++ ys)     = merge(fold(xs), fold(ys))
 *     merge(split(b, n)) = b
 *     decode(encode(b))  = b
 *     items(merge(a, b)) = items(a) + items(b)
 */

/** How much something holds. An item is what a caller adds; an entry is what a batch writes. */
export interface Size {
  readonly items: number;
  readonly entries: number;
  readonly bytes: number;
}

/** A frozen batch as it leaves its accumulator. */
export interface Sealed<Batch> extends Size {
  readonly batch: Batch;
  /** The ordinal of each entry of the batch, in batch order; absent when they simply ascend. */
  readonly ordinals?: readonly number[] | undefined;
}

/** How a held entry changes. */
export interface Growth {
  readonly ordinal: number;
  readonly bytes: number;
}

/**
 * Gathers items into entries. Entries have ordinals: 0, 1, 2, … in the order in which they came to
 * be, over the accumulator's whole life.
 *
 * Adding takes two steps, so that an item is checked and measured once, and admitted between the
 * two: `measure` looks and changes nothing, `fold` takes in the item last measured.
 */
export interface Accumulator<Item, Batch> {
  /** Held: items, entries and bytes that are not sealed yet. */
  readonly items: number;
  readonly entries: number;
  readonly bytes: number;
  /**
   * What the item last measured would add. No new entry means that it needs no room: where it only
   * makes held entries longer, or shorter by negative bytes, it is always taken.
   */
  readonly addsItems: number;
  readonly addsEntries: number;
  readonly addsBytes: number;
  /**
   * The short way for an item whose key is held: folds it in and says so. Whatever else the item
   * may be, nothing is changed, and `measure` will tell. Shapes without keys leave it out.
   */
  absorb?(item: Item): boolean;
  /**
   * By how many bytes the item last measured makes each held entry longer, or shorter: part of
   * `addsBytes`. Shapes whose entries keep their size leave it out.
   */
  growth?: (() => readonly Growth[]) | undefined;
  /** Checks and measures an item. Throws a usage error that quotes the value; nothing is changed. */
  measure(item: Item): void;
  /** Folds in the item last measured. */
  fold(): void;
  /** The ordinals of the entries that hold the item last folded or absorbed. */
  ordinals(): readonly number[];
  /** Removes the oldest `entries` entries and freezes them into a batch. */
  seal(entries: number): Sealed<Batch>;
  /** Removes the oldest entry and forgets it. */
  dropOldest(): Size;
  /** A batch sealed here has landed and nobody reads it any more: its memory may be used again. */
  recycle?(batch: Batch): void;
}

/** What a sink may need of a shape: looking into a batch and taking it apart. */
export interface BatchAlgebra<Batch, Entry = unknown> {
  size(batch: Batch): Size;
  /** The entry at `index` as a person or a dead-letter store would want to read it. */
  entryAt(batch: Batch, index: number): Entry;
  /** How many items were folded into the entry at `index`. */
  itemsAt(batch: Batch, index: number): number;
  /** The first `at` entries, from none to all, and the rest, in order. */
  split(batch: Batch, at: number): readonly [Batch, Batch];
}

/** The group of all items, in shapes that could have groups and do not: it may use every lane. */
export const ONE_GROUP: unique symbol = Symbol("sluice.one-group");

/** The algebra of one kind of batch, and where batches begin. */
export interface Shape<Item, Batch, Entry = unknown> extends BatchAlgebra<Batch, Entry> {
  /** What kind of shape this is, for messages: "sums". */
  readonly kind: string;
  /** Whether equal keys share an entry, so that a held key never needs room. */
  readonly keyed: boolean;
  accumulator(): Accumulator<Item, Batch>;
  /**
   * Which items may share a batch, compared as a `Map` compares. Batches of such a shape have no order:
   * each goes when one of the `lanes` is free. Absent where any items may share one, in order.
   */
  group?(item: Item): unknown;
  /** A 32-bit number that is equal for equal keys; `undefined` where there is no key. */
  partition(item: Item): number | undefined;
  merge(first: Batch, second: Batch): Batch;
  encode(batch: Batch): Uint8Array;
  /** Throws `SLUICE_ERR_BATCH_INVALID` for bytes that are no batch of this shape. */
  decode(bytes: Uint8Array): Batch;
}
