/** Values that nobody should pass, and somebody will. */
import fc from "fast-check";
import { isSluiceError, type Random } from "sluice";

/** What hostile values throw themselves: whoever looks at them may let it pass. */
class Hostility extends Error {}

const strike = (): never => {
  throw new Hostility("touched");
};

const TRAPS: ProxyHandler<object> = { get: strike, has: strike, ownKeys: strike };

const NUMBERS = [Number.NaN, Infinity, -Infinity, 0, -0, -1, 0.5, 1, 2, 7, 2 ** 31, 2 ** 53, 1e300];
const BIGINTS = [0n, 1n, -(10n ** 40n)];
const TEXTS = ["", "0", "1e3", "toString", "__proto__", "constructor", "a\0b", "\ud800"];
const LISTS = [
  [],
  [undefined],
  ["a", "a"],
  [[]],
  Object.assign([], { length: 3 }),
  Object.freeze([1]),
];
const FUNCTIONS = [
  () => undefined,
  () => Number.NaN,
  async () => undefined,
  strike,
  class {},
  Proxy,
];
const OBJECTS: readonly unknown[] = [
  {},
  Object.create(null),
  Object.freeze({ a: 1 }),
  JSON.parse('{"__proto__":{"polluted":1}}'),
  { constructor: { prototype: { polluted: 1 } } },
  new Date(Number.NaN),
  new Map([["a", 1]]),
  new Set([1]),
  new Uint8Array(3),
  new Error("given"),
  new String("table"),
  new Number(5),
  Promise.resolve(),
  { valueOf: strike, toString: strike, toJSON: strike },
  { [Symbol.toPrimitive]: strike },
  Object.defineProperty({}, "length", { get: strike }),
  new Proxy({}, TRAPS),
  new Proxy(() => undefined, TRAPS),
];
const OTHERS = [undefined, null, true, false, Symbol("s"), "x".repeat(100_000)];
const VALUES: readonly unknown[] = [
  ...OTHERS,
  ...NUMBERS,
  ...BIGINTS,
  ...TEXTS,
  ...LISTS,
  ...FUNCTIONS,
  ...OBJECTS,
];

const anything = fc.anything({ withBigInt: true, withNullPrototype: true, withMap: true });
const ALL = [...VALUES, ...VALUES, ...fc.sample(anything, { numRuns: 100, seed: 1 })];

/** Draws one of several. */
export const oneOf = <T>(random: Random, values: readonly T[]): T =>
  values[Math.floor(random() * values.length)] as T;

/** Draws any of them, or anything at all. Not by fast-check, which looks at what it draws. */
export const hostile = (random: Random): unknown => oneOf(random, ALL);

const PLAUSIBLE: readonly unknown[] = [
  undefined,
  true,
  false,
  0,
  1,
  2,
  3,
  7,
  50,
  1_000,
  1e5,
  2 ** 31 - 1,
  Infinity,
  "wait",
  "reject",
  "drop-newest",
  "drop-oldest",
  () => Number.NaN,
  () => 1,
  () => -1,
  () => "x",
  () => null,
  strike,
  () => new Promise(() => undefined),
  class {},
  { write: strike },
  { write: async () => ({ rejected: [{ index: 99 }] }) },
  { write: async () => 7 },
];

/** Draws what an option may be, though hardly what it should be. */
export const plausible = (random: Random): unknown => oneOf(random, PLAUSIBLE);

/** What is wrong with a refusal: nothing, if it is ours or the hostile value's own. */
export function faultsOf(refusal: unknown): readonly string[] {
  if (refusal === undefined || isSluiceError(refusal) || refusal instanceof Hostility) return [];
  return [refusal instanceof Error ? String(refusal.stack) : String(refusal)];
}

/** What a call throws or rejects with; undefined if it is content. */
export async function refusalOf(call: () => unknown): Promise<unknown> {
  try {
    await call();
    return undefined;
  } catch (error) {
    return error ?? new Error(`thrown: ${String(error)}`);
  }
}

/** Whether every object of the process has gained a property. */
export const isPolluted = (): boolean => Reflect.ownKeys(Object.prototype).length !== KEYS;
const KEYS = Reflect.ownKeys(Object.prototype).length;
