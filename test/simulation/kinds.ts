import {
  type ComposedBatch,
  type ComposedEntry,
  compose,
  distinct,
  type KeyedBatch,
  latest,
  type LatestBatch,
  list,
  type Shape,
  sums,
} from "sluice";
import { Int32, rows, String as Text, UInt32 } from "sluice/clickhouse";
import type { Dice } from "./dice.ts";
import type { Fact } from "./facts.ts";

/** A kind of traffic: what is added, and what items and batches of it say. */
export interface Kind<Item = object, Batch = unknown> {
  readonly name: string;
  readonly shape: Shape<Item, Batch, unknown>;
  /** The item of number `n`, about this key. */
  draw(n: number, key: string, dice: Dice): Item;
  /** An item that its shape refuses, as late as it can. */
  bad(key: string): Item;
  ofItem(item: Item): readonly Fact[];
  /** Of an entry as a dead letter holds it; default: as an item. */
  ofEntry?(entry: never): readonly Fact[];
  ofBatch(batch: Batch): readonly Fact[];
}

/** Keys that have broken software before. */
const KEYS = [
  "a",
  "b",
  "__proto__",
  "constructor",
  "schlüssel",
  'q"uo\\te',
  "",
  "{x,y}",
  "z\nz",
  "🔑",
];

/** Draws how many keys a seed has, and how often a key is one that no store takes. */
export function keyDrawer(dice: Dice): (n: number) => string {
  const keys = dice.pick([1, 2, 4, 10, 10, 40]);
  const poison = dice.pick([0, 0, 0.03, 0.15]);
  return () => {
    const index = dice.below(keys);
    if (dice.chance(poison)) return `poison ${index % 3}`;
    return KEYS[index] ?? `key ${index}`;
  };
}

const SUMS = { key: ["k"], sum: ["n", "w"] } as const;
interface Counted {
  readonly k: string;
  readonly n?: number | undefined;
  readonly w?: number | undefined;
}
const drawCount = (n: number, k: string, dice: Dice): Counted => ({
  k,
  n: 1,
  w: (n % 97) - dice.below(50),
});
const ofCount = ({ k, n = 0, w = 0 }: Counted): Fact => ({
  of: "sums",
  key: k,
  times: n,
  sum: w,
});
const ofSums = ({ entries }: KeyedBatch): Fact[] =>
  entries.map(({ key: [key = ""], sums: [times = 0, sum = 0] }) => ({
    of: "sums",
    key,
    times,
    sum,
  }));

interface Seen {
  readonly k: string;
  readonly at: number;
}
const START = Date.UTC(2026, 0, 1);
/** Times come in disorder. */
const drawSeen = (n: number, k: string, dice: Dice): Seen => ({
  k,
  at: START + n * 10 + dice.below(100),
});
const seenFact = (key: string, version: number): Fact => ({
  of: "distinct",
  key,
  times: 0,
  sum: 0,
  version,
});
const ofDistinct = ({ entries }: KeyedBatch): Fact[] =>
  entries.map(({ key: [key = ""], last: [at = 0] }) => seenFact(key, Number(at)));

const sumsKind: Kind<Counted, KeyedBatch> = {
  name: "sums",
  shape: sums(SUMS),
  draw: drawCount,
  bad: (k) => ({ k, n: 1, w: Number.NaN }),
  ofItem: (item) => [ofCount(item)],
  ofBatch: ofSums,
};

const distinctKind: Kind<Seen, KeyedBatch> = {
  name: "distinct",
  shape: distinct({ key: ["k"], last: ["at"] }),
  draw: drawSeen,
  bad: (k) => ({ k, at: Number.NaN }),
  ofItem: ({ k, at }) => [seenFact(k, Number(at))], // a dead letter has a Date
  ofBatch: ofDistinct,
};

interface Versioned {
  readonly k: string;
  readonly v: string;
  readonly rev: number;
}
const latestFact = (key: string, version: number, value: string): Fact => ({
  of: "latest",
  key,
  times: 0,
  sum: 0,
  version,
  value,
});
const latestKind: Kind<Versioned, LatestBatch> = {
  name: "latest",
  shape: latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" }),
  // Old versions come late, some come twice, and values grow and shrink.
  draw: (n, k, dice) => ({
    k,
    rev: Math.max(0, n - dice.below(8)),
    v: `${n}`.padEnd(dice.below(30), "…"),
  }),
  bad: (k) => ({ k, v: "", rev: 0.5 }),
  ofItem: ({ k, v, rev }) => [latestFact(k, Number(rev), v)],
  ofBatch: ({ entries }) =>
    entries.map(({ key: [key = ""], version, values: [v] }) =>
      latestFact(key, Number(version), String(v)),
    ),
};

interface Row {
  readonly id: number;
  readonly k: string | Uint8Array;
  readonly w: number;
}
const rowFact = (of: string, { id, k, w }: Row): Fact => ({
  of,
  key: `${String(k)}#${id}`,
  times: 1,
  sum: w,
});
/** A row's key begins with what makes it poison. */
const drawRow = (id: number, k: string, dice: Dice): Row => ({ id, k, w: dice.below(1_000) });

const listKind: Kind<Row, readonly Row[]> = {
  name: "list",
  shape: list<Row>({
    check: ({ w }) => {
      if (!Number.isInteger(w)) throw new TypeError(`w must be whole; received ${w}`);
    },
  }),
  draw: drawRow,
  bad: (k) => ({ id: 0, k, w: 0.5 }),
  ofItem: (row) => [rowFact("list", row)],
  ofBatch: (batch) => batch.map((row) => rowFact("list", row)),
};

const rowShape = rows(
  { id: UInt32, k: Text, w: Int32 },
  { bufferBytes: 96, bufferShrinkBytes: 960 },
);
type RowsBatch = ReturnType<typeof rowShape.merge>;
const rowsKind: Kind<Row, RowsBatch> = {
  name: "rows",
  shape: rowShape,
  draw: drawRow,
  bad: (k) => ({ id: 0, k, w: 2 ** 40 }), // by then the other columns are encoded
  ofItem: (row) => [rowFact("rows", row)],
  ofBatch: (batch) =>
    Array.from({ length: batch.rows }, (_, at) => rowFact("rows", rowShape.entryAt(batch, at))),
};

const composedShape = compose({ usage: sumsKind.shape, seen: distinctKind.shape });
type Composed = ComposedBatch<{ usage: typeof sumsKind.shape; seen: typeof distinctKind.shape }>;
const ofComposed = ({ usage, seen }: { usage?: Counted; seen?: Seen }): Fact[] => [
  ...(usage === undefined ? [] : [ofCount(usage)]),
  ...(seen === undefined ? [] : [seenFact(seen.k, Number(seen.at))]),
];
const composedKind: Kind<{ usage?: Counted; seen?: Seen }, Composed> = {
  name: "compose",
  shape: composedShape,
  draw: (n, k, dice) => ({
    usage: drawCount(n, k, dice),
    ...(dice.chance(0.7) ? { seen: drawSeen(n, k, dice) } : {}),
  }),
  bad: (k) => ({ usage: { k, n: 1, w: 1 }, seen: { k, at: Number.NaN } }),
  ofItem: ofComposed,
  ofEntry: ({ part, entry }: ComposedEntry) => ofComposed({ [part]: entry }),
  ofBatch: ({ usage, seen }) => [...ofSums(usage), ...ofDistinct(seen)],
};

export const KINDS = {
  sums: sumsKind,
  distinct: distinctKind,
  latest: latestKind,
  list: listKind,
  rows: rowsKind,
  compose: composedKind,
} as const;
