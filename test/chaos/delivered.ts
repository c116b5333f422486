/** Compares what processes that were ended have said with what is in the tables. */
import type { Row } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { DIGITS, itemName, VERSIONS } from "./delivered-items.js";
import type { Said } from "./writer-process.ts";

type Query = (sql: string) => Promise<readonly Row[]>;

/** An item by its name, and the table that it is missing from. */
interface Lost {
  readonly table: string;
  readonly name: string;
}

export interface Findings {
  /** Items that were acknowledged and are not there. */
  readonly lost: readonly Lost[];
  /** Everything that is there twice, otherwise than it was given, or without having been given. */
  readonly wrong: readonly string[];
}

/** Everything that is not as it was said. */
export async function findFaults(query: Query, clickhouse: Query, said: Said): Promise<Findings> {
  const entries = await query("SELECT id FROM entries");
  const visits = await clickhouse("SELECT id FROM visits");
  const usage = await query("SELECT k, n FROM usage");
  const people = await query(
    "SELECT k, extract(epoch FROM seen) * 1000 AS id FROM people WHERE seen IS NOT NULL",
  );
  const newest = await query("SELECT k, rev AS id FROM newest");
  const texts = await query(
    `SELECT id, v FROM entries WHERE v <> 'text of ' || id
     UNION ALL SELECT k, v FROM newest WHERE v <> 'text of ' || split_part(k, '-', 1) || '-' || rev`,
  );
  const rowTexts = await clickhouse("SELECT id, v FROM visits WHERE v <> 'text of ' || id");
  const idOf = ({ id }: Row): string => String(id);
  const sums = usage.flatMap(({ k, n }) => itemsIn(String(k), BigInt(String(n))));
  const faults = [
    countFaults("entries", entries.map(idOf), said),
    countFaults("visits", visits.map(idOf), said),
    countFaults("usage", sums, said),
    newestFaults("people", people, said),
    newestFaults("newest", newest, said),
  ];
  return {
    lost: faults.flatMap(({ lost }) => lost),
    wrong: [
      ...faults.flatMap(({ wrong }) => wrong),
      ...[...texts, ...rowTexts].map(({ id, v }) => `${String(id)} has the ${String(v)}`),
    ],
  };
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

const lostOf = (
  table: string,
  { acknowledged }: Said,
  landed: (name: string) => boolean,
): readonly Lost[] =>
  [...(acknowledged.get(table) ?? [])]
    .filter((name) => !landed(name))
    .map((name) => ({ table, name }));

/** What is there one by one. */
function countFaults(table: string, landed: readonly string[], said: Said): Findings {
  const once = new Set<string>();
  const twice = landed.filter((name) => once.size === once.add(name).size);
  const strange = [...once].filter((name) => !said.given.has(name));
  return {
    lost: lostOf(table, said, (name) => once.has(name)),
    wrong: [
      ...twice.map((name) => `${table}: ${name} once more`),
      ...strange.map((name) => `${table}: ${name} was never given`),
    ],
  };
}

/** Keys whose item is the newest of those that share it: it stands for those before. */
function newestFaults(table: string, rows: readonly Row[], said: Said): Findings {
  const landed = new Map(rows.map(({ k, id }) => [String(k), Number(id)]));
  const strange = [...landed].filter(
    ([key, id]) => !said.given.has(itemName(Number(key.split("-")[0]), id)),
  );
  return {
    lost: lostOf(table, said, (name) => {
      const [round = "", id = ""] = name.split("-");
      const key = `${round}-${Math.floor(Number(id) / VERSIONS)}`;
      return (landed.get(key) ?? -1) >= Number(id);
    }),
    wrong: strange.map(([key, id]) => `${table}: ${id} of ${key} was never given`),
  };
}
