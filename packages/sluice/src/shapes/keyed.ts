/**
 * The machine behind `sums` and `distinct`: entries under a key of text parts, each with sums that
 * add up and times of which the latest stays.
 *
 * A key is looked up part by part in nested maps, never by a joined string: ("a", "b\0c") and
 * ("a\0b", "c") stay apart, nothing is concatenated per item, and `__proto__` is a key like any other.
 */
import { type ErrorCode, quote, SluiceError } from "../errors.ts";
import { refuseUnknown } from "../core/validate.ts";
import {
  isTime,
  type KeyedAccess,
  keyedAccess,
  type Level,
  type Slot,
  type Values,
} from "./keyed-access.ts";
import {
  compareEntries,
  decode,
  encode,
  entryAt,
  freeze,
  freezeEntry,
  type KeyedBatch,
  type KeyedFields,
  mergeEntries,
  NUMBER_BYTES,
  record,
  sizeOf,
  split,
} from "./keyed-batch.ts";
import type { Accumulator, Sealed, Shape, Size } from "./shape.ts";
import { byteLength, textFault } from "./text.ts";

/** What the keyed shapes take. */
export interface KeyedOptions {
  readonly key: readonly string[];
  /** Of `sums` alone. */
  readonly sum?: readonly string[] | undefined;
  readonly last?: readonly string[] | undefined;
  readonly maxKeyBytes?: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Makes a keyed shape of the given kind. */
export function keyedShape<Item extends object>(
  kind: string,
  options: KeyedOptions,
): Shape<Item, KeyedBatch, Record<string, unknown>> {
  const last = ["last", "maxKeyBytes"];
  refuseUnknown(options, kind === "sums" ? ["key", "sum", ...last] : ["key", ...last], `${kind}: `);
  const fields: KeyedFields = Object.freeze({
    key: fieldNames(kind, "key", options.key),
    sum: fieldNames(kind, "sum", kind === "sums" ? options.sum : []),
    last: fieldNames(kind, "last", options.last === undefined ? [] : options.last),
  });
  const all = [...fields.key, ...fields.sum, ...fields.last];
  const twice = all.find((name, index) => all.indexOf(name) !== index);
  if (twice !== undefined) {
    throw usage("SLUICE_ERR_OPTION_CONFLICT", `${kind}: field ${quote(twice)} is named twice`);
  }
  if (fields.key.length === 0) {
    throw usage("SLUICE_ERR_OPTION_INVALID", `${kind}: key needs at least one field`);
  }
  const { maxKeyBytes = 1_024 } = options;
  if (!Number.isInteger(maxKeyBytes) || maxKeyBytes < 1) {
    const message = `${kind}: maxKeyBytes must be a whole number above 0; received ${quote(maxKeyBytes)}`;
    throw usage("SLUICE_ERR_OPTION_INVALID", message);
  }
  const access = keyedAccess(fields);
  return {
    kind,
    keyed: true,
    accumulator: () => new KeyedAccumulator<Item>(kind, fields, maxKeyBytes, access),
    partition: (item) => hashKey(item, fields.key),
    size: sizeOf,
    entryAt: (batch, index) => record(batch, entryAt(batch, index)),
    itemsAt: (batch, index) => entryAt(batch, index).items,
    split,
    merge: (first, second) => freeze(fields, mergeEntries(first.entries, second.entries)),
    encode,
    decode: (bytes) => decode(kind, fields, bytes),
  };
}

class KeyedAccumulator<Item extends object> implements Accumulator<Item, KeyedBatch> {
  items = 0;
  bytes = 0;
  readonly addsItems = 1;
  addsEntries = 0;
  addsBytes = 0;
  readonly #kind: string;
  readonly #fields: KeyedFields;
  readonly #known: ReadonlySet<string>;
  readonly #access: KeyedAccess;
  readonly #maxKeyBytes: number;
  #root: Level = new Map();
  #slots: Slot[] = [];
  /** How many slots at the front have been dropped and await removal. */
  #gone = 0;
  #nextOrdinal = 0;
  /** What `measure` found: the item's fields, and its slot where the key is held. */
  #values: Values | undefined;
  #slot: Slot | undefined;

  constructor(kind: string, fields: KeyedFields, maxKeyBytes: number, access: KeyedAccess) {
    this.#kind = kind;
    this.#fields = fields;
    this.#known = new Set([...fields.key, ...fields.sum, ...fields.last]);
    this.#access = access;
    this.#maxKeyBytes = maxKeyBytes;
  }

  get entries(): number {
    return this.#slots.length - this.#gone;
  }

  measure(added: Item): void {
    if (typeof added !== "object" || added === null || Array.isArray(added)) {
      throw this.#usage(
        "SLUICE_ERR_ITEM_INVALID",
        `an item is an object; received ${quote(added)}`,
      );
    }
    this.#refuseUnknownFields(added as Fields);
    const values = this.#access.read(added);
    const slot = this.#access.find(this.#root, values) ?? this.#look(values);
    if (slot !== undefined) {
      this.addsEntries = 0;
      this.addsBytes = 0;
    } else {
      const { sum, last } = this.#fields;
      this.addsBytes = this.#measureKey(values) + NUMBER_BYTES * (sum.length + last.length);
      this.addsEntries = 1;
    }
    this.#values = values;
    this.#slot = slot;
  }

  absorb(added: Item): boolean {
    if (typeof added !== "object" || added === null) return false;
    const slot = this.#access.absorb(this.#root, added);
    if (slot === undefined) return false;
    this.items += 1;
    this.#slot = slot;
    return true;
  }

  fold(): void {
    if (this.#values === undefined) throw new TypeError("fold() without measure()");
    this.#slot ??= this.#open(this.#values);
    this.#access.fold(this.#slot, this.#values);
    this.items += 1;
    this.#values = undefined;
  }

  ordinals(): readonly number[] {
    return this.#slot === undefined ? [] : [this.#slot.ordinal];
  }

  seal(entries: number): Sealed<KeyedBatch> {
    const slots = this.#slots.slice(this.#gone, this.#gone + entries);
    if (slots.length === this.entries) {
      this.#root = new Map();
      this.#slots = [];
      this.#gone = 0;
    } else {
      for (const slot of slots) this.#forget(slot);
      this.#gone += slots.length;
      this.#compact();
    }
    const sorted = slots.map((slot) => ({
      entry: freezeEntry(this.#access.entry(slot)),
      ordinal: slot.ordinal,
    }));
    sorted.sort((a, b) => compareEntries(a.entry, b.entry));
    const batch = freeze(
      this.#fields,
      sorted.map(({ entry }) => entry),
    );
    const size = sizeOf(batch);
    this.items -= size.items;
    this.bytes -= size.bytes;
    return { batch, ...size, ordinals: sorted.map(({ ordinal }) => ordinal) };
  }

  dropOldest(): Size {
    const slot = this.#slots[this.#gone];
    if (slot === undefined) return { items: 0, entries: 0, bytes: 0 };
    this.#forget(slot);
    this.#gone += 1;
    this.#compact();
    this.items -= slot.items;
    this.bytes -= slot.bytes;
    return { items: slot.items, entries: 1, bytes: slot.bytes };
  }

  #refuseUnknownFields(item: Fields): void {
    for (const name in item) {
      if (this.#known.has(name)) continue;
      const known = [...this.#known].join(", ");
      const message = `unknown field ${quote(name)} with value ${quote(item[name])}; the fields are ${known}`;
      throw this.#usage("SLUICE_ERR_ITEM_UNKNOWN_FIELD", message);
    }
  }

  /** The close look: throws what is wrong with the values, or finds the slot of their key, if held. */
  #look(values: Values): Slot | undefined {
    const { key, sum, last } = this.#fields;
    let level: Level | Slot | undefined = this.#root;
    for (const index of key.keys()) {
      level = (level as Level | undefined)?.get(values[index] as string);
    }
    const slot = level as Slot | undefined;
    const held = slot === undefined ? undefined : this.#access.entry(slot);
    for (const [index, name] of sum.entries()) {
      const value = values[key.length + index];
      if (value === undefined) continue;
      if (!Number.isSafeInteger(value)) {
        const message = `${quote(name)} must be a whole number within ±(2^53 - 1); received ${quote(value)}`;
        throw this.#usage("SLUICE_ERR_SUM_INVALID", message);
      }
      if (!Number.isSafeInteger(Number(value) + (held?.sums[index] ?? 0))) {
        const message = `${quote(name)} would leave ±(2^53 - 1) if ${quote(value)} were added for key ${quote(held?.key)}`;
        throw this.#usage("SLUICE_ERR_SUM_INVALID", message);
      }
    }
    for (const [index, name] of last.entries()) {
      const value = values[key.length + sum.length + index];
      if (value === undefined || isTime(value)) continue;
      const message = `${quote(name)} must be a Date or epoch milliseconds within the years 1 to 9999; received ${quote(value)}`;
      throw this.#usage("SLUICE_ERR_TIME_INVALID", message);
    }
    return slot;
  }

  #open(values: Values): Slot {
    const slot = this.#access.open(values, this.addsBytes, this.#nextOrdinal);
    this.#nextOrdinal += 1;
    this.#slots.push(slot);
    this.bytes += slot.bytes;
    let level = this.#root;
    const parts = this.#access.entry(slot).key;
    for (const part of parts.slice(0, -1)) {
      let next = level.get(part) as Level | undefined;
      if (next === undefined) level.set(part, (next = new Map()));
      level = next;
    }
    level.set(parts.at(-1) as string, slot);
    return slot;
  }

  /** Takes the slot out of the maps, and maps that it leaves empty with it. */
  #forget(slot: Slot): void {
    const path: [Level, string][] = [];
    let level: Level | Slot | undefined = this.#root;
    for (const part of this.#access.entry(slot).key) {
      path.push([level as Level, part]);
      level = (level as Level).get(part);
    }
    for (const [map, part] of path.reverse()) {
      map.delete(part);
      if (map.size > 0) break;
    }
  }

  /** Removes dropped slots once they are the greater half: each slot moves a bounded number of times. */
  #compact(): void {
    if (this.#gone * 2 < this.#slots.length) return;
    this.#slots = this.#slots.slice(this.#gone);
    this.#gone = 0;
  }

  #measureKey(values: Values): number {
    let bytes = 0;
    for (const [index, name] of this.#fields.key.entries()) {
      const part = values[index];
      if (typeof part !== "string") {
        const message = `key field ${quote(name)} must be a string; received ${quote(part)}`;
        throw this.#usage("SLUICE_ERR_KEY_INVALID", message);
      }
      const fault = textFault(part);
      if (fault !== undefined) {
        const message = `key field ${quote(name)} holds ${fault}: ${quote(part)}`;
        throw this.#usage("SLUICE_ERR_KEY_INVALID", message);
      }
      bytes += byteLength(part);
    }
    if (bytes > this.#maxKeyBytes) {
      const parts = values.slice(0, this.#fields.key.length);
      const message = `a key of ${bytes} bytes is longer than maxKeyBytes (${this.#maxKeyBytes}): ${quote(parts)}`;
      throw this.#usage("SLUICE_ERR_KEY_TOO_LONG", message);
    }
    return bytes;
  }

  #usage(code: ErrorCode, message: string): SluiceError {
    return new SluiceError(code, `${this.#kind}: ${message}`);
  }
}

/** FNV-1a over the parts. Parts that are not text are left to `measure` to refuse. */
function hashKey(item: object, key: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const name of key) {
    const part: unknown = (item as Fields | null)?.[name];
    if (typeof part !== "string") continue;
    for (let index = 0; index < part.length; index += 1) {
      hash = Math.imul(hash ^ part.charCodeAt(index), 0x01000193);
    }
    hash = Math.imul(hash ^ 0xffff, 0x01000193);
  }
  return hash >>> 0;
}

function fieldNames(kind: string, option: string, names: unknown): readonly string[] {
  const isName = (name: unknown): boolean => typeof name === "string" && name !== "";
  if (!Array.isArray(names) || !Array.from(names).every(isName)) {
    const message = `${kind}: ${option} must be a list of field names; received ${quote(names)}`;
    throw usage("SLUICE_ERR_OPTION_INVALID", message);
  }
  return Object.freeze([...(names as string[])]);
}

const usage = (code: ErrorCode, message: string): SluiceError => new SluiceError(code, message);
