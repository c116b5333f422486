/**
 * The machine behind `sums` and `distinct`: entries under a key of text parts, each with sums that
 * add up and times of which the latest stays.
 */
import { type ErrorCode, quote, type SluiceError } from "../errors.ts";
import { refuseUnknown } from "../core/validate.ts";
import { isTime, type KeyedAccess, keyedAccess, type Slot, type Values } from "./keyed-access.ts";
import { keyedAlgebra, sortBatch } from "./keyed-algebra.ts";
import {
  freezeEntry,
  type KeyedBatch,
  keyedEntries,
  type KeyedFields,
  NUMBER_BYTES,
} from "./keyed-batch.ts";
import {
  byteLimit,
  checkFields,
  checkItem,
  fieldNames,
  hashKey,
  measureKey,
  refusal,
} from "./keyed-fields.ts";
import { KeyedIndex } from "./keyed-index.ts";
import type { Accumulator, Sealed, Shape, Size } from "./shape.ts";

/** What the keyed shapes take. */
export interface KeyedOptions {
  readonly key: readonly string[];
  /** Of `sums` alone. */
  readonly sum?: readonly string[] | undefined;
  readonly last?: readonly string[] | undefined;
  readonly maxKeyBytes?: number | undefined;
}

/** The most bytes that the parts of a key may have where nothing else is stated. */
export const MAX_KEY_BYTES = 1_024;

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
  checkFields(kind, fields.key, [...fields.key, ...fields.sum, ...fields.last]);
  const maxKeyBytes = byteLimit(kind, "maxKeyBytes", options.maxKeyBytes, MAX_KEY_BYTES);
  const access = keyedAccess(fields);
  return {
    kind,
    keyed: true,
    accumulator: () => new KeyedAccumulator<Item>(kind, fields, maxKeyBytes, access),
    partition: (item) => hashKey(item, fields.key),
    ...keyedAlgebra(kind, fields, keyedEntries(fields)),
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
  readonly #index: KeyedIndex<Slot>;
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
    this.#index = new KeyedIndex((slot) => access.entry(slot).key);
  }

  get entries(): number {
    return this.#index.entries;
  }

  measure(added: Item): void {
    checkItem(this.#kind, added, this.#known);
    const values = this.#access.read(added);
    const slot = this.#access.find(this.#index.root, values) ?? this.#look(values);
    if (slot !== undefined) {
      this.addsEntries = 0;
      this.addsBytes = 0;
    } else {
      const { key, sum, last } = this.#fields;
      const keyBytes = measureKey(this.#kind, key, values, this.#maxKeyBytes);
      this.addsBytes = keyBytes + NUMBER_BYTES * (sum.length + last.length);
      this.addsEntries = 1;
    }
    this.#values = values;
    this.#slot = slot;
  }

  absorb(added: Item): boolean {
    if (typeof added !== "object" || added === null) return false;
    const slot = this.#access.absorb(this.#index.root, added);
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
    const taken = this.#index.take(entries);
    const slots = taken.map((slot) => ({
      entry: freezeEntry(this.#access.entry(slot)),
      ordinal: slot.ordinal,
    }));
    return { ...sortBatch(this.#fields, slots), ...this.#leave(taken) };
  }

  dropOldest(): Size {
    return this.#leave(this.#index.take(1));
  }

  #leave(slots: readonly Slot[]): Size {
    let [items, bytes] = [0, 0];
    for (const slot of slots) {
      items += slot.items;
      bytes += slot.bytes;
    }
    this.items -= items;
    this.bytes -= bytes;
    return { items, entries: slots.length, bytes };
  }

  /** The close look: throws what is wrong with the values, or finds the slot of their key, if held. */
  #look(values: Values): Slot | undefined {
    const { key, sum, last } = this.#fields;
    const slot = this.#index.find(values.slice(0, key.length));
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
    this.#index.add(slot);
    this.bytes += slot.bytes;
    return slot;
  }

  #usage(code: ErrorCode, message: string): SluiceError {
    return refusal(this.#kind, code, message);
  }
}
