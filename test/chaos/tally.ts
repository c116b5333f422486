/**
 * What should be in the database, counted without any of the library's code, and how far the database
 * is from it.
 */

/** What was accepted, by what it was given to. */
export interface Tally {
  readonly sums: Map<string, number>;
  /** The latest time of each key that was touched. */
  readonly seen: Map<string, number>;
  /** The newest version of each key. */
  readonly newest: Map<string, number>;
  /** The text of each row. */
  readonly rows: Map<string, string>;
  /** What was added to a composed batch: of each, as above. */
  readonly both: { readonly sums: Map<string, number>; readonly seen: Map<string, number> };
}

export const emptyTally = (): Tally => ({
  sums: new Map(),
  seen: new Map(),
  newest: new Map(),
  rows: new Map(),
  both: { sums: new Map(), seen: new Map() },
});

/** Adds to a sum. */
export function count(sums: Map<string, number>, key: string, n: number): void {
  sums.set(key, (sums.get(key) ?? 0) + n);
}

/** Keeps the greatest number of a key. */
export function keep(greatest: Map<string, number>, key: string, n: number): void {
  greatest.set(key, Math.max(greatest.get(key) ?? -Infinity, n));
}

/** The text that belongs to a version, so that a row cannot mix two of them. */
export const textOf = (version: number): string => `text of ${version}`;

type Query = (sql: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** Everything that is not as it was counted; 0 findings, no drift. */
export async function findDrift(query: Query, tally: Tally): Promise<readonly string[]> {
  const numbers = async (sql: string): Promise<Map<string, number>> => {
    const rows = await query(sql);
    return new Map(rows.map(({ k, n }) => [String(k), Number(n)]));
  };
  const seenIn = (table: string): Promise<Map<string, number>> =>
    numbers(`SELECT k, extract(epoch FROM seen) * 1000 AS n FROM ${table} WHERE seen IS NOT NULL`);
  const newest = await query("SELECT k, v, rev::text AS n FROM newest");
  const rows = await query("SELECT id, v FROM entries");
  return [
    ...differences("usage", await numbers("SELECT k, n FROM usage"), tally.sums),
    ...differences("people", await seenIn("people"), tally.seen),
    ...differences(
      "newest",
      new Map(newest.map(({ k, n }) => [String(k), Number(n)])),
      tally.newest,
    ),
    ...newest
      .filter(({ n, v }) => v !== textOf(Number(n)))
      .map(({ k, n, v }) => `newest: ${String(k)} has the text ${String(v)} with ${String(n)}`),
    ...rowDifferences(
      rows.map(({ id, v }) => [String(id), String(v)]),
      tally.rows,
    ),
    ...differences("both_usage", await numbers("SELECT k, n FROM both_usage"), tally.both.sums),
    ...differences("both_people", await seenIn("both_people"), tally.both.seen),
  ];
}

/** A line for each key whose value is not what was counted. */
function differences<T extends string | number>(
  table: string,
  landed: ReadonlyMap<string, T>,
  counted: ReadonlyMap<string, T>,
): readonly string[] {
  return [...new Set([...landed.keys(), ...counted.keys()])]
    .filter((key) => landed.get(key) !== counted.get(key))
    .map((key) => `${table}: ${key} is ${landed.get(key)}, and should be ${counted.get(key)}`);
}

/** The same of rows, which no constraint keeps from being there twice. */
export function rowDifferences(
  landed: readonly (readonly [string, string])[],
  counted: ReadonlyMap<string, string>,
): readonly string[] {
  const once = new Map(landed);
  const seen = new Set<string>();
  const twice = landed.map(([id]) => id).filter((id) => seen.size === seen.add(id).size);
  return [...differences("rows", once, counted), ...twice.map((id) => `rows: ${id} again`)];
}
