/** The privileges that the guide names are enough for rows into ClickHouse, and none of them can go. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { DeadLetter } from "sluice";
import {
  createRowBatcher,
  type RowBatcherOptions,
  String as Text,
  UInt32,
} from "sluice/clickhouse";
import { openChdb } from "./chdb.ts";
import { openClickHouseFace } from "./clickhouse-face.ts";
import { connectWriter } from "./clickhouse-faults.ts";
import { clickhouseGrants } from "./privileges.ts";

const COLUMNS = { id: UInt32, name: Text };
const WINDOW = "SETTINGS non_replicated_deduplication_window = 100";

const ROLES = {
  inserts: "inserts",
  views: "views",
  views_read: "views without SQL SECURITY",
  create_table: "createTable",
};
type Role = keyof typeof ROLES | "seen_read";

/** A role for each line of the guide, and one for what it says of views that are chained. */
const chdb = openChdb({
  ...Object.fromEntries(
    Object.entries(ROLES).map(([role, needs]) => {
      const granted = clickhouseGrants.find(({ who }) => who === needs);
      return [role, [`${granted?.privileges} ON ${granted?.on}`]];
    }),
  ),
  seen_read: ["SELECT ON stats.seen"],
});

const face = await openClickHouseFace(chdb);
afterAll(() => face.close());
beforeAll(() => chdb.query("CREATE DATABASE stats"));
beforeEach(async () => {
  face.fault = refuseSystemTables;
  for (const table of ["next", "more", "view", "seen", "events"])
    await chdb.query(`DROP TABLE IF EXISTS stats.${table}`);
});

/**
 * What servers refuse as they are shipped (`select_from_system_db_requires_grant`, ContextAccess.cpp); chDB
 * lets everybody read every system table.
 */
const refuseSystemTables: typeof face.fault = ({ query }) =>
  /FROM system\.(?!settings\b|tables\b|columns\b|databases\b)/.test(query)
    ? { status: 403, code: 497, message: "writer: Not enough privileges. (ACCESS_DENIED)" }
    : undefined;

const createEvents = (more = ""): Promise<unknown> =>
  chdb.query(
    `CREATE TABLE stats.events (id UInt32, name String${more}) ENGINE = MergeTree ORDER BY id ${WINDOW}`,
  );

const createView = async (security = ""): Promise<void> => {
  await createEvents();
  await chdb.query(`CREATE TABLE stats.seen (id UInt32) ENGINE = MergeTree ORDER BY id ${WINDOW}`);
  await chdb.query(
    `CREATE MATERIALIZED VIEW stats.view TO stats.seen ${security} AS SELECT id FROM stats.events`,
  );
};

/** Writes rows as these roles, by one attempt each: what did not land, and why. */
const write = async (
  roles: readonly Role[],
  ids: readonly number[] = [1],
  options: Partial<RowBatcherOptions<typeof COLUMNS>> = {},
) => {
  const letters: DeadLetter<unknown>[] = [];
  const warnings: unknown[] = [];
  const batcher = createRowBatcher(connectWriter(face, { role: [...roles] }), {
    table: "stats.events",
    columns: COLUMNS,
    retry: { maxAttempts: 1 },
    deadLetter: (letter) => letters.push(letter),
    observe: (event) => event.type === "warning" && warnings.push(event.error),
    ...options,
  });
  await batcher.insertMany(ids.map((id) => ({ id, name: `name ${id}` })));
  const { stats } = await batcher.close();
  return { committed: stats.committed, unknown: stats.unknown, letters, warnings };
};

const landed = async (table = "events"): Promise<unknown> =>
  (
    await chdb.query(
      `SELECT groupArray(id) AS ids FROM (SELECT id FROM stats.${table} ORDER BY id)`,
    )
  )[0]?.["ids"];

/** Nothing landed, and it would have been tried again. Where INSERT is missing, so is SHOW COLUMNS, which comes with it. */
const denied = (what: string) => ({
  committed: 0,
  unknown: 0,
  letters: [
    {
      outcome: "expired",
      cause: {
        disposition: "retryable",
        ambiguous: false,
        message: expect.stringContaining(`the grant ${what}`),
      },
    },
  ],
});

it("the guide names who needs what", () => {
  expect(clickhouseGrants.map(({ who }) => who)).toEqual(Object.values(ROLES));
});

describe("inserts", () => {
  it("land once, whole or in halves, also when an answer is lost", async () => {
    await createEvents(", CONSTRAINT small CHECK id < 100");
    let inserts = 0;
    face.fault = (request) => {
      if (request.query.startsWith("INSERT") && (inserts += 1) === 1) return "drop-after";
      return refuseSystemTables(request);
    };
    const patient = { retry: { baseDelayMs: 1 }, strict: true };
    const lost = await write(["inserts"], [1, 2], patient);
    expect(lost).toEqual({ committed: 2, unknown: 0, letters: [], warnings: [] });
    const halved = await write(["inserts"], [3, 4, 100, 5], patient);
    expect(halved).toMatchObject({ committed: 3, unknown: 0, warnings: [] });
    expect(halved.letters).toMatchObject([{ entry: { id: 100 }, outcome: "rejected" }]);
    expect(await landed()).toEqual([1, 2, 3, 4, 5]);
    expect(inserts).toBeGreaterThan(4);
  });

  it("need theirs, and are tried again without", async () => {
    await createEvents();
    expect(await write(["views", "create_table"])).toMatchObject(denied("SHOW COLUMNS"));
    expect(await landed()).toEqual([]);
  });
});

describe("views", () => {
  const DEFINER = "DEFINER = default SQL SECURITY DEFINER";
  it.each<[string, Role[]]>([
    [DEFINER, []],
    ["SQL SECURITY NONE", []],
    ["", ["views_read"]],
  ])("are looked at, and found to count once: %s", async (security, more) => {
    await createView(security);
    const strict = await write(["inserts", "views", ...more], [1], { strict: true });
    expect(strict).toEqual({ committed: 1, unknown: 0, letters: [], warnings: [] });
    expect(await landed("seen")).toEqual([1]);
  });

  it("that are chained need SELECT on every table that they read", async () => {
    await createView();
    await chdb.query(
      `CREATE TABLE stats.more (id UInt32) ENGINE = MergeTree ORDER BY id ${WINDOW}`,
    );
    await chdb.query(
      "CREATE MATERIALIZED VIEW stats.next TO stats.more AS SELECT id FROM stats.seen",
    );
    const roles: Role[] = ["inserts", "views", "views_read"];
    expect(await write(roles)).toMatchObject({ committed: 0 });
    expect(await write([...roles, "seen_read"], [2], { strict: true })).toMatchObject({
      committed: 1,
      warnings: [],
    });
    expect(await landed("more")).toEqual([2]);
  });

  it("need theirs: one that cannot be seen is not trusted", async () => {
    await createView(DEFINER);
    expect(await write(["inserts"])).toMatchObject({
      committed: 1,
      warnings: [{ message: expect.stringMatching(/in "stats\.view".*SHOW TABLES/) }],
    });
    expect(await write(["inserts"], [2], { strict: true })).toMatchObject({ committed: 0 });
    expect(await landed("seen")).toEqual([1]);
  });

  it("need theirs: one that reads with the writer's privileges holds up the insert", async () => {
    await createView();
    // The server has begun to write: whether the table has the rows is not known from its answer.
    expect(await write(["inserts", "views"])).toMatchObject({ committed: 0, unknown: 1 });
    expect(await landed("seen")).toEqual([]);
  });
});

describe("createTable", () => {
  const createTable = { orderBy: ["id"] };
  it("makes a table that remembers its inserts", async () => {
    expect(await write(["inserts", "create_table"], [1], { createTable, strict: true })).toEqual({
      committed: 1,
      unknown: 0,
      letters: [],
      warnings: [],
    });
    expect(await landed()).toEqual([1]);
  });

  it("needs its own, and the table it makes needs what inserts need", async () => {
    expect(await write(["inserts"], [1], { createTable })).toMatchObject(denied("CREATE TABLE"));
    expect(await write(["create_table"], [1], { createTable })).toMatchObject(
      denied("SHOW COLUMNS"),
    );
  });
});
