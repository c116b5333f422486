/**
 * The newest value per key: an item replaces what is held under its key unless its version is older.
 */
import { invalidOption, refuseUnknown } from "../core/validate.ts";
import { quote, type SluiceError } from "../errors.ts";
import { fieldOf } from "./field.ts";
import { MAX_KEY_BYTES } from "./keyed.ts";
import { keyedAlgebra, sortBatch } from "./keyed-algebra.ts";
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
import {
  type LatestBatch,
  latestEntries,
  type LatestFields,
  type Scalar,
  VERSION_BYTES,
  valueBytes,
} from "./latest-batch.ts";
import type { Accumulator, Growth, Sealed, Shape, Size } from "./shape.ts";
import { textFault } from "./text.ts";
import { readVersion, type Version, VERSION_TAKES, type VersionType } from "./versions.ts";

/** An item of `latest`: its key, its values, and its version. */
export type LatestItem<
  Key extends string,
  Value extends string,
  VersionField extends string,
  Type extends VersionType = "time",
> = {
  readonly [field in Key]: string;
} & { readonly [field in Value]: Scalar } & {
  readonly [field in VersionField]: Type extends "number" ? number | bigint : Version;
};

/** The fields of a `latest` shape. */
export interface LatestOptions<
  Key extends string,
  Value extends string,
  VersionField extends string,
  Type extends VersionType = "time",
> {
  /** Text fields that make the key, at least one. */
  readonly key: readonly Key[];
  /** The field by which newer is told from older. */
  readonly version: VersionField;
  /** What the version is: a time to the microsecond (default), or a whole number. */
  readonly versionType?: Type | undefined;
  /** What is replaced as a whole: text, finite numbers, booleans or null. None may be missing. */
  readonly value: readonly Value[];
  /** The most UTF-8 bytes that the key parts of an item may have together. Default 1,024. */
  readonly maxKeyBytes?: number | undefined;
  /** The most UTF-8 bytes that the texts of an item may have together. Default 65,536. */
  readonly maxValueBytes?: number | undefined;
}

const OPTIONS = ["key", "version", "versionType", "value", "maxKeyBytes", "maxValueBytes"];

/**
 * Keeps the newest value per key. An item whose version is newer than what is held, **or equal**,
 * replaces it whole; an older one is discarded. So among equal versions the last added wins, and what
 * is kept depends on the order of adding in no other way. Every item counts: an entry says how many it
 * stands for, and those beyond one have been superseded. Batches hold each key once, sorted in UTF-8
 * byte order.
 *
 * An item whose key is held never needs room, also where its values are longer than those it replaces.
 *
 * @example
 * latest({ key: ["agent_id", "key"], value: ["value", "error"], version: "collected_at" })
 */
export function latest<
  const Key extends string,
  const Value extends string,
  const VersionField extends string,
  const Type extends VersionType = "time",
>(
  options: LatestOptions<Key, Value, VersionField, Type>,
): Shape<LatestItem<Key, Value, VersionField, Type>, LatestBatch, Record<string, unknown>> {
  refuseUnknown(options, OPTIONS, "latest: ");
  const { version } = options;
  const versionType: VersionType = options.versionType ?? "time";
  if (typeof version !== "string" || version === "") {
    throw invalidOption("latest: version", "the name of a field", version);
  }
  if (versionType !== "time" && versionType !== "number") {
    throw invalidOption("latest: versionType", '"time" or "number"', versionType);
  }
  const fields: LatestFields = Object.freeze({
    key: fieldNames("latest", "key", options.key),
    value: fieldNames("latest", "value", options.value),
    version,
    versionType,
  });
  checkFields("latest", fields.key, [...fields.key, ...fields.value, version]);
  const limits = {
    maxKeyBytes: byteLimit("latest", "maxKeyBytes", options.maxKeyBytes, MAX_KEY_BYTES),
    maxValueBytes: byteLimit("latest", "maxValueBytes", options.maxValueBytes, 65_536),
  };
  return {
    kind: "latest",
    keyed: true,
    accumulator: () => new LatestAccumulator(fields, limits),
    partition: (item) => hashKey(item, fields.key),
    ...keyedAlgebra("latest", fields, latestEntries(fields)),
  };
}

/** What an item says, checked. */
interface Reading {
  readonly key: readonly string[];
  readonly version: bigint;
  readonly values: readonly Scalar[];
  readonly bytes: number;
}

/** The newest reading of a key. */
interface Slot {
  newest: Reading;
  items: number;
  readonly keyBytes: number;
  readonly ordinal: number;
}

const NO_GROWTH: readonly Growth[] = [];

class LatestAccumulator implements Accumulator<object, LatestBatch> {
  items = 0;
  bytes = 0;
  readonly addsItems = 1;
  addsEntries = 0;
  addsBytes = 0;
  readonly #fields: LatestFields;
  readonly #known: ReadonlySet<string>;
  readonly #maxKeyBytes: number;
  readonly #maxValueBytes: number;
  readonly #index = new KeyedIndex<Slot>(({ newest }) => newest.key);
  #nextOrdinal = 0;
  /** What `measure` found: what the item says, and its slot where the key is held. */
  #reading: Reading | undefined;
  #slot: Slot | undefined;

  constructor(
    fields: LatestFields,
    { maxKeyBytes, maxValueBytes }: { maxKeyBytes: number; maxValueBytes: number },
  ) {
    this.#fields = fields;
    this.#known = new Set([...fields.key, ...fields.value, fields.version]);
    this.#maxKeyBytes = maxKeyBytes;
    this.#maxValueBytes = maxValueBytes;
  }

  get entries(): number {
    return this.#index.entries;
  }

  measure(item: object): void {
    checkItem("latest", item, this.#known);
    const { key: names } = this.#fields;
    const key = names.map((name) => fieldOf(item, name));
    const version = this.#readVersion(item);
    const values = this.#readValues(item);
    const slot = this.#index.find(key); // no code of the item's runs from here on
    const keyBytes =
      slot?.keyBytes ?? measureKey("latest", names, key, this.#maxKeyBytes) + VERSION_BYTES;
    const bytes = valueBytes(values);
    if (bytes > this.#maxValueBytes) {
      const message = `values of ${bytes} bytes are longer than maxValueBytes (${this.#maxValueBytes}), for key ${quote(key)}`;
      throw refusal("latest", "SLUICE_ERR_VALUE_TOO_LONG", message);
    }
    this.addsEntries = slot === undefined ? 1 : 0;
    if (slot === undefined) this.addsBytes = keyBytes + bytes;
    else this.addsBytes = version < slot.newest.version ? 0 : bytes - slot.newest.bytes;
    this.#reading = { key: key as string[], version, values, bytes };
    this.#slot = slot;
  }

  fold(): void {
    const reading = this.#reading;
    if (reading === undefined) throw new TypeError("fold() without measure()");
    this.#reading = undefined;
    this.bytes += this.addsBytes;
    this.items += 1;
    const slot = this.#slot;
    if (slot !== undefined) {
      slot.items += 1;
      if (reading.version >= slot.newest.version) slot.newest = reading;
      return;
    }
    const keyBytes = this.addsBytes - reading.bytes;
    this.#slot = { newest: reading, items: 1, keyBytes, ordinal: this.#nextOrdinal };
    this.#nextOrdinal += 1;
    this.#index.add(this.#slot);
  }

  growth(): readonly Growth[] {
    if (this.#slot === undefined || this.addsBytes === 0) return NO_GROWTH;
    return [{ ordinal: this.#slot.ordinal, bytes: this.addsBytes }];
  }

  ordinals(): readonly number[] {
    return this.#slot === undefined ? [] : [this.#slot.ordinal];
  }

  seal(entries: number): Sealed<LatestBatch> {
    const taken = this.#index.take(entries);
    const slots = taken.map(({ newest: { key, version, values }, items, ordinal }) => ({
      entry: Object.freeze({
        key: Object.freeze(key),
        version,
        values: Object.freeze(values),
        items,
      }),
      ordinal,
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
      bytes += slot.keyBytes + slot.newest.bytes;
    }
    this.items -= items;
    this.bytes -= bytes;
    return { items, entries: slots.length, bytes };
  }

  #readVersion(item: object): bigint {
    const { version: name, versionType } = this.#fields;
    const value = fieldOf(item, name);
    const version = readVersion(versionType, value);
    if (version !== undefined) return version;
    const message = `${quote(name)} must be ${VERSION_TAKES[versionType]}; received ${quote(value)}`;
    throw refusal("latest", "SLUICE_ERR_VERSION_INVALID", message);
  }

  #readValues(item: object): readonly Scalar[] {
    return this.#fields.value.map((name) => {
      const value = fieldOf(item, name);
      if (typeof value === "string") {
        const fault = textFault(value);
        if (fault === undefined) return value;
        throw invalidValue(`${quote(name)} holds ${fault}: ${quote(value)}`);
      }
      if (typeof value === "number" && Number.isFinite(value)) return value + 0; // never -0
      if (typeof value === "boolean" || value === null) return value;
      const expected = "text, a finite number, a boolean or null";
      throw invalidValue(`${quote(name)} must be ${expected}; received ${quote(value)}`);
    });
  }
}

const invalidValue = (message: string): SluiceError =>
  refusal("latest", "SLUICE_ERR_VALUE_INVALID", message);
