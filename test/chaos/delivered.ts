/** Compares what killed processes have said with what is in the database. */
import type { Row } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { DIGITS, itemName, VERSIONS } from "./delivered-items.js";

/** What all processes have said, by the names of items. */
export interface Said {
  /** Items that they were about to give away. */
  readonly given: Set<string>;
  /** Items that `deliver` has acknowledged, by table. */
  readonly acknowledged: ReadonlyMap<string, Set<string>>;
}

/** Everything that is lost, there twice, or there without having been given. */
export async function findFaults(
  query: (sql: string) => Promise<readonly Row[]>,
  said: Said,
): Promise<readonly string[]> {
  const entries = await query("SELECT id FROM entries");
  const usage = await query("SELECT k, n FROM usage");
  const people = await query(
    "SELECT k, extract(epoch FROM seen) * 1000 AS id FROM people WHERE seen IS NOT NULL",
  );
  const newest = await query("SELECT k, rev AS id FROM newest");
  const texts = await query(
    `SELECT id, v FROM entries WHERE v <> 'text of ' || id
     UNION ALL SELECT k, v FROM newest WHERE v <> 'text of ' || split_part(k, '-', 1) || '-' || rev`,
  );
  return [
    ...countFaults(
      "entries",
      entries.map(({ id }) => String(id)),
      said,
    ),
    ...countFaults(
      "usage",
      usage.flatMap(({ k, n }) => itemsIn(String(k), BigInt(String(n)))),
      said,
    ),
    ...newestFaults("people", people, said),
    ...newestFaults("newest", newest, said),
    ...texts.map(({ id, v }) => `${String(id)} has the ${String(v)}`),
  ];
}

/** The items of a sum: each as often as its digit says. */
function itemsIn(key: string, sum: bigint): readonly string[] {
  const digits = Array.from(sum.toString(16), (digit) => Number.parseInt(digit, 16)).toReversed();
  return digits.flatMap((times, place) => {
    const name = nameIn(key, DIGITS, place);
    return Array.from({ length: times }, () => name);
  });
}

/** The name of an item by the key that it shares, and its place among those that do. */
function nameIn(key: string, share: number, place: number): string {
  const [round, group] = key.split("-").map(Number);
  return itemName(round ?? -1, (group ?? -1) * share + place);
}

const acknowledgedBy = ({ acknowledged }: Said, table: string): ReadonlySet<string> =>
  acknowledged.get(table) ?? new Set();

/** Items that are there twice, were never given, or were acknowledged and are not there. */
function countFaults(table: string, landed: readonly string[], said: Said): readonly string[] {
  const once = new Set<string>();
  const twice = landed.filter((name) => once.size === once.add(name).size);
  const lost = [...acknowledgedBy(said, table)].filter((name) => !once.has(name));
  const strange = [...once].filter((name) => !said.given.has(name));
  return [
    ...twice.map((name) => `${table}: ${name} once more`),
    ...lost.map((name) => `${table}: ${name} is lost`),
    ...strange.map((name) => `${table}: ${name} was never given`),
  ];
}

/** Keys whose item is older than one that was acknowledged, or was never given. */
function newestFaults(table: string, rows: readonly Row[], said: Said): readonly string[] {
  const landed = new Map(rows.map(({ k, id }) => [String(k), Number(id)]));
  const lost = [...acknowledgedBy(said, table)].filter((name) => {
    const [round = "", id = ""] = name.split("-");
    const key = `${round}-${Math.floor(Number(id) / VERSIONS)}`;
    return (landed.get(key) ?? -1) < Number(id);
  });
  const strange = [...landed].filter(
    ([key, id]) => !said.given.has(itemName(Number(key.split("-")[0]), id)),
  );
  return [
    ...lost.map((name) => `${table}: ${name} is lost, and nothing newer there`),
    ...strange.map(([key, id]) => `${table}: ${id} of ${key} was never given`),
  ];
}
