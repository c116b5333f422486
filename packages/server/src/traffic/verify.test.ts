import type { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openPglite } from "../../../../test/support/pglite.ts";
import { CLIENT_STATISTICS, CLIENT_TABLE_STATISTICS, CLIENTS } from "./tables.ts";
import type { TrafficRequest } from "./request.ts";
import { createTally, newest, rowKey, type Tally } from "./tally.ts";
import type { TableVerdict } from "./verdict.ts";
import { type Query, readSnapshot, verifyTables } from "./verify.ts";

const request = (fields: Partial<TrafficRequest>): TrafficRequest => ({
  client: "c",
  at: 1_000,
  method: "GET",
  target: "/t",
  status: 200,
  bytes: 0,
  referrer: "",
  userAgent: "",
  ...fields,
});

function tallyOf(...requests: TrafficRequest[]): Tally {
  const tally = createTally();
  for (const one of requests) tally.add(one);
  return tally;
}

describe("the tally", () => {
  test.each([
    [100, [1, 0, 0, 0, 1], [1, 0]],
    [199, [1, 0, 0, 0, 1], [1, 0]],
    [200, [1, 1, 0, 0, 1], [1, 0]],
    [304, [1, 1, 0, 1, 1], [1, 0]],
    [399, [1, 1, 0, 0, 1], [1, 0]],
    [400, [1, 0, 1, 0, 1], [1, 1]],
    [599, [1, 0, 1, 0, 1], [1, 1]],
  ])("counts a status %i", (status, client, table) => {
    const tally = tallyOf(request({ status }));
    expect(tally.rows(CLIENT_STATISTICS).get(rowKey(["c"]))?.counters).toEqual(client);
    expect(tally.rows(CLIENT_TABLE_STATISTICS).get(rowKey(["c", "t", "GET"]))?.counters).toEqual(
      table,
    );
  });

  test("keeps the newest time, not the last one", () => {
    const tally = tallyOf(request({ at: 5 }), request({ at: 9 }), request({ at: 7 }));
    expect(tally.rows(CLIENTS).get(rowKey(["c"]))?.times).toEqual([9]);
    expect([newest(null, 1), newest(1, null), newest(null, null)]).toEqual([1, 1, null]);
  });

  test("names of JavaScript's own are names like any other", () => {
    const tally = tallyOf(request({ client: "__proto__", target: "/constructor" }));
    expect(tally.clients).toBe(1);
    expect(tally.rows(CLIENT_STATISTICS).has(rowKey(["__proto__"]))).toBe(true);
  });

  test("knows the busiest client, and stays with the current one of several", () => {
    const tally = createTally();
    expect(tally.busiest()).toBeUndefined();
    for (const client of ["a", "b", "b", "a"]) tally.add(request({ client }));
    expect([tally.busiest(), tally.busiest("a"), tally.busiest("c")]).toEqual(["b", "a", "b"]);
    tally.add(request({ client: "a" }));
    expect([tally.busiest(), tally.busiest("b")]).toEqual(["a", "a"]);
  });

  test("a registered client has a row but made no request", () => {
    const tally = createTally();
    tally.register("quiet");
    expect([tally.isRegistered("quiet"), tally.isRegistered("other")]).toEqual([true, false]);
    expect([tally.clients, tally.requests]).toEqual([0, 0]);
    expect(tally.rows(CLIENTS).get(rowKey(["quiet"]))?.times).toEqual([null]);
  });
});

describe("the check of the tables", () => {
  let db: PGlite;
  const query: Query = async (sql, params) => {
    const result = await db.query<Record<string, unknown>>(sql, [...params]);
    return result.rows;
  };

  beforeAll(async () => {
    db = await openPglite();
    await db.exec(`
      create table client_statistics (
        client_name text primary key, total_requests bigint, successful_requests bigint,
        failed_requests bigint, total_cached_requests bigint, total_operations bigint,
        last_request_at timestamptz, last_operation_at timestamptz);
      create table client_table_statistics (
        client_name text, table_name text, operation text, total_operations bigint,
        error_operations bigint, last_operation_at timestamptz,
        primary key (client_name, table_name, operation));
      create table clients (
        client_name text primary key, last_seen_at timestamptz, deleted_at timestamptz);
    `);
  });
  afterAll(() => db.close());
  beforeEach(() => db.exec("truncate client_statistics, client_table_statistics, clients"));

  /** The database as one client with some history, and two requests on top of it. */
  const BEFORE = `
    insert into client_statistics values ('c', 10, 8, 2, 1, 10, 'epoch', 'epoch'),
      ('idle', 9007199254740993, 0, 0, 0, 0, null, null);
    insert into client_table_statistics values ('c', 't', 'GET', 10, 2, 'epoch');
    insert into clients values ('c', 'epoch', null), ('gone', 'epoch', 'epoch');
  `;
  const AFTER = `
    update client_statistics set total_requests = 12, successful_requests = 9,
      failed_requests = 3, total_cached_requests = 2, total_operations = 12,
      last_request_at = to_timestamp(2.5), last_operation_at = to_timestamp(2.5)
      where client_name = 'c';
    update client_table_statistics set total_operations = 11, last_operation_at = to_timestamp(2.5);
    insert into client_table_statistics values ('c', '/', 'PUT', 1, 1, to_timestamp(1));
    update clients set last_seen_at = to_timestamp(2.5) where client_name = 'c';
  `;
  const tally = tallyOf(
    request({ at: 2_500, status: 304 }),
    request({ at: 1_000, status: 500, method: "PUT", target: "/" }),
  );

  async function verdictsAfter(sql: string, counted = tally): Promise<readonly TableVerdict[]> {
    await db.exec(BEFORE);
    const before = await readSnapshot(query);
    await db.exec(AFTER);
    await db.exec(sql);
    return verifyTables(query, before, counted);
  }

  test("is passed by what happened", async () => {
    expect(await verdictsAfter("")).toEqual([
      { table: "client_statistics", verified: true, rows: 2, differences: 0, examples: [] },
      { table: "client_table_statistics", verified: true, rows: 2, differences: 0, examples: [] },
      { table: "clients", verified: true, rows: 2, differences: 0, examples: [] },
    ]);
  });

  const counters = [
    ...CLIENT_STATISTICS.counters.map((column) => ["client_statistics", column] as const),
    ...CLIENT_TABLE_STATISTICS.counters.map(
      (column) => ["client_table_statistics", column] as const,
    ),
  ];
  test.each(counters)("notices one too many in %s.%s", async (table, column) => {
    const verdicts = await verdictsAfter(
      `update ${table} set ${column} = ${column} + 1 where client_name = 'c'`,
    );
    expect(verdicts.filter(({ verified }) => !verified).map((each) => each.table)).toEqual([table]);
  });

  test.each([
    ["client_statistics", "update client_statistics set last_request_at = to_timestamp(2.501)"],
    ["client_statistics", "update client_statistics set last_operation_at = null"],
    ["client_statistics", "delete from client_statistics where client_name = 'c'"],
    ["client_statistics", "delete from client_statistics where client_name = 'idle'"],
    [
      "client_statistics",
      "update client_statistics set total_requests = 9007199254740992 " +
        "where client_name = 'idle'",
    ],
    ["client_statistics", "insert into client_statistics values ('x', 0, 0, 0, 0, 0, null, null)"],
    ["client_table_statistics", "update client_table_statistics set last_operation_at = 'epoch'"],
    ["client_table_statistics", "update client_table_statistics set operation = lower(operation)"],
    ["client_table_statistics", "delete from client_table_statistics where table_name = '/'"],
    ["clients", "update clients set last_seen_at = 'infinity' where client_name = 'c'"],
    ["clients", "update clients set last_seen_at = now() where client_name = 'gone'"],
    ["clients", "insert into clients values ('C', null, null)"],
    ["clients", "delete from clients where client_name = 'gone'"],
  ])("notices in %s: %s", async (table, sql) => {
    const verdicts = await verdictsAfter(sql);
    expect(verdicts.filter(({ verified }) => !verified).map((each) => each.table)).toEqual([table]);
  });

  test("says in words what is different, of the first few", async () => {
    const [first] = await verdictsAfter("update client_statistics set total_requests = 13");
    expect(first?.examples).toEqual([
      '"c": total_requests is 13, should be 12',
      '"idle": total_requests is 13, should be 9007199254740993',
    ]);
  });

  test("names three differences and counts them all", async () => {
    const [, second] = await verdictsAfter(
      "update client_table_statistics set total_operations = 0, error_operations = 9, " +
        "last_operation_at = null",
    );
    expect(second).toMatchObject({ verified: false, rows: 2, differences: 6 });
    expect(second?.examples).toEqual([
      '"c", "/", "PUT": total_operations is 0, should be 1',
      '"c", "/", "PUT": error_operations is 9, should be 1',
      '"c", "/", "PUT": last_operation_at is empty, should be 1970-01-01T00:00:01.000Z',
    ]);
  });

  test("nobody counts as seen again once deleted", async () => {
    const withGone = tallyOf(request({ client: "gone" }));
    await db.exec(BEFORE);
    const before = await readSnapshot(query);
    const clients = (await verifyTables(query, before, withGone)).at(-1);
    expect(clients?.verified).toBe(true);
  });

  test("reads more rows than fit a page", async () => {
    await db.exec(`insert into client_table_statistics
      select 'c' || i / 10, 't' || i % 10, 'GET', i, 0, null from generate_series(1, 10001) i`);
    const before = await readSnapshot(query);
    expect(before.get("client_table_statistics")?.size).toBe(10_001);
    const verdicts = await verifyTables(query, before, createTally());
    expect(verdicts.map(({ rows, verified }) => [rows, verified])).toEqual([
      [0, true],
      [10_001, true],
      [0, true],
    ]);
  });
});
