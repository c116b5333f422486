/** Who gives up first: the server, before the client; and what a batch that was given up can still do. */
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { createBatcher, isSluiceError, type SluiceEvent, sums } from "sluice";
import { migrate, sqlstateOf, upsertSums } from "sluice/postgres";
import { connectors, type Eye, freshDatabase, openEye } from "./database.ts";
import { openProxy, type Proxy } from "./proxy.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Lets `fate` strike the first COMMIT that is asked for after data was written. */
const atCommit = (proxy: Proxy, fate: "stall" | "hold"): void => {
  let written = false;
  proxy.fate = ({ from, commit, text }) => {
    written ||= text.includes("WITH claim");
    const strikes = written && from === "client" && commit && proxy.struck[fate] === 0;
    return strikes ? fate : "pass";
  };
};

/** Waits until `holds`, for at most half a minute. */
const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  const deadline = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > deadline) expect.fail(`not within half a minute: ${String(holds)}`);
    await pause(5);
  }
};

/** A connection that carries out `sql` and stays in its transaction, for the test at most. */
const openHolder = async (url: string, sql: string): Promise<pg.Client> => {
  const holder = new pg.Client(url);
  await holder.connect();
  onTestFinished(() => holder.end());
  await holder.query(sql);
  return holder;
};

describe.each(["pg", "postgres"] as const)("with %s", (connector) => {
  let url: string;
  let eye: Eye;
  beforeAll(async () => {
    url = await freshDatabase();
    eye = await openEye(url);
    const { driver, end } = connectors[connector](url, 1);
    await migrate(driver);
    await end();
    await eye.query("CREATE TABLE usage (k text PRIMARY KEY, n bigint)");
    await eye.query("CREATE TABLE slow (k text PRIMARY KEY, n bigint)");
    await eye.query(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_sleep((SELECT s FROM pace)); RETURN new; END $$`);
    await eye.query("CREATE TABLE pace (s float)");
    await eye.query("INSERT INTO pace VALUES (30)");
    await eye.query(
      "CREATE TRIGGER dawdle BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION dawdle()",
    );
  });
  beforeEach(() => eye.query("TRUNCATE usage, slow"));
  afterAll(() => eye.close());

  /** A batcher into `table` that notes what happens to it. */
  const open = (table: string, target: string, writeTimeoutMs: number) => {
    const { driver, end } = connectors[connector](target, 4, false); // COMMIT is then seen as text
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table }),
      maxDelayMs: 0,
      writeTimeoutMs,
      retry: { baseDelayMs: 200, circuitAfter: 1_000 },
      random: () => 0.9,
      observe: (event) => events.push(event),
    });
    const retried = () => events.filter((event) => event.type === "retried");
    return { batcher, events, retried, driver, end };
  };
  const total = async (): Promise<unknown> =>
    (await eye.query("SELECT n::int FROM usage WHERE k = 'a'"))[0]?.["n"];
  const working = async (): Promise<number> => {
    const rows = await eye.query(
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'",
    );
    return rows.length;
  };

  it("a batch that waits for a row is given up by the server first, leaves nothing behind, and lands once the row is free", async () => {
    await eye.query("INSERT INTO usage VALUES ('a', 1)");
    const holder = await openHolder(url, "BEGIN; UPDATE usage SET n = n WHERE k = 'a'");
    const { batcher, retried, end } = open("usage", url, 2_500);
    batcher.tryAdd({ k: "a", n: 41 });
    await until(() => retried().length === 1);
    // Of the two, only the one that holds the row.
    await until(async () => (await working()) === 1);
    await until(() => retried().length === 2);
    for (const { error } of retried()) {
      expect(isSluiceError(error) && error.code).toBe("SLUICE_ERR_SINK_RETRYABLE");
      expect(["55P03", "57014"]).toContain(sqlstateOf(error instanceof Error && error.cause));
    }
    await holder.query("ROLLBACK");
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 1, duplicates: 0 });
    expect(await total()).toBe(42);
    await end();
  });

  it("a statement that takes too long is ended by the server before the client gives up", async () => {
    const { batcher, retried, end } = open("slow", url, 2_500);
    batcher.tryAdd({ k: "a", n: 1 });
    await until(() => retried().length === 1);
    const [first] = retried();
    expect(sqlstateOf(first?.error instanceof Error && first.error.cause)).toBe("57014");
    expect(first?.ambiguous).toBe(false);
    await eye.query("UPDATE pace SET s = 0");
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 1, duplicates: 0 });
    expect(await eye.query("SELECT n::int FROM slow")).toEqual([{ n: 1 }]);
    await eye.query("UPDATE pace SET s = 30");
    await end();
  });

  it("a commit whose answer comes too late is not doubled", async () => {
    const proxy = await openProxy(url);
    atCommit(proxy, "stall");
    const { batcher, retried, end } = open("usage", proxy.url, 300);
    batcher.tryAdd({ k: "a", n: 5 });
    const { stats } = await batcher.close();
    expect(proxy.struck.stall).toBe(1);
    expect(retried()).toMatchObject([
      { ambiguous: true, error: { code: "SLUICE_ERR_WRITE_TIMEOUT" } },
    ]);
    expect(stats).toMatchObject({ committed: 1, duplicates: 1, unknown: 0 });
    expect(await total()).toBe(5);
    proxy.release();
    await end();
    await proxy.close();
  });

  it("a zombie that commits while its batch is tried again is waited for, and not doubled", async () => {
    const proxy = await openProxy(url);
    atCommit(proxy, "hold");
    const { driver, end } = connectors[connector](proxy.url, 4, false);
    const shape = sums({ key: ["k"], sum: ["n"] });
    const gathered = shape.accumulator();
    gathered.measure({ k: "a", n: 5 });
    gathered.fold();
    const { batch } = gathered.seal(1);
    const sink = upsertSums(driver, { table: "usage" });
    const { signal } = new AbortController();
    const id = { writer: `zombie-${connector}`, seq: 1 };
    const remainingMs = (): number => 20_000;
    const context = { id, signal, timeoutMs: 20_000, remainingMs, shape, warn: () => undefined };
    const first = sink.write(batch, { ...context, attempt: 1 });
    await until(() => proxy.struck.hold === 1);
    const second = sink.write(batch, { ...context, attempt: 2 });
    // It stands before the ledger row of the first, which nobody has committed yet.
    await until(async () => {
      const rows = await eye.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows.length === 1;
    });
    expect(await total()).toBeUndefined();
    proxy.release();
    expect(await first).toEqual({ statements: 1 });
    expect(await second).toMatchObject({ duplicate: true });
    expect(await total()).toBe(5);
    await end();
    await proxy.close();
  });

  it("a zombie that nobody commits ends by the server's own limit", async () => {
    const proxy = await openProxy(url);
    atCommit(proxy, "hold");
    const { batcher, end } = open("usage", proxy.url, 400);
    batcher.tryAdd({ k: "a", n: 5 });
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 1, duplicates: 0, unknown: 0 });
    expect(await total()).toBe(5);
    expect(await working()).toBe(0);
    proxy.release();
    await pause(50);
    expect(await total()).toBe(5);
    await end();
    await proxy.close();
  });

  it("reaping the ledger is limited like any other statement", async () => {
    const holder = await openHolder(url, "BEGIN; LOCK TABLE sluice_ledger");
    const { batcher, events, retried, end } = open("usage", url, 400);
    batcher.tryAdd({ k: "a", n: 5 });
    await until(() => retried().length >= 2);
    const waiting = await eye.query(
      "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DELETE%' AND state <> 'idle'",
    );
    expect(waiting).toEqual([]);
    await holder.query("ROLLBACK");
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 1 });
    expect(events.some(({ type }) => type === "warning")).toBe(true);
    expect(await total()).toBe(5);
    await end();
  });

  it("close() at its deadline gives up without harm while no connection can be made", async () => {
    const proxy = await openProxy(url);
    const { batcher, end } = open("slow", proxy.url, 10_000);
    batcher.tryAdd({ k: "a", n: 1 });
    await until(async () => {
      const rows = await eye.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
      );
      return rows.length === 1;
    });
    proxy.refusing = true;
    const report = await batcher.close({ timeoutMs: 50 });
    expect(report).toMatchObject({ unknown: 1, undelivered: [{ outcome: "unknown", items: 1 }] });
    await pause(50);
    await eye.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await pause(50);
    await end();
    await proxy.close();
  });

  it("a connection that is cut between the statements of a transaction harms nobody else", async () => {
    const proxy = await openProxy(url);
    const { batcher, retried, end } = open("usage", proxy.url, 5_000);
    // One after the other: the claim, the data, the commit.
    const words = ["SET LOCAL", "WITH claim", "commit"];
    let written = false;
    proxy.fate = ({ from, text }) => {
      written ||= text.includes("WITH claim");
      const word = words[proxy.struck.cut];
      if (from === "server" || word === undefined) return "pass";
      if (word === "commit" && !written) return "pass";
      return text.toLowerCase().includes(word.toLowerCase()) ? "cut" : "pass";
    };
    batcher.tryAdd({ k: "a", n: 5 });
    const { stats } = await batcher.close();
    expect(proxy.struck.cut).toBe(3);
    expect(retried().length).toBeGreaterThanOrEqual(2);
    expect(stats).toMatchObject({ committed: 1, unknown: 0 });
    expect(await total()).toBe(5);
    await end();
    await proxy.close();
  });
});

describe("limits are set for one transaction alone", () => {
  const limits = "SHOW statement_timeout; SHOW lock_timeout";
  it("with pg", async () => {
    const url = await freshDatabase();
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    const before = await pool.query(limits);
    await writeOne(pool);
    expect(shown(await pool.query(limits))).toEqual(shown(before));
    await pool.end();
  });
  it("with postgres", async () => {
    const url = await freshDatabase();
    const sql = postgres(url, { max: 1, onnotice: () => undefined });
    const before = await sql.unsafe(limits);
    await writeOne(sql);
    expect(await sql.unsafe(limits)).toEqual(before);
    await sql.end();
  });
  const shown = (results: unknown): unknown =>
    (results as readonly { rows: unknown }[]).map(({ rows }) => rows);
  const writeOne = async (driver: Parameters<typeof migrate>[0]): Promise<void> => {
    await migrate(driver, "CREATE TABLE usage (k text PRIMARY KEY, n bigint CHECK (n < 1000))");
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "usage" }),
    });
    for (const n of [1, 2, 5_000]) batcher.tryAdd({ k: `k${n}`, n });
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ committed: 2, deadLettered: 1 });
  };
});
