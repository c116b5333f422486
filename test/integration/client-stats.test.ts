/** `sluice/client-stats` on real tables. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type SluiceEvent } from "sluice";
import {
  type ClientStatsOptions,
  clientStatsDdl,
  createClientStatsBatcher,
} from "sluice/client-stats";
import { migrate } from "sluice/postgres";
import { type Database, databases } from "./database.ts";

const WAIT = { timeout: 30_000, interval: 5 };
const TABLES = ["client_statistics", "client_table_statistics", "clients"];

describe.each(Object.entries(databases))("on %s", (_name, open) => {
  let db: Database;
  beforeAll(async () => {
    db = await open({
      upsertSums: ["client_statistics", "client_table_statistics", "Stats", "table stats"],
      touch: ["clients", "athena_clients"],
    });
    await migrate(db.owner, clientStatsDdl());
    await migrate(db.owner, clientStatsDdl());
  });
  beforeEach(() => db.query(`TRUNCATE ${TABLES.join(", ")}`));
  afterAll(() => db.close());

  const create = (options: ClientStatsOptions = {}) => {
    const events: SluiceEvent[] = [];
    const stats = createClientStatsBatcher(db.driver, {
      observe: (event) => events.push(event),
      ...options,
    });
    return { stats, events };
  };
  const statistics = () =>
    db.query(`SELECT client_name AS name, total_requests::int AS total, successful_requests::int AS ok,
      failed_requests::int AS failed, total_cached_requests::int AS cached, total_operations::int AS operations,
      last_request_at AS requested, last_operation_at AS operated FROM client_statistics ORDER BY client_name`);

  it("counts requests by their status, and cached ones", async () => {
    const { stats } = create();
    for (const status of [199, 200, 304, 399, 400, 404, 599, 600, 0, -1, 100]) {
      expect(stats.tryEnqueueRequestStats(`s${status}`, status, status === 304, 1_000)).toBe(true);
      stats.tryEnqueueRequestStats("all", status, status % 2 === 0, 1_000);
    }
    stats.tryEnqueueOperationStats("all", 2_000);
    stats.tryEnqueueOperationStats("operator", 3_000);
    await stats.close();
    const rows = new Map((await statistics()).map(({ name, ...row }) => [name, row]));
    const none = {
      total: 1,
      ok: 0,
      failed: 0,
      cached: 0,
      operations: 0,
      requested: new Date(1_000),
      operated: null,
    };
    for (const status of [199, 0, -1, 100]) expect(rows.get(`s${status}`)).toEqual(none);
    for (const status of [200, 399]) expect(rows.get(`s${status}`)).toEqual({ ...none, ok: 1 });
    for (const status of [400, 404, 599, 600])
      expect(rows.get(`s${status}`)).toEqual({ ...none, failed: 1 });
    expect(rows.get("s304")).toEqual({ ...none, ok: 1, cached: 1 });
    expect(rows.get("all")).toEqual({
      total: 11,
      ok: 3,
      failed: 4,
      cached: 7,
      operations: 1,
      requested: new Date(1_000),
      operated: new Date(2_000),
    });
    expect(rows.get("operator")).toEqual({
      ...none,
      total: 0,
      operations: 1,
      requested: null,
      operated: new Date(3_000),
    });
  });

  it("counts operations per client, table and operation, and touches a client once per flush", async () => {
    await db.query("INSERT INTO clients (client_name) VALUES ('acme')");
    const { stats } = create();
    stats.tryEnqueueTableStats("acme", "orders", "select", false, 1_000);
    stats.tryEnqueueTableStats("acme", "orders", "select", true, 500);
    stats.tryEnqueueTableStats("acme", "orders", "insert", false, 2_000);
    for (let i = 0; i < 50; i += 1) stats.tryEnqueueLastSeen("acme", 1_000 + i);
    await stats.record({
      client: "acme",
      status: 500,
      table: "orders",
      operation: "select",
      at: 3_000,
    });
    const flushed = await stats.flush();
    expect(flushed).toMatchObject({ batches: 1, entries: 4 });
    expect(stats.stats().statements).toBe(1);
    await stats.close();
    expect(
      await db.query(`SELECT table_name AS t, operation AS o, total_operations::int AS n, error_operations::int AS errors,
        last_operation_at AS at FROM client_table_statistics ORDER BY 2`),
    ).toEqual([
      { t: "orders", o: "insert", n: 1, errors: 0, at: new Date(2_000) },
      { t: "orders", o: "select", n: 3, errors: 2, at: new Date(3_000) },
    ]);
    expect(await db.query("SELECT last_seen_at AS at FROM clients")).toEqual([
      { at: new Date(3_000) },
    ]);
  });

  it("makes names that differ in case alone one client, in all three tables", async () => {
    await db.query("INSERT INTO clients (client_name) VALUES ('Foo')");
    const { stats } = create();
    for (const name of ["Foo", "foo", "FOO"]) {
      await stats.record({ client: name, status: 200, table: "t", operation: "o", at: 1_000 });
    }
    await stats.close();
    expect(await statistics()).toMatchObject([{ name: "foo", total: 3 }]);
    expect(
      await db.query(
        "SELECT client_name AS name, total_operations::int AS n FROM client_table_statistics",
      ),
    ).toEqual([{ name: "foo", n: 3 }]);
    expect(await db.query("SELECT client_name AS name, last_seen_at AS at FROM clients")).toEqual([
      { name: "Foo", at: new Date(1_000) },
    ]);
  });

  it("touches clients whose names JavaScript and the database fold differently", async () => {
    const names = ["ΟΔΟΣ", "İstanbul", "ÄÖÜ", "STRASSE", "ﬀ", "DŽ"];
    for (const name of names)
      await db.query("INSERT INTO clients (client_name) VALUES ($1)", [name]);
    const { stats } = create();
    for (const name of names) stats.tryEnqueueLastSeen(name, 1_000);
    await stats.close();
    expect(await db.query("SELECT client_name FROM clients WHERE last_seen_at IS NULL")).toEqual(
      [],
    );
  });

  it("keeps names as they are when told so, in all three tables", async () => {
    await db.query("INSERT INTO clients (client_name) VALUES ('Foo'), ('foo')");
    const { stats } = create({ clientNames: "exact" });
    for (const client of ["Foo", "FOO"]) {
      await stats.record({ client, status: 200, table: "t", operation: "o", at: 1_000 });
    }
    await stats.close();
    expect(await statistics()).toMatchObject([{ name: "FOO" }, { name: "Foo" }]);
    expect(
      await db.query("SELECT client_name AS name FROM clients WHERE last_seen_at IS NOT NULL"),
    ).toEqual([{ name: "Foo" }]);
  });

  it("never moves a time backwards, takes the time of the event, and writes when it wrote", async () => {
    await db.query("INSERT INTO clients (client_name, updated_at) VALUES ('acme', 'epoch')");
    const { stats } = create({ clock: undefined });
    const before = Date.now();
    await stats.record({ client: "acme", status: 200, table: "t", operation: "o" });
    await stats.flush();
    const [now] = await statistics();
    expect(Number(now?.["requested"])).toBeGreaterThanOrEqual(before);
    for (const at of [5, 4_102_444_800_000, 7]) {
      await stats.record({ client: "acme", status: 200, table: "t", operation: "o", at });
      await stats.flush();
    }
    await stats.close();
    const latest = new Date(4_102_444_800_000);
    expect(await statistics()).toMatchObject([{ requested: latest, operated: latest, total: 4 }]);
    expect(
      await db.query(
        "SELECT last_seen_at AS at, updated_at > now() - interval '1 minute' AS fresh FROM clients",
      ),
    ).toEqual([{ at: latest, fresh: true }]);
  });

  it("leaves deleted clients alone and inserts none", async () => {
    await db.query("INSERT INTO clients (client_name, deleted_at) VALUES ('gone', now())");
    const { stats } = create();
    stats.tryEnqueueLastSeen("gone", 1_000);
    stats.tryEnqueueLastSeen("nobody", 1_000);
    const report = await stats.close();
    expect(report).toMatchObject({ items: 2, committed: 2 });
    expect(await db.query("SELECT client_name AS name, last_seen_at AS at FROM clients")).toEqual([
      { name: "gone", at: null },
    ]);
  });

  it("writes to tables of other names and schemas", async () => {
    const tables = {
      clientStatistics: "gateway.Stats",
      clientTableStatistics: "gateway.table stats",
      clients: "gateway.athena_clients",
    };
    await db.query("CREATE SCHEMA gateway");
    await migrate(db.owner, clientStatsDdl(tables));
    await db.query("INSERT INTO gateway.athena_clients (client_name) VALUES ('a')");
    const { stats } = create({ tables });
    await stats.record({ client: "A", status: 200, table: "t", operation: "o", at: 1_000 });
    await stats.close();
    for (const table of ['gateway."Stats"', 'gateway."table stats"', "gateway.athena_clients"]) {
      expect(await db.query(`SELECT client_name FROM ${table}`)).toEqual([{ client_name: "a" }]);
    }
    expect(await db.query("SELECT last_seen_at AS at FROM gateway.athena_clients")).toEqual([
      { at: new Date(1_000) },
    ]);
  });

  it("lands in all three tables or in none: what one of them holds up waits for it, whole", async () => {
    await db.query("INSERT INTO clients (client_name) VALUES ('acme')");
    await db.query("ALTER TABLE clients RENAME TO clients_away");
    const { stats, events } = create({ retry: { baseDelayMs: 5, maxDelayMs: 5 } });
    await stats.record({ client: "acme", status: 200, table: "t", operation: "o", at: 1_000 });
    await expect.poll(() => events.map(({ type }) => type), WAIT).toContain("retried");
    await expect(stats.flush({ timeoutMs: 150 })).rejects.toMatchObject({
      code: "SLUICE_ERR_FLUSH_TIMEOUT",
    });
    expect(await statistics()).toEqual([]);
    expect(await db.query("SELECT FROM client_table_statistics")).toEqual([]);
    await db.query("ALTER TABLE clients_away RENAME TO clients");
    const report = await stats.close();
    expect(report).toMatchObject({ committed: 3, rejected: 0, unknown: 0 });
    expect(await statistics()).toMatchObject([{ name: "acme", total: 1 }]);
    expect(await db.query("SELECT client_name AS name, last_seen_at AS at FROM clients")).toEqual([
      { name: "acme", at: new Date(1_000) },
    ]);
  });

  it("writes 1,000 keys of each table in one statement, and drains on close", async () => {
    await db.query(
      "INSERT INTO clients (client_name) SELECT 'client-' || i FROM generate_series(0, 999) i",
    );
    const { stats } = create({ maxEntries: 3_000, maxDelayMs: 60_000 });
    for (let i = 0; i < 1_000; i += 1) {
      await stats.record({
        client: `client-${i}`,
        status: 200,
        table: "t",
        operation: "o",
        at: 1_000,
      });
    }
    const report = await stats.close();
    expect(report).toMatchObject({ committed: 3_000, stats: { batches: 1, statements: 1 } });
    expect(await db.query("SELECT count(*)::int AS n FROM client_statistics")).toEqual([
      { n: 1_000 },
    ]);
    expect(await db.query("SELECT count(*)::int AS n FROM client_table_statistics")).toEqual([
      { n: 1_000 },
    ]);
    expect(await db.query("SELECT count(last_seen_at)::int AS n FROM clients")).toEqual([
      { n: 1_000 },
    ]);
  });

  it("refuses names that no row can have, and harms nothing else", async () => {
    const { stats } = create();
    const odd: readonly unknown[] = [
      "",
      "a\0b",
      "lone \ud800",
      "x".repeat(5_000),
      undefined,
      null,
      7,
      {},
    ];
    for (const name of odd) {
      // As a caller without types would.
      const given = name as string;
      const offers = [
        () => stats.tryEnqueueRequestStats(given, 200, false),
        () => stats.tryEnqueueOperationStats(given),
        () => stats.tryEnqueueLastSeen(given),
        () => stats.tryEnqueueTableStats(given, "t", "o", false),
        () => stats.tryEnqueueTableStats("a", given, "o", false),
        () => stats.tryEnqueueTableStats("a", "t", given, false),
      ];
      const refusal = expect.objectContaining({
        code: expect.stringMatching(/^SLUICE_ERR_KEY_(INVALID|TOO_LONG)$/),
      });
      for (const offer of offers) expect(offer).toThrow(refusal);
      const record = { client: "a", status: 200, table: "t", operation: given };
      await expect(stats.record(record)).rejects.toEqual(refusal);
    }
    for (const status of [Number.NaN, 200.5, Infinity]) {
      expect(() => stats.tryEnqueueRequestStats("a", status, false)).toThrow(/status/);
    }
    expect(stats.stats()).toMatchObject({ accepted: 0, held: 0 });
    stats.tryEnqueueRequestStats("fine", 200, false, 1_000);
    await stats.close();
    expect(await statistics()).toMatchObject([{ name: "fine", total: 1 }]);
  });

  it("has the reference's limits: 2,000 entries, 250 ms, 50,000 held; and takes held clients when full", async () => {
    const { stats, events } = create({
      ledger: "no_such_ledger",
      retry: { baseDelayMs: 10_000 },
      random: () => 0.5,
    });
    let taken = 0;
    for (let i = 0; i < 50_010; i += 1) if (stats.tryEnqueueOperationStats(`c${i}`)) taken += 1;
    expect(taken).toBe(50_000);
    await expect
      .poll(() => events.find(({ type }) => type === "sealed"), WAIT)
      .toMatchObject({ entries: 2_000, reason: "entries" });
    expect(stats.tryEnqueueOperationStats("c49999")).toBe(true);
    expect(stats.tryEnqueueOperationStats("one more")).toBe(false);
    const report = await stats.close({ timeoutMs: 0 });
    expect(report.stats).toMatchObject({ accepted: 50_001, held: 0 });
  });
});
