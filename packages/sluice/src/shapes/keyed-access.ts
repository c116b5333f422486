/**
 * The hot path of the keyed shapes, as straight-line code: a field name that is a constant in the
 * code is several times faster to read than one out of a list. Where generating code is forbidden
 * (`--disallow-code-generation-from-strings`) loops do the same.
 */
import { fieldOf, isInherited } from "./field.ts";
import { type KeyedEntry, type KeyedFields, later } from "./keyed-batch.ts";
import { MAX_TIME, millisOf, MIN_TIME } from "./instant.ts";
import type { Level as IndexLevel } from "./keyed-index.ts";

/** An entry that still folds, and its place. How it keeps its key and sums, only its access knows. */
export interface Slot {
  items: number;
  readonly bytes: number;
  readonly ordinal: number;
}

/** Slots by key part, one map within the other. */
export type Level = IndexLevel<Slot>;

/** The fields of an item, read once: those of the key, then the sums, then the times. */
export type Values = readonly unknown[];

/** Reads items of one keyed shape, and keeps its slots. */
export interface KeyedAccess {
  /**
   * Adds an item to the slot of its key, if the key is held and every field is in order. `undefined`
   * means no more than: nothing was added, look closely.
   */
  absorb(root: Level, item: object): Slot | undefined;
  /** The slot of values whose key is held and that are in order; `undefined` as with `absorb`. */
  find(root: Level, values: Values): Slot | undefined;
  /** Reads each field once: an item with getters cannot change its mind afterwards. */
  read(item: object): Values;
  /** A slot for the key of values that are in order; they are not added yet. */
  open(values: Values, bytes: number, ordinal: number): Slot;
  /** Adds values that are in order to their slot. */
  fold(slot: Slot, values: Values): void;
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

/** The milliseconds of a time; NaN of what only looks like a `Date`. */
const millis = (value: unknown): unknown =>
  value instanceof Date ? (millisOf(value) ?? Number.NaN) : value;

/** Whether `value` is a time that every store can keep. */
export function isTime(value: unknown): value is Date | number {
  const time = millis(value);
  return typeof time === "number" && time >= MIN_TIME && time <= MAX_TIME;
}

const latest = (a: number | null | undefined, b: unknown): number | null =>
  later(a ?? null, Number(millis(b)) + 0); // + 0: never -0

/**
 * A slot is one flat object: finding it is the one memory access that an add must pay for. Field
 * names enter the code as JSON strings only, so no name can be anything but a name.
 */
export function generatedAccess({ key, sum, last }: KeyedFields): KeyedAccess {
  const names = [...key, ...sum, ...last];
  const field = (name: string): string => {
    const text = JSON.stringify(name);
    return isInherited(name)
      ? `(hasOwn(item, ${text}) ? item[${text}] : undefined)`
      : `item[${text}]`;
  };
  const each = <T>(of: readonly T[], line: (value: T, index: number) => string): string =>
    of.map(line).join("\n    ");
  // v0, v1, … are the values; those of sums and times begin where those before them end.
  const s = (index: number): string => `v${key.length + index}`;
  const l = (index: number): string => `v${key.length + sum.length + index}`;
  const values = names.map((_, index) => `v${index}`).join(", ");
  const fold = `${each(sum, (_, i) => `if (${s(i)} !== undefined) slot.s${i} += ${s(i)};`)}
    ${each(last, (_, i) => `if (${l(i)} !== undefined) slot.l${i} = latest(slot.l${i}, ${l(i)});`)}
    slot.items += 1;`;
  const find = `let slot = root;
    ${each(key, (_, i) => `slot = slot.get(v${i}); if (slot === undefined) return undefined;`)}
    ${each(sum, (_, i) => `if (${s(i)} !== undefined && !(isInteger(${s(i)}) && isInteger(slot.s${i} + ${s(i)}))) return undefined;`)}
    ${each(last, (_, i) => `if (${l(i)} !== undefined && !isTime(${l(i)})) return undefined;`)}`;
  const code = `return {
  absorb(root, item) {
    ${each(names, (name, index) => `const v${index} = ${field(name)};`)}
    for (const name in item) switch (name) {
      ${each(names, (name) => `case ${JSON.stringify(name)}:`)} continue;
      default: return undefined;
    }
    ${find}
    ${fold}
    return slot;
  },
  find(root, [${values}]) {
    ${find}
    return slot;
  },
  read(item) {
    return [${names.map(field).join(", ")}];
  },
  open([${values}], bytes, ordinal) {
    return {
      ${each(key, (_, index) => `k${index}: v${index},`)}
      ${each(sum, (_, index) => `s${index}: 0,`)}
      ${each(last, (_, index) => `l${index}: null,`)}
      items: 0, bytes, ordinal,
    };
  },
  fold(slot, [${values}]) {
    ${fold}
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
  const make = new Function("isTime", "latest", "isInteger", "hasOwn", code) as (
    ...helpers: readonly unknown[]
  ) => KeyedAccess;
  return make(isTime, latest, Number.isSafeInteger, Object.hasOwn);
}

interface LoopingSlot extends Slot {
  readonly key: readonly string[];
  readonly sums: number[];
  readonly last: (number | null)[];
}

/** The same as loops. Both are exported for their tests alone. */
export function loopingAccess({ key, sum, last }: KeyedFields): KeyedAccess {
  const names = [...key, ...sum, ...last];
  const known = new Set(names);
  const read = (item: object): Values => names.map((name) => fieldOf(item, name));
  const fold = (slot: Slot, values: Values): void => {
    const { sums, last: times } = slot as LoopingSlot;
    let at = key.length;
    for (const index of sum.keys()) sums[index] = (sums[index] ?? 0) + Number(values[at++] ?? 0);
    for (const index of last.keys()) {
      const value = values[at++];
      if (value !== undefined) times[index] = latest(times[index], value);
    }
    slot.items += 1;
  };
  const find = (root: Level, values: Values): LoopingSlot | undefined => {
    let level: Level | Slot | undefined = root;
    for (const index of key.keys()) {
      level = (level as Level).get(values[index] as string);
      if (level === undefined) return undefined;
    }
    const slot = level as LoopingSlot;
    let at = key.length;
    for (const held of slot.sums) {
      const value = values[at++];
      if (value === undefined) continue;
      if (!Number.isSafeInteger(value)) return undefined;
      if (!Number.isSafeInteger(held + Number(value))) return undefined;
    }
    const times = values.slice(at);
    return times.every((time) => time === undefined || isTime(time)) ? slot : undefined;
  };
  return {
    absorb(root, item) {
      const values = read(item);
      for (const name in item) if (!known.has(name)) return undefined;
      const slot = find(root, values);
      if (slot !== undefined) fold(slot, values);
      return slot;
    },
    find,
    read,
    open(values, bytes, ordinal): LoopingSlot {
      return {
        key: values.slice(0, key.length) as string[],
        sums: sum.map(() => 0),
        last: last.map(() => null),
        items: 0,
        bytes,
        ordinal,
      };
    },
    fold,
    entry(slot) {
      const { key: parts, sums, last: times, items } = slot as LoopingSlot;
      return { key: parts, sums: [...sums], last: [...times], items };
    },
  };
}
