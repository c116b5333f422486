import { invalidOption, refuseUnknown } from "../core/validate.ts";
import { quote, SluiceError } from "../errors.ts";
import type { Accumulator, Sealed, Shape, Size } from "./shape.ts";
import { byteLength } from "./text.ts";

/** The options of a `list` shape. */
export interface ListOptions<Value> {
  /**
   * Refuses a value by throwing; `add` and `tryAdd` pass the error on. Default: all values are taken.
   */
  readonly check?: ((value: Value) => void) | undefined;
  /**
   * How many bytes a value counts for. Default: UTF-8 bytes of text, length of byte arrays, 8 for
   * other scalars, and for objects and arrays the sum over their fields, three levels deep.
   */
  readonly bytes?: ((value: Value) => number) | undefined;
  /** How a batch becomes bytes and back, for journals. Default: JSON. */
  readonly codec?:
    | {
        readonly encode: (values: readonly Value[]) => Uint8Array;
        readonly decode: (bytes: Uint8Array) => readonly Value[];
      }
    | undefined;
}

/**
 * Plain values, in the order in which they came. A batch is a frozen array, so any function that
 * takes an array can be the sink. Values are kept as they are, not copied: do not change them after.
 *
 * @example
 * createBatcher({ shape: list<string>(), sink: async (lines) => { await appendFile(path, lines.join("")) } })
 */
export function list<Value>(
  options: ListOptions<Value> = {},
): Shape<Value, readonly Value[], Value> {
  refuseUnknown(options, ["check", "bytes", "codec"], "list: ");
  const {
    check = () => undefined,
    bytes: bytesOf = (value: Value) => approximateBytes(value),
    codec = { encode: encodeJson, decode: decodeJson<Value> },
  } = options;
  for (const [option, value] of Object.entries({ check, bytes: bytesOf })) {
    if (typeof value !== "function") throw invalidOption(`list: ${option}`, "a function", value);
  }
  if (typeof codec?.encode !== "function" || typeof codec.decode !== "function") {
    throw invalidOption("list: codec", "an object with encode() and decode()", codec);
  }
  return {
    kind: "list",
    keyed: false,
    accumulator: () => new ListAccumulator(check, bytesOf),
    partition: () => undefined,
    size: (batch) => ({
      items: batch.length,
      entries: batch.length,
      bytes: sumBytes(batch, bytesOf),
    }),
    entryAt: (batch, index) => batch[index] as Value,
    itemsAt: () => 1,
    split: (batch, at) => [Object.freeze(batch.slice(0, at)), Object.freeze(batch.slice(at))],
    merge: (first, second) => Object.freeze([...first, ...second]),
    encode: codec.encode,
    decode: (bytes) => {
      try {
        return Object.freeze([...codec.decode(bytes)]);
      } catch (cause) {
        throw new SluiceError("SLUICE_ERR_BATCH_INVALID", "list: these bytes are no batch", {
          cause,
        });
      }
    },
  };
}

class ListAccumulator<Value> implements Accumulator<Value, readonly Value[]> {
  bytes = 0;
  readonly addsItems = 1;
  readonly addsEntries = 1;
  addsBytes = 0;
  readonly #check: (value: Value) => void;
  readonly #bytesOf: (value: Value) => number;
  #values: Value[] = [];
  #sizes: number[] = [];
  /** How many values at the front have left and await removal. */
  #gone = 0;
  #nextOrdinal = 0;
  #measured: Value | undefined;

  constructor(check: (value: Value) => void, bytesOf: (value: Value) => number) {
    this.#check = check;
    this.#bytesOf = bytesOf;
  }

  get entries(): number {
    return this.#values.length - this.#gone;
  }

  get items(): number {
    return this.entries;
  }

  measure(value: Value): void {
    this.#check(value);
    const bytes = this.#bytesOf(value);
    if (!Number.isFinite(bytes) || bytes < 0) {
      const message = `list: bytes() must give a number of bytes; it gave ${quote(bytes)}`;
      throw new SluiceError("SLUICE_ERR_ITEM_INVALID", message);
    }
    this.addsBytes = bytes;
    this.#measured = value;
  }

  fold(): void {
    this.#values.push(this.#measured as Value);
    this.#sizes.push(this.addsBytes);
    this.bytes += this.addsBytes;
    this.#nextOrdinal += 1;
    this.#measured = undefined;
  }

  ordinals(): readonly number[] {
    return [this.#nextOrdinal - 1];
  }

  seal(entries: number): Sealed<readonly Value[]> {
    const end = this.#gone + entries;
    const batch = Object.freeze(this.#values.slice(this.#gone, end));
    const bytes = this.#leave(end);
    return { batch, items: batch.length, entries: batch.length, bytes };
  }

  dropOldest(): Size {
    return { items: 1, entries: 1, bytes: this.#leave(this.#gone + 1) };
  }

  #leave(end: number): number {
    let bytes = 0;
    for (let index = this.#gone; index < end; index += 1) bytes += this.#sizes[index] ?? 0;
    this.#gone = end;
    // Fractions do not add up exactly: an empty list must hold nothing.
    this.bytes = this.entries === 0 ? 0 : this.bytes - bytes;
    // Removed once they are the greater half: each value moves a bounded number of times.
    if (this.#gone * 2 >= this.#values.length) {
      this.#values = this.#values.slice(this.#gone);
      this.#sizes = this.#sizes.slice(this.#gone);
      this.#gone = 0;
    }
    return bytes;
  }
}

function sumBytes<Value>(batch: readonly Value[], bytesOf: (value: Value) => number): number {
  return batch.reduce((sum, value) => sum + bytesOf(value), 0);
}

function approximateBytes(value: unknown, depth = 3): number {
  if (typeof value === "string") return byteLength(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return 8;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (depth === 0) return 8;
  let bytes = 0;
  for (const field of Object.values(value)) bytes += approximateBytes(field, depth - 1);
  return bytes;
}

const encodeJson = (values: readonly unknown[]): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(values));

function decodeJson<Value>(bytes: Uint8Array): readonly Value[] {
  const values: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (!Array.isArray(values)) throw new TypeError("not a list");
  return values as Value[];
}
