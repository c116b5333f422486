import { describe, expect, test } from "vitest";
import { accessRowOf, createRowTally, type RowSums } from "./row-tally.ts";
import { readRowSums, verifyRows } from "./verify-rows.ts";
import type { Query } from "./verify.ts";

const tallyOf = (count: number): RowSums => {
  const tally = createRowTally();
  const request = { client: "c", method: "GET", target: "/", referrer: "", userAgent: "é" };
  for (let at = 0; at < count; at += 1) {
    tally.add(accessRowOf({ ...request, at: at * 1_000, status: 200, bytes: 7 }));
  }
  return tally.sums;
};

/** A table that is nothing but its sums, which the queries name. */
const tableOf =
  (sums: RowSums): Query =>
  async (sql) => {
    const columns = [...sql.matchAll(/toString\((\w+\(.*?\)?\))\) AS (s\d+)/g)];
    return [
      Object.fromEntries(columns.map(([, sum = "", name = ""]) => [name, String(sums.get(sum))])),
    ];
  };

describe("the check of the access log", () => {
  test("reads every sum as it is", async () => {
    const sums = tallyOf(100);
    expect(await readRowSums(tableOf(sums))).toEqual(sums);
  });

  test("is passed by what was there and what came", async () => {
    const before = tallyOf(3);
    const after = new Map([...before].map(([sql, sum]) => [sql, BigInt.asUintN(64, sum * 2n)]));
    expect(await verifyRows(tableOf(after), before, before)).toEqual({
      table: "access_log",
      verified: true,
      rows: 6,
      differences: 0,
      examples: [],
    });
  });

  test("names the sums that differ", async () => {
    const added = tallyOf(3);
    const found = new Map(added);
    found.set("sum(toUInt64(bytes))", 20n);
    expect(await verifyRows(tableOf(found), tallyOf(0), added)).toEqual({
      table: "access_log",
      verified: false,
      rows: 3,
      differences: 1,
      examples: ["sum(toUInt64(bytes)) is 20, should be 21"],
    });
  });

  test("notices a row that is missing or there twice", async () => {
    for (const rows of [2, 4]) {
      const verdict = await verifyRows(tableOf(tallyOf(rows)), tallyOf(0), tallyOf(3));
      expect(verdict).toMatchObject({ verified: false, rows });
      expect(verdict.examples[0]).toBe(`count() is ${rows}, should be 3`);
      expect(verdict.examples).toHaveLength(3);
    }
  });
});
