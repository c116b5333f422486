/** The privileges that the guide names are enough for every sink, and none of them can go. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createBatcher, distinct, latest, list, type Shape, sums } from "sluice";
import {
  insertRows,
  migrate,
  type PostgresSink,
  reapLedger,
  sqlstateOf,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import type { PostgresDriver } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { type Database, databases } from "./database.ts";
import { type Needs, privilegesFor } from "./privileges.ts";

const DENIED = "42501";

/** Delivers an item by one attempt: what ends it, and the states of all that was warned of. */
async function deliver<Item, Batch>(
  shape: Shape<Item, Batch>,
  sink: PostgresSink<Batch>,
  item: Item,
): Promise<{ readonly denied: boolean; readonly warnings: readonly unknown[] }> {
  const states: unknown[] = [];
  const warnings: unknown[] = [];
  const batcher = createBatcher({
    shape,
    sink,
    maxDelayMs: 0,
    retry: { maxAttempts: 1 },
    deadLetter: ({ cause }) => states.push(sqlstateOf((cause as Error).cause ?? cause)),
    observe: (event) => event.type === "warning" && warnings.push(sqlstateOf(event.error)),
  });
  await batcher.deliver(item).catch(() => undefined);
  const { stats } = await batcher.close();
  expect(states).toEqual(stats.committed === 1 ? [] : [DENIED]);
  return { denied: states.length > 0, warnings };
}

type Writers = Exclude<Needs, "every sink" | "reaping">;

const rows = { columns: { k: "text", v: "text" }, key: ["k"] };
const row = { k: "a", v: "x" };
const newest = latest({ key: ["k"], value: ["v"], version: "at" });
const settings = (driver: PostgresDriver, onMissing: "ignore" | "insert") =>
  writeLatest(driver, { table: onMissing, onMissing });
const inserted = (driver: PostgresDriver, onConflict: "error" | "nothing" | "update") =>
  insertRows(driver, { ...rows, table: onConflict, onConflict });

/** Who needs privileges, on which table, and how it is written to. */
const WRITERS: readonly (readonly [
  needs: Writers,
  table: string,
  write: (driver: PostgresDriver) => ReturnType<typeof deliver>,
])[] = [
  [
    "upsertSums",
    "usage",
    (driver) =>
      deliver(sums({ key: ["k"], sum: ["n"] }), upsertSums(driver, { table: "usage" }), {
        k: "a",
        n: 1,
      }),
  ],
  [
    "touch",
    "seen",
    (driver) =>
      deliver(distinct({ key: ["k"], last: ["at"] }), touch(driver, { table: "seen" }), {
        k: "a",
        at: 1,
      }),
  ],
  [
    "writeLatest",
    "ignore",
    (driver) => deliver(newest, settings(driver, "ignore"), { ...row, at: 1 }),
  ],
  [
    'writeLatest with onMissing: "insert"',
    "insert",
    (driver) => deliver(newest, settings(driver, "insert"), { ...row, at: 1 }),
  ],
  ["insertRows", "error", (driver) => deliver(list<object>(), inserted(driver, "error"), row)],
  [
    'insertRows with onConflict: "nothing"',
    "nothing",
    (driver) => deliver(list<object>(), inserted(driver, "nothing"), row),
  ],
  [
    'insertRows with onConflict: "update"',
    "update",
    (driver) => deliver(list<object>(), inserted(driver, "update"), row),
  ],
];

describe.each(["pg", "postgres"])("with %s", (connector) => {
  let db: Database;
  let role: string;
  beforeAll(async () => {
    const open = databases[connector] ?? expect.fail("there is no such driver");
    db = await open(Object.fromEntries(WRITERS.map(([needs, table]) => [needs, [table]])));
    await migrate(
      db.owner,
      "CREATE TABLE usage (k text PRIMARY KEY, n bigint)",
      ...["seen", "ignore", "insert", "error", "nothing", "update"].map(
        (table) =>
          `CREATE TABLE "${table}" (k text PRIMARY KEY, v text, at timestamptz); INSERT INTO "${table}" VALUES ('${table === "error" ? "b" : "a"}')`,
      ),
    );
    const [found] = await db.query("SELECT 'writer_' || current_database() AS role");
    role = String(found?.["role"]);
  });
  afterAll(() => db.close());

  /** Runs `work` while the role has not this privilege. */
  const without = async <T>(privilege: string, table: string, work: () => Promise<T>) => {
    await db.query(`REVOKE ${privilege} ON "${table}" FROM ${role}`);
    try {
      return await work();
    } finally {
      await db.query(`GRANT ${privilege} ON "${table}" TO ${role}`);
    }
  };

  it.each(WRITERS)("%s writes with what the guide names, and with nothing less", async (...of) => {
    const [needs, table, write] = of;
    expect(await write(db.driver)).toEqual({ denied: false, warnings: [] });
    for (const privilege of privilegesFor(needs)) {
      const { denied } = await without(privilege, table, () => write(db.driver));
      expect({ privilege, denied }).toEqual({ privilege, denied: true });
    }
    for (const privilege of privilegesFor("every sink")) {
      const { denied } = await without(privilege, "sluice_ledger", () => write(db.driver));
      expect({ privilege, denied }).toEqual({ privilege, denied: true });
    }
  });

  it("one that is missing is waited for: nothing is dead-lettered, and all lands once it is there", async () => {
    const outlast = async <Item, Batch>(
      table: string,
      shape: Shape<Item, Batch>,
      sink: PostgresSink<Batch>,
      item: Item,
    ): Promise<void> => {
      const states: unknown[] = [];
      const batcher = createBatcher({
        shape,
        sink,
        maxDelayMs: 0,
        retry: { baseDelayMs: 1, maxDelayMs: 1 },
        observe: (event) => {
          if (event.type === "retried") states.push(sqlstateOf((event.error as Error).cause));
        },
      });
      await without("INSERT", table, async () => {
        batcher.tryAdd(item);
        while (states.length < 7) await new Promise((resolve) => setTimeout(resolve, 5));
      });
      const { stats } = await batcher.close();
      expect(stats).toMatchObject({ committed: 1, deadLettered: 0, unknown: 0 });
      expect(new Set(states)).toEqual(new Set([DENIED]));
      expect(await db.query(`SELECT k FROM "${table}" WHERE k = 'late'`)).toEqual([{ k: "late" }]);
    };
    const counters = upsertSums(db.driver, { table: "usage" });
    await outlast("usage", sums({ key: ["k"], sum: ["n"] }), counters, { k: "late", n: 1 });
    const values = settings(db.driver, "insert");
    await outlast("insert", newest, values, { k: "late", v: "x", at: 1 });
  });

  it("without what reaping needs, data lands all the same, and a warning says so", async () => {
    expect(privilegesFor("reaping")).toEqual(["DELETE"]);
    const [, , write] = WRITERS[0] ?? expect.fail("nobody writes");
    const { denied, warnings } = await without("DELETE", "sluice_ledger", () => write(db.driver));
    expect({ denied, warnings }).toEqual({ denied: false, warnings: [DENIED] });
    await expect(reapLedger(db.driver)).resolves.toBe(0);
  });

  it("the role may do nothing else", async () => {
    await expect(migrate(db.driver, "CREATE TABLE more (k text)")).rejects.toThrow(/denied/);
  });
});
