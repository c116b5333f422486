import { type CheckedTable, CHECKED_TABLES } from "./tables.ts";
import { newest, rowKey, type Tally, type TallyRow } from "./tally.ts";
import { createDifferences, type TableVerdict } from "./verdict.ts";

/** Runs one SQL query and answers its rows. */
export type Query = (
  sql: string,
  params: readonly unknown[],
) => Promise<readonly Readonly<Record<string, unknown>>[]>;

/** The rows of the checked tables at one moment, by table name and {@link rowKey}. */
export type Snapshot = ReadonlyMap<CheckedTable["name"], ReadonlyMap<string, StoredRow>>;

/** A row as the database holds it. */
interface StoredRow {
  readonly counters: readonly bigint[];
  /** Milliseconds since the epoch. */
  readonly times: readonly (number | null)[];
  /** No traffic may change this row. */
  readonly frozen: boolean;
}

const PAGE_ROWS = 5_000;

/** Reads what the tables hold before the traffic, because existing counts are added to. */
export async function readSnapshot(query: Query): Promise<Snapshot> {
  const snapshot = new Map<CheckedTable["name"], ReadonlyMap<string, StoredRow>>();
  for (const table of CHECKED_TABLES) {
    const rows = new Map<string, StoredRow>();
    for await (const [key, row] of storedRows(query, table)) rows.set(key, row);
    snapshot.set(table.name, rows);
  }
  return snapshot;
}

/**
 * Compares every row of every table with the row before plus the tally. A row that is missing,
 * that nobody asked for, or that changed without traffic is as much a difference as a wrong count.
 */
export async function verifyTables(
  query: Query,
  before: Snapshot,
  tally: Tally,
): Promise<readonly TableVerdict[]> {
  const verdicts: TableVerdict[] = [];
  for (const table of CHECKED_TABLES) {
    verdicts.push(await verifyTable(query, table, before.get(table.name), tally.rows(table)));
  }
  return verdicts;
}

async function verifyTable(
  query: Query,
  table: CheckedTable,
  before: ReadonlyMap<string, StoredRow> = new Map(),
  added: ReadonlyMap<string, TallyRow>,
): Promise<TableVerdict> {
  const differences = createDifferences(table.name);
  let rows = 0;
  const missing = new Set([...before.keys(), ...added.keys()]);
  for await (const [key, row] of storedRows(query, table)) {
    rows += 1;
    missing.delete(key);
    const expected = expectedRow(table, before.get(key), added.get(key));
    differences.report(describeKey(key), differencesOf(table, row, expected));
  }
  for (const key of missing) differences.report(describeKey(key), ["the row is missing"]);
  return differences.verdict(rows);
}

function expectedRow(
  table: CheckedTable,
  before: StoredRow | undefined,
  added: TallyRow | undefined,
): StoredRow | undefined {
  if (added === undefined) return before;
  const frozen = before?.frozen ?? false;
  const counters = table.counters.map(
    (_, index) => (before?.counters[index] ?? 0n) + BigInt(added.counters[index] ?? 0),
  );
  const times = table.times.map((_, index) => {
    const old = before?.times[index] ?? null;
    return frozen ? old : newest(old, added.times[index] ?? null);
  });
  return { counters, times, frozen };
}

function differencesOf(
  table: CheckedTable,
  found: StoredRow,
  expected: StoredRow | undefined,
): readonly string[] {
  if (expected === undefined) return ["nothing that happened explains this row"];
  const differences: string[] = [];
  for (const [index, column] of table.counters.entries()) {
    const [is, should] = [found.counters[index], expected.counters[index]];
    if (is !== should) differences.push(`${column} is ${is}, should be ${should}`);
  }
  for (const [index, column] of table.times.entries()) {
    const [is, should] = [found.times[index] ?? null, expected.times[index] ?? null];
    if (is !== should) {
      differences.push(`${column} is ${describeTime(is)}, should be ${describeTime(should)}`);
    }
  }
  return differences;
}

function describeKey(key: string): string {
  return key.slice(1, -1).replaceAll('","', '", "');
}

function describeTime(time: number | null): string {
  if (time === null) return "empty";
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString();
}

async function* storedRows(
  query: Query,
  table: CheckedTable,
): AsyncGenerator<[key: string, row: StoredRow], void, undefined> {
  let last: readonly string[] | undefined;
  for (;;) {
    const page = await query(selectPage(table, last !== undefined), last ?? []);
    for (const row of page) {
      last = table.key.map((column) => String(row[column]));
      yield [rowKey(last), toStoredRow(table, row)];
    }
    if (page.length < PAGE_ROWS) return;
  }
}

// Everything is read as text: drivers differ in what they make of bigint and timestamptz.
function selectPage(table: CheckedTable, afterKey: boolean): string {
  const columns = [
    ...table.key,
    ...table.counters.map((column) => `${column}::text`),
    ...table.times.map((column) => `(extract(epoch from ${column}) * 1000)::text as ${column}`),
    `(${table.frozen})::text as frozen`,
  ];
  const key = table.key.join(", ");
  const params = table.key.map((_, index) => `$${index + 1}`).join(", ");
  const where = afterKey ? `where (${key}) > (${params}) ` : "";
  return (
    `select ${columns.join(", ")} from ${table.name} ${where}` +
    `order by ${key} limit ${PAGE_ROWS}`
  );
}

function toStoredRow(table: CheckedTable, row: Readonly<Record<string, unknown>>): StoredRow {
  return {
    counters: table.counters.map((column) => BigInt(String(row[column]))),
    times: table.times.map((column) => {
      const value = row[column];
      return value === null || value === undefined ? null : Number(value);
    }),
    frozen: row["frozen"] === "true",
  };
}
