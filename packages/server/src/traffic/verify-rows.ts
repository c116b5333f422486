import { ACCESS_LOG, createRowTally, ROW_COUNT, type RowSums, wrap } from "./row-tally.ts";
import type { TableVerdict } from "./verdict.ts";
import type { Query } from "./verify.ts";

const MAX_EXAMPLES = 3;

/** Reads the sums of what the table holds, because existing rows are added to. */
export async function readRowSums(query: Query): Promise<RowSums> {
  const names = [...createRowTally().sums.keys()];
  // As text: 64 bits are more than a number of JSON keeps.
  const columns = names.map((sql, index) => `toString(${sql}) AS s${index}`);
  const [row] = await query(`SELECT ${columns.join(", ")} FROM ${ACCESS_LOG}`, []);
  return new Map(names.map((sql, index) => [sql, BigInt(String(row?.[`s${index}`] ?? 0))]));
}

/** Compares the table's sums with those before plus the tally's. */
export async function verifyRows(
  query: Query,
  before: RowSums,
  added: RowSums,
): Promise<TableVerdict> {
  const found = await readRowSums(query);
  const differences = [...found].flatMap(([sql, is]) => {
    const should = wrap((before.get(sql) ?? 0n) + (added.get(sql) ?? 0n));
    return is === should ? [] : [`${sql} is ${is}, should be ${should}`];
  });
  return {
    table: ACCESS_LOG,
    verified: differences.length === 0,
    rows: Number(found.get(ROW_COUNT)),
    differences: differences.length,
    examples: differences.slice(0, MAX_EXAMPLES),
  };
}
