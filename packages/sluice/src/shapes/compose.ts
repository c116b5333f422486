import { type ErrorCode, quote, SluiceError } from "../errors.ts";
import { fieldOf } from "./field.ts";
import type { Accumulator, Growth, Sealed, Shape, Size } from "./shape.ts";

/** The shapes to compose, by part name. */
export type Parts = Readonly<Record<string, Shape<never, unknown>>>;

/** An item of a composed shape: one item for one or more of its parts. */
export type ComposedItem<P extends Parts> = {
  readonly [name in keyof P]?:
    | (P[name] extends Shape<infer Item, infer _> ? Item : never)
    | undefined;
};

/** A batch of a composed shape: a batch of every part, empty ones included. */
export type ComposedBatch<P extends Parts> = {
  readonly [name in keyof P]: P[name] extends Shape<never, infer Batch> ? Batch : never;
};

/** An entry of a composed batch, and the part that it belongs to. */
export interface ComposedEntry {
  readonly part: string;
  readonly entry: unknown;
}

/** A batch of every part, by part name. */
type Batches = Readonly<Record<string, unknown>>;
type PartList = readonly (readonly [name: string, shape: Shape<unknown, unknown>])[];

/**
 * Several shapes that are gathered and flushed together: a batch holds a batch of every part, and a
 * sink that is atomic writes all or none of it. The parts of one item are accepted together, and
 * each counts as an item in the books. The entries of a batch are those of its parts, in the order
 * in which the parts are named here. With several lanes, an item goes by the key of its first part.
 *
 * @example
 * compose({ requests: sums({ key: ["client"], sum: ["count"] }), seen: distinct({ key: ["client"] }) })
 */
export function compose<const P extends Parts>(
  parts: P,
): Shape<ComposedItem<P>, ComposedBatch<P>, ComposedEntry> {
  if (typeof parts !== "object" || parts === null || Array.isArray(parts)) {
    throw usage(
      "SLUICE_ERR_OPTION_INVALID",
      `the parts must be an object of shapes; received ${quote(parts)}`,
    );
  }
  const list = Object.entries(parts) as PartList;
  for (const [name, shape] of list) {
    if (typeof shape?.accumulator === "function") continue;
    throw usage(
      "SLUICE_ERR_OPTION_INVALID",
      `part ${quote(name)} must be a shape; received ${quote(shape)}`,
    );
  }
  if (list.length === 0) throw usage("SLUICE_ERR_OPTION_INVALID", "name at least one part");
  // Inside, parts are known by name alone; P gives the same object its exact types.
  return composedShape(list) as Shape<ComposedItem<P>, Batches, ComposedEntry> as Shape<
    ComposedItem<P>,
    ComposedBatch<P>,
    ComposedEntry
  >;
}

function composedShape(parts: PartList): Shape<Batches, Batches, ComposedEntry> {
  const build = <T>(of: (shape: Shape<unknown, unknown>, name: string) => T): Record<string, T> =>
    Object.fromEntries(parts.map(([name, shape]) => [name, of(shape, name)]));
  const size = (batch: Batches): Size =>
    sumSizes(parts.map(([name, shape]) => shape.size(batch[name])));
  /** A batch never changes, and to weigh one takes as long as it has entries. */
  const counts = new WeakMap<Batches, readonly number[]>();
  const countsOf = (batch: Batches): readonly number[] => {
    const counted =
      counts.get(batch) ?? parts.map(([name, shape]) => shape.size(batch[name]).entries);
    counts.set(batch, counted);
    return counted;
  };
  const locate = (batch: Batches, index: number) => {
    let rest = index;
    const entriesOf = countsOf(batch);
    for (const [place, [name, shape]] of parts.entries()) {
      const entries = entriesOf[place] ?? 0;
      if (rest < entries) return { name, shape, index: rest };
      rest -= entries;
    }
    throw new RangeError(`no entry ${index} in a batch of ${size(batch).entries}`);
  };
  return {
    kind: "compose",
    keyed: parts.every(([, { keyed }]) => keyed),
    accumulator: () => new ComposedAccumulator(parts),
    partition: (item) => {
      if (typeof item !== "object" || item === null) return undefined;
      const present = parts.find(([name]) => fieldOf(item, name) !== undefined);
      return present?.[1].partition(fieldOf(item, present[0]));
    },
    size,
    entryAt: (batch, index) => {
      const { name, shape, index: place } = locate(batch, index);
      return { part: name, entry: shape.entryAt(batch[name], place) };
    },
    itemsAt: (batch, index) => {
      const { name, shape, index: place } = locate(batch, index);
      return shape.itemsAt(batch[name], place);
    },
    split: (batch, at) => {
      let rest = at;
      const halves = build((shape, name) => {
        const { entries } = shape.size(batch[name]);
        const take = Math.min(rest, entries);
        rest -= take;
        return shape.split(batch[name], take);
      });
      const half = (place: 0 | 1): Batches =>
        Object.freeze(build((_, name) => halves[name]?.[place]));
      return [half(0), half(1)];
    },
    merge: (first, second) =>
      Object.freeze(build((shape, name) => shape.merge(first[name], second[name]))),
    encode: (batch) => joinBytes(parts.map(([name, shape]) => shape.encode(batch[name]))),
    decode: (bytes) => {
      const encoded = splitBytes(bytes, parts.length);
      let place = 0;
      return Object.freeze(build((shape) => shape.decode(encoded[place++] ?? new Uint8Array())));
    },
  };
}

/** One part of a composed accumulator, and where its entries stand among those of all parts. */
interface Gathered {
  readonly name: string;
  readonly accumulator: Accumulator<unknown, unknown>;
  /** The composed ordinals of its unsealed entries, in order. */
  composed: number[];
  /** Its own ordinal of the first of them. */
  first: number;
  /** This part and no other. */
  readonly alone: readonly Gathered[];
}

class ComposedAccumulator implements Accumulator<Batches, Batches> {
  addsItems = 0;
  addsEntries = 0;
  addsBytes = 0;
  readonly growth: (() => readonly Growth[]) | undefined;
  readonly #parts: readonly Gathered[];
  readonly #byName: ReadonlyMap<string, Gathered>;
  #present: readonly Gathered[] = [];
  #nextOrdinal = 0;

  constructor(parts: PartList) {
    this.#parts = parts.map(([name, shape]) => {
      const alone: Gathered[] = [];
      const part = { name, accumulator: shape.accumulator(), composed: [], first: 0, alone };
      alone.push(part);
      return part;
    });
    this.#byName = new Map(this.#parts.map((part) => [part.name, part]));
    const grows = this.#parts.some(({ accumulator }) => accumulator.growth !== undefined);
    this.growth = grows ? () => this.#growth() : undefined;
  }

  get items(): number {
    return this.#parts.reduce((sum, { accumulator }) => sum + accumulator.items, 0);
  }

  get entries(): number {
    return this.#parts.reduce((sum, { accumulator }) => sum + accumulator.entries, 0);
  }

  get bytes(): number {
    return this.#parts.reduce((sum, { accumulator }) => sum + accumulator.bytes, 0);
  }

  measure(item: Batches): void {
    if (typeof item !== "object" || item === null) {
      throw usage(
        "SLUICE_ERR_ITEM_INVALID",
        `an item is an object of parts; received ${quote(item)}`,
      );
    }
    for (const name in item) {
      if (this.#byName.has(name)) continue;
      const message = `unknown part ${quote(name)}; the parts are ${this.#names()}`;
      throw usage("SLUICE_ERR_ITEM_UNKNOWN_FIELD", message);
    }
    const present: Gathered[] = [];
    for (const part of this.#parts) {
      const value = fieldOf(item, part.name);
      if (value === undefined) continue;
      part.accumulator.measure(value);
      present.push(part);
    }
    if (present.length === 0) {
      throw usage("SLUICE_ERR_ITEM_INVALID", `an item needs one of its parts: ${this.#names()}`);
    }
    this.#present = present;
    [this.addsItems, this.addsEntries, this.addsBytes] = [0, 0, 0];
    for (const { accumulator } of present) {
      this.addsItems += accumulator.addsItems;
      this.addsEntries += accumulator.addsEntries;
      this.addsBytes += accumulator.addsBytes;
    }
  }

  /** The short way for items of one part; whatever else an item may be is measured. */
  absorb(item: Batches): boolean {
    if (typeof item !== "object" || item === null) return false;
    let only: string | undefined;
    for (const name in item) {
      if (only !== undefined) return false;
      only = name;
    }
    const part = only === undefined ? undefined : this.#byName.get(only);
    if (only === undefined || part?.accumulator.absorb?.(item[only]) !== true) return false;
    this.#present = part.alone;
    return true;
  }

  fold(): void {
    for (const { accumulator, composed } of this.#present) {
      for (let added = 0; added < accumulator.addsEntries; added += 1) {
        composed.push(this.#nextOrdinal);
        this.#nextOrdinal += 1;
      }
      accumulator.fold();
    }
  }

  #growth(): readonly Growth[] {
    return this.#present.flatMap(({ accumulator, composed, first }) =>
      (accumulator.growth?.() ?? []).map(({ ordinal, bytes }) => ({
        ordinal: composed[ordinal - first] ?? 0,
        bytes,
      })),
    );
  }

  ordinals(): readonly number[] {
    return this.#present.flatMap(({ accumulator, composed, first }) =>
      accumulator.ordinals().map((own) => composed[own - first] ?? 0),
    );
  }

  seal(entries: number): Sealed<Batches> {
    const end = this.#nextOrdinal - this.entries + entries;
    const ordinals: number[] = [];
    const sealed = this.#parts.map((part) => {
      const take = part.composed.filter((ordinal) => ordinal < end).length;
      const own = part.accumulator.seal(take);
      for (let index = 0; index < take; index += 1) {
        const place = own.ordinals === undefined ? index : (own.ordinals[index] ?? 0) - part.first;
        ordinals.push(part.composed[place] ?? 0);
      }
      part.composed = part.composed.slice(take);
      part.first += take;
      return { ...own, name: part.name };
    });
    const batch = Object.fromEntries(sealed.map(({ name, batch: own }) => [name, own]));
    return { batch: Object.freeze(batch), ...sumSizes(sealed), ordinals };
  }

  #names(): string {
    return [...this.#byName.keys()].join(", ");
  }

  dropOldest(): Size {
    const oldest = this.#parts.reduce((a, b) =>
      (b.composed[0] ?? Infinity) < (a.composed[0] ?? Infinity) ? b : a,
    );
    if (oldest.composed.length === 0) return sumSizes([]);
    oldest.composed.shift();
    oldest.first += 1;
    return oldest.accumulator.dropOldest();
  }
}

function sumSizes(sizes: readonly Size[]): Size {
  const sum = { items: 0, entries: 0, bytes: 0 };
  for (const { items, entries, bytes } of sizes) {
    sum.items += items;
    sum.entries += entries;
    sum.bytes += bytes;
  }
  return sum;
}

/** Each part as its length in four bytes, big-endian, and then its bytes. */
function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(joined.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length);
    joined.set(part, at + 4);
    at += 4 + part.length;
  }
  return joined;
}

function splitBytes(bytes: Uint8Array, count: number): readonly Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  let at = 0;
  while (parts.length < count && at + 4 <= bytes.length) {
    const end = at + 4 + view.getUint32(at);
    if (end > bytes.length) break;
    parts.push(bytes.subarray(at + 4, end));
    at = end;
  }
  if (parts.length === count && at === bytes.length) return parts;
  throw usage(
    "SLUICE_ERR_BATCH_INVALID",
    `these ${bytes.length} bytes are no batch of ${count} parts`,
  );
}

function usage(code: ErrorCode, message: string): SluiceError {
  return new SluiceError(code, `compose: ${message}`);
}
