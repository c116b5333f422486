import { expect, test } from "vitest";
import type { TrafficRequest } from "./request.ts";
import { type AccessRow, accessRowOf, createRowTally, type RowSums } from "./row-tally.ts";

const REQUEST: TrafficRequest = {
  client: "c",
  at: 1_431_857_103_999,
  method: "GET",
  target: "/a?b=c",
  status: 200,
  bytes: 12,
  referrer: "",
  userAgent: "é",
};
const ROW = accessRowOf(REQUEST);

const sumsOf = (...rows: readonly AccessRow[]): RowSums => {
  const tally = createRowTally();
  for (const row of rows) tally.add(row);
  return tally.sums;
};

test("a row has the second of the request, and its target with the query", () => {
  expect(ROW).toEqual({
    at: 1_431_857_103,
    client: "c",
    method: "GET",
    path: "/a?b=c",
    status: 200,
    bytes: 12,
    referrer: "",
    user_agent: "é",
  });
});

test("sums every column in 64 bits, texts by their bytes and hashes", () => {
  const sums = sumsOf(ROW, { ...ROW, client: "abc", bytes: Number.MAX_SAFE_INTEGER });
  expect(sums.get("count()")).toBe(2n);
  expect(sums.get("sum(toUInt64(at))")).toBe(2_863_714_206n);
  expect(sums.get("sum(toUInt64(status))")).toBe(400n);
  expect(sums.get("sum(toUInt64(bytes))")).toBe(9_007_199_254_741_003n);
  expect(sums.get("sum(length(client))")).toBe(4n);
  expect(sums.get("sum(length(user_agent))")).toBe(4n);
  // halfMD5('abc') and halfMD5('c'), as 18.16 and 26.7 answer alike.
  const hashes = 0x900150983cd24fb0n + 0x4a8a08f09d37b737n;
  expect(sums.get("sum(halfMD5(client))")).toBe(hashes);
  expect(sums.size).toBe(14);
});

test("sums beyond 64 bits wrap, as the server's do", () => {
  const row = { ...ROW, client: "abc" };
  expect(sumsOf(row, row).get("sum(halfMD5(client))")).toBe(2n * 0x900150983cd24fb0n - 2n ** 64n);
});

test.each<[column: string, changed: Partial<AccessRow>]>([
  ["at", { at: 1 }],
  ["client", { client: "d" }],
  ["method", { method: "PUT" }],
  ["path", { path: "/a?b=d" }],
  ["status", { status: 201 }],
  ["bytes", { bytes: 13 }],
  ["referrer", { referrer: "-" }],
  ["user_agent", { user_agent: "è" }],
])("notices a change of %s alone", (column, changed) => {
  const [one, other] = [sumsOf(ROW), sumsOf({ ...ROW, ...changed })];
  const different = [...one.keys()].filter((sql) => one.get(sql) !== other.get(sql));
  expect(different).not.toEqual([]);
  expect(different.filter((sql) => !sql.includes(`(${column})`))).toEqual([]);
});

test("is the same for more texts than are remembered, whatever their order", () => {
  const rows = Array.from({ length: 50_001 }, (_, index) => ({ ...ROW, path: `/${index}` }));
  expect(sumsOf(...rows, ROW, ROW)).toEqual(sumsOf(ROW, ...rows.reverse(), ROW));
});
