/** The newest value per key in PostgreSQL: what a batch changes, and what it must not. */
import { describe, expect, it } from "vitest";
import { createBatcher, type LatestItem, latest, type SluiceEvent } from "sluice";
import { type LatestDetails, migrate, writeLatest, type WriteLatestOptions } from "sluice/postgres";
import { databases } from "./database.ts";
import type { Grants } from "./privileges.ts";

const shape = latest({ key: ["agent", "name"], value: ["v"], version: "at" });
type Item = LatestItem<"agent" | "name", "v", "at">;

const TABLE = `CREATE TABLE facts (
  agent uuid, name varchar(8), v text, at timestamptz, PRIMARY KEY (agent, name)
)`;
const A = "aaaaaaaa-0000-4000-8000-000000000001";
const B = "bbbbbbbb-0000-4000-8000-000000000002";
const types = { agent: "uuid", name: "varchar(8)" };

const granted = (table: string, onMissing: WriteLatestOptions["onMissing"]): Grants =>
  onMissing === "insert"
    ? { 'writeLatest with onMissing: "insert"': [table] }
    : { writeLatest: [table] };

describe.each(Object.entries(databases))("writeLatest with %s", (_, open) => {
  async function setup(onMissing: WriteLatestOptions["onMissing"]) {
    const { driver, owner, query, close } = await open(granted("facts", onMissing));
    await migrate(owner, TABLE);
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      shape,
      sink: writeLatest(driver, { table: "facts", types, onMissing }),
      observe: (event) => events.push(event),
    });
    /** Writes a batch, and tells what became of it. */
    const write = async (...items: Item[]): Promise<LatestDetails> => {
      for (const item of items) batcher.tryAdd(item);
      await batcher.flush();
      expect(events.at(-1)).toMatchObject({ type: "committed", statements: 1, duplicate: false });
      return lastDetails();
    };
    const lastDetails = (): LatestDetails => {
      const committed = events.findLast(({ type }) => type === "committed");
      return (committed as { details: LatestDetails }).details;
    };
    const rows = () =>
      query(
        `SELECT agent::text, name, v, to_char(at AT TIME ZONE 'UTC', 'SS.US') AS at FROM facts
         ORDER BY agent, name`,
      );
    return { batcher, query, write, lastDetails, rows, close };
  }

  it("changes rows that are older, and says which were newer and which were missing", async () => {
    const { query, write, rows, close } = await setup("ignore");
    await query(
      `INSERT INTO facts VALUES ($1, 'old', 'x', '1970-01-01 00:00:01Z'),
       ($1, 'same', 'x', '1970-01-01 00:00:02.000001Z'), ($1, 'new', 'x', '1970-01-01 00:00:02.000002Z'),
       ($2, 'none', 'x', NULL)`,
      [A, B],
    );
    const at = "1970-01-01T00:00:02.000001Z";
    const details = await write(
      ...["old", "same", "new", "gone"].map((name) => ({ agent: A, name, v: "y", at })),
      { agent: B, name: "none", v: null, at },
    );
    expect(details).toEqual({ changed: 3, stale: [[A, "new"]], missing: [[A, "gone"]] });
    expect(await rows()).toEqual([
      { agent: A, name: "new", v: "x", at: "02.000002" },
      { agent: A, name: "old", v: "y", at: "02.000001" },
      { agent: A, name: "same", v: "y", at: "02.000001" },
      { agent: B, name: "none", v: null, at: "02.000001" },
    ]);
    await close();
  });

  it("inserts what is missing where it is asked to", async () => {
    const { write, rows, close } = await setup("insert");
    const first = await write({ agent: A, name: "n", v: 1.5, at: 2_000 });
    expect(first).toEqual({ changed: 1, stale: [], missing: [[A, "n"]] });
    const second = await write(
      { agent: A, name: "n", v: "older", at: 1_000 },
      { agent: B, name: "n", v: true, at: 1_000 },
    );
    expect(second).toEqual({ changed: 1, stale: [[A, "n"]], missing: [[B, "n"]] });
    expect(await write({ agent: A, name: "n", v: "newer", at: 3_000 })).toEqual({
      changed: 1,
      stale: [],
      missing: [],
    });
    expect(await rows()).toEqual([
      { agent: A, name: "n", v: "newer", at: "03.000000" },
      { agent: B, name: "n", v: "true", at: "01.000000" },
    ]);
    await close();
  });

  it.each(["ignore", "insert"] as const)(
    "takes two spellings of one key for one row: the newer of them (%s)",
    async (onMissing) => {
      const { query, write, rows, close } = await setup(onMissing);
      await query("INSERT INTO facts VALUES ($1, 'n', 'x', NULL)", [A]);
      const details = await write(
        { agent: A.toUpperCase(), name: "n", v: "newer", at: 2_000 },
        { agent: A, name: "n", v: "older", at: 1_000 },
      );
      expect(details).toEqual({ changed: 1, stale: [[A, "n"]], missing: [] });
      expect(await rows()).toEqual([{ agent: A, name: "n", v: "newer", at: "02.000000" }]);
      await close();
    },
  );

  it.each(["ignore", "insert"] as const)(
    "knows equal values of a type by that type, whatever their bytes (%s)",
    async (onMissing) => {
      const { driver, owner, query, close } = await open(granted("numbers", onMissing));
      await migrate(owner, "CREATE TABLE numbers (k numeric PRIMARY KEY, v text, at timestamptz)");
      await query("INSERT INTO numbers VALUES (1, 'x', '1970-01-01Z')");
      const batcher = createBatcher({
        shape: latest({ key: ["k"], value: ["v"], version: "at" }),
        sink: writeLatest(driver, { table: "numbers", types: { k: "numeric" }, onMissing }),
      });
      batcher.tryAdd({ k: "1.0", v: "older", at: 1 });
      batcher.tryAdd({ k: "1.00", v: "newer", at: 2 });
      await batcher.close();
      expect(batcher.stats()).toMatchObject({ committed: 2, statements: 1 });
      expect(await query("SELECT v FROM numbers")).toEqual([{ v: "newer" }]);
      await close();
    },
  );

  it.each(["ignore", "insert"] as const)("writes to partitioned tables (%s)", async (onMissing) => {
    const { driver, owner, query, close } = await open(granted("parted", onMissing));
    await migrate(
      owner,
      `CREATE TABLE parted (k text PRIMARY KEY, v text, at timestamptz) PARTITION BY HASH (k);
       CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
       CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);`,
    );
    await query("INSERT INTO parted VALUES ('a', 'x', NULL), ('b', 'x', NULL)");
    const details: unknown[] = [];
    const batcher = createBatcher({
      shape: latest({ key: ["k"], value: ["v"], version: "at" }),
      sink: writeLatest(driver, { table: "parted", onMissing }),
      observe: (event) => event.type === "committed" && details.push(event.details),
    });
    for (const k of ["a", "b", "c"]) batcher.tryAdd({ k, v: "y", at: 1 });
    await batcher.close();
    const changed = onMissing === "insert" ? 3 : 2;
    expect(details).toEqual([{ changed, stale: [], missing: [["c"]] }]);
    expect(await query("SELECT count(*)::int AS n FROM parted WHERE v = 'y'")).toEqual([
      { n: changed },
    ]);
    await close();
  });

  it("lands the others where one entry cannot be stored, and tells of all of them", async () => {
    const { batcher, query, write, lastDetails, rows, close } = await setup("insert");
    await query("INSERT INTO facts VALUES ($1, 'newer', 'x', '2000-01-01Z')", [A]);
    const failed = write(
      { agent: A, name: "a", v: "y", at: 1 },
      { agent: A, name: "newer", v: "y", at: 1 },
      { agent: A, name: "too long a name", v: "y", at: 1 },
      { agent: "no uuid", name: "z", v: "y", at: 1 },
    );
    await expect(failed).rejects.toMatchObject({ code: "SLUICE_ERR_FLUSH_INCOMPLETE" });
    expect(batcher.stats()).toMatchObject({ committed: 2, deadLettered: 2 });
    expect(lastDetails()).toEqual({
      changed: 1,
      stale: [[A, "newer"]],
      missing: [[A, "a"]],
    });
    expect((await rows()).map(({ name, v }) => [name, v])).toEqual([
      ["a", "y"],
      ["newer", "x"],
    ]);
    await close();
  });
});
