/**
 * The hot path of the keyed shapes, as straight-line code: a field name that is a constant in the
 * code is several times faster to read than one out of a list. Where generating code is forbidden
 * (`--disallow-code-generation-from-strings`) loops do the same.
 */
import { type KeyedEntry, type KeyedFields, later } from "./keyed-batch.ts";

/** An entry that still folds, and its place. How it keeps its key and sums, only its access knows. */
export interface Slot {
  items: number;
  readonly bytes: number;
  readonly ordinal: number;
}

/** Slots by key part, one map within the other. */
export type Level = Map<string, Level | Slot>;

type Fields = Readonly<Record<string, unknown>>;

/** Reads items of one keyed shape, and keeps its slots. */
export interface KeyedAccess {
  /**
   * The slot of an item whose key is held and whose every field is in order. `undefined` means no
   * more than: look closely.
   */
  find(root: Level, item: Fields): Slot | undefined;
  /** A slot for the key of an item that is in order; the item itself is not added. */
  open(item: Fields, bytes: number, ordinal: number): Slot;
  /** Adds an item that is in order to its slot. */
  fold(slot: Slot, item: Fields): void;
  /** The slot as an entry of a batch. */
  entry(slot: Slot): KeyedEntry;
}

/** The access for shapes with these fields. */
export function keyedAccess(fields: KeyedFields): KeyedAccess {
  try {
    return generatedAccess(fields);
  } catch (error) {
    if (error instanceof EvalError) return loopingAccess(fields);
    throw error;
  }
}

// The years 1 to 9999: what ISO 8601 writes in four digits and every store reads.
const MIN_TIME = -62_135_596_800_000;
const MAX_TIME = 253_402_300_799_999;

/** Whether `value` is a time that every store can keep. */
export function isTime(value: unknown): value is Date | number {
  const time = value instanceof Date ? value.getTime() : value;
  return typeof time === "number" && time >= MIN_TIME && time <= MAX_TIME;
}

const latest = (a: number | null | undefined, b: unknown): number | null =>
  later(a ?? null, Number(b) + 0); // + 0: never -0

/**
 * A slot is one flat object: finding it is the one memory access that an add must pay for. Field
 * names enter the code as JSON strings only, so no name can be anything but a name.
 */
function generatedAccess({ key, sum, last }: KeyedFields): KeyedAccess {
  const field = (name: string): string => `item[${JSON.stringify(name)}]`;
  const each = (names: readonly string[], line: (name: string, index: number) => string): string =>
    names.map(line).join("\n    ");
  const code = `return {
  find(root, item) {
    let value, slot = root, present = ${key.length};
    ${each(key, (name) => `slot = slot.get(${field(name)}); if (slot === undefined) return undefined;`)}
    ${each(
      sum,
      (name, index) => `value = ${field(name)};
    if (value !== undefined) {
      if (!Number.isSafeInteger(value)) return undefined;
      if (!Number.isSafeInteger(slot.s${index} + value)) return undefined;
      present += 1;
    }`,
    )}
    ${each(
      last,
      (name) => `value = ${field(name)};
    if (value !== undefined) { if (!isTime(value)) return undefined; present += 1; }`,
    )}
    for (const _ in item) present -= 1;
    return present === 0 ? slot : undefined;
  },
  open(item, bytes, ordinal) {
    return {
      ${each(key, (name, index) => `k${index}: ${field(name)},`)}
      ${each(sum, (_, index) => `s${index}: 0,`)}
      ${each(last, (_, index) => `l${index}: null,`)}
      items: 0, bytes, ordinal,
    };
  },
  fold(slot, item) {
    let value;
    ${each(
      sum,
      (name, index) => `value = ${field(name)};
    if (value !== undefined) slot.s${index} += value;`,
    )}
    ${each(
      last,
      (name, index) => `value = ${field(name)};
    if (value !== undefined) slot.l${index} = latest(slot.l${index}, value);`,
    )}
    slot.items += 1;
  },
  entry(slot) {
    return {
      key: [${key.map((_, index) => `slot.k${index}`).join(", ")}],
      sums: [${sum.map((_, index) => `slot.s${index}`).join(", ")}],
      last: [${last.map((_, index) => `slot.l${index}`).join(", ")}],
      items: slot.items,
    };
  },
};`;
  // oxlint-disable-next-line no-new-func
  const make = new Function("isTime", "latest", code) as (
    time: typeof isTime,
    newest: typeof latest,
  ) => KeyedAccess;
  return make(isTime, latest);
}

interface LoopingSlot extends Slot {
  readonly key: readonly string[];
  readonly sums: number[];
  readonly last: (number | null)[];
}

/** The same as loops. Exported for its tests alone. */
export function loopingAccess({ key, sum, last }: KeyedFields): KeyedAccess {
  return {
    find(root, item) {
      let level: Level | Slot | undefined = root;
      for (const name of key) {
        level = (level as Level).get(item[name] as string);
        if (level === undefined) return undefined;
      }
      const slot = level as LoopingSlot;
      let present = key.length;
      for (const [index, name] of sum.entries()) {
        const value = item[name];
        if (value === undefined) continue;
        if (!Number.isSafeInteger(value)) return undefined;
        if (!Number.isSafeInteger((slot.sums[index] ?? 0) + Number(value))) return undefined;
        present += 1;
      }
      for (const name of last) {
        const value = item[name];
        if (value === undefined) continue;
        if (!isTime(value)) return undefined;
        present += 1;
      }
      for (const _ in item) present -= 1;
      return present === 0 ? slot : undefined;
    },
    open(item, bytes, ordinal): LoopingSlot {
      return {
        key: key.map((name) => item[name] as string),
        sums: sum.map(() => 0),
        last: last.map(() => null),
        items: 0,
        bytes,
        ordinal,
      };
    },
    fold(slot, item) {
      const { sums, last: times } = slot as LoopingSlot;
      for (const [index, name] of sum.entries()) {
        sums[index] = (sums[index] ?? 0) + Number(item[name] ?? 0);
      }
      for (const [index, name] of last.entries()) {
        if (item[name] !== undefined) times[index] = latest(times[index], item[name]);
      }
      slot.items += 1;
    },
    entry(slot) {
      const { key: parts, sums, last: times, items } = slot as LoopingSlot;
      return { key: parts, sums, last: times, items };
    },
  };
}
