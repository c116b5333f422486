import { describe, expect, it } from "vitest";
import { tableName } from "./identifiers.ts";
import { PINNED } from "./settings.ts";
import { type Guarantee, probeTable } from "./table-probe.ts";
import type { ResultRow, Transport } from "./transport.ts";

const refused = (code: number): Error =>
  Object.assign(new Error("refused"), { code: String(code) });

interface Server {
  readonly settings?: readonly string[];
  /** Rows of system.tables, by name. */
  readonly tables: Readonly<Record<string, ResultRow>>;
  readonly defaults?: Readonly<Record<string, string>> | Error;
  readonly hasTargets?: boolean;
}

const probe = async ({
  settings = PINNED,
  tables,
  defaults,
  hasTargets = true,
}: Server): Promise<Guarantee> => {
  const transport: Transport = {
    query: async (sql) => {
      if (sql.startsWith("SELECT version()")) return [{ version: "25.8" }];
      const name = /name = '([^']*)'/.exec(sql)?.[1] ?? "";
      if (sql.includes("FROM system.settings"))
        return settings.map((setting) => ({ name: setting }));
      if (sql.includes("merge_tree_settings")) {
        if (defaults instanceof Error) throw defaults;
        const value = defaults?.[name];
        return value === undefined ? [] : [{ value }];
      }
      if (sql.includes("target_table") && !hasTargets) throw refused(47);
      const row = tables[name];
      return row === undefined ? [] : [row];
    },
    command: () => Promise.reject(new Error("not used")),
    insert: () => Promise.reject(new Error("not used")),
  };
  return probeTable(transport, tableName("table", "t"), { signal: new AbortController().signal });
};

const plain = (window?: number): ResultRow => ({
  engine: "MergeTree",
  engine_full: `MergeTree ORDER BY id${window === undefined ? "" : ` SETTINGS non_replicated_deduplication_window = ${window}, index_granularity = 8192`}`,
});

describe("the guarantee of a table", () => {
  it.each<[string, Server, Partial<Guarantee>]>([
    ["MergeTree without a window", { tables: { t: plain() } }, { deduplication: "none" }],
    [
      "MergeTree with a window",
      { tables: { t: plain(50) } },
      { deduplication: "token", windowBlocks: 50, windowMs: Infinity, maxRetryAgeMs: 1_800_000 },
    ],
    [
      "MergeTree on a server with a window",
      { tables: { t: plain() }, defaults: { non_replicated_deduplication_window: "7" } },
      { deduplication: "token", windowBlocks: 7 },
    ],
    [
      "a replicated table, by the server's defaults",
      {
        tables: {
          t: {
            engine: "ReplicatedMergeTree",
            engine_full: "ReplicatedMergeTree('/a', 'b') ORDER BY id",
          },
        },
        defaults: {
          replicated_deduplication_window: "10000",
          replicated_deduplication_window_seconds: "600",
        },
      },
      { deduplication: "token", windowBlocks: 10_000, windowMs: 600_000, maxRetryAgeMs: 300_000 },
    ],
    [
      "a replicated table whose server does not tell: the least of any version",
      {
        tables: { t: { engine: "SharedMergeTree", engine_full: "SharedMergeTree ORDER BY id" } },
        defaults: refused(497),
      },
      {
        deduplication: "token",
        windowBlocks: 100,
        windowMs: 3_600_000,
        reason:
          "SharedMergeTree with replicated_deduplication_window = 100 and replicated_deduplication_window_seconds = 3600 assumed: system.replicated_merge_tree_settings cannot be read",
      },
    ],
    [
      "a replicated table that remembers nothing",
      {
        tables: {
          t: {
            engine: "ReplicatedMergeTree",
            engine_full:
              "ReplicatedMergeTree ORDER BY id SETTINGS replicated_deduplication_window = 0",
          },
        },
      },
      { deduplication: "none" },
    ],
    [
      "another engine",
      { tables: { t: { engine: "Distributed", engine_full: "Distributed(c, d, t)" } } },
      { deduplication: "none", reason: "the engine Distributed does not deduplicate inserts" },
    ],
    [
      "a table that is not shown",
      { tables: {} },
      { deduplication: "none", engine: undefined, atomic: false },
    ],
    [
      "an engine that nobody has heard of",
      { tables: { t: { engine: "Alias", engine_full: "Alias('d', 'other')" } } },
      { atomic: false },
    ],
    ["a table in memory", { tables: { t: { engine: "Memory" } } }, { atomic: true }],
    ["a family of MergeTree", { tables: { t: plain() } }, { atomic: true }],
    [
      "a server without tokens",
      { tables: { t: plain(50) }, settings: ["insert_deduplicate"] },
      { deduplication: "none", format: "RowBinary" },
    ],
  ])("%s", async (_, server, expected) => {
    expect(await probe(server)).toMatchObject({ openViews: [], ...expected });
  });

  it("is not guessed when the way to the server fails", async () => {
    const server = { tables: { t: plain() }, defaults: new Error("socket hang up") };
    await expect(probe(server)).rejects.toThrow("socket hang up");
  });
});

describe("views that a table feeds", () => {
  const fed = (row: ResultRow, ...views: readonly string[]): ResultRow => ({
    ...row,
    dependencies_database: views.map(() => "d"),
    dependencies_table: views,
  });
  const view = (query: string, target?: string): ResultRow => ({
    engine: "MaterializedView",
    create_table_query: `CREATE MATERIALIZED VIEW ${query}`,
    uuid: "u-1",
    ...(target === undefined ? {} : { target_database: "d", target_table: target }),
  });
  const tables = {
    t: fed(plain(50), "v", "w", "list"),
    v: view("d.v TO d.kept (a UInt8) AS SELECT 1", "kept"),
    w: view("d.w TO d.through AS SELECT 1", "through"),
    list: { engine: "View" },
    kept: plain(9),
    through: fed({ engine: "Null", engine_full: "Null" }, "x", "v"),
    x: view("d.x (a UInt8) ENGINE = Log AS SELECT 1", ".inner_id.u-1"),
    ".inner_id.u-1": { engine: "Log", engine_full: "Log" },
  };

  it("are followed to the tables that would count a batch twice", async () => {
    expect(await probe({ tables })).toMatchObject({ openViews: ["d..inner_id.u-1"] });
  });

  it("are found on servers that do not name their targets", async () => {
    expect(await probe({ tables, hasTargets: false })).toMatchObject({
      openViews: ["d..inner_id.u-1"],
    });
  });

  const replicated = (blocks: number, seconds: number): ResultRow => ({
    engine: "ReplicatedMergeTree",
    engine_full: `ReplicatedMergeTree ORDER BY id SETTINGS replicated_deduplication_window = ${blocks}, replicated_deduplication_window_seconds = ${seconds}`,
  });

  it("shorten the window to the least of any table behind them", async () => {
    const behind = {
      t: fed(plain(50), "v", "w", "list"),
      v: view("d.v TO d.kept AS SELECT 1", "kept"),
      w: view("d.w TO d.brief AS SELECT 1", "brief"),
      list: { engine: "View" },
      kept: fed(plain(90), "x"),
      brief: replicated(1_000, 60),
      x: view("d.x TO d.small AS SELECT 1", "small"),
      small: plain(9),
    };
    expect(await probe({ tables: behind })).toMatchObject({
      openViews: [],
      windowBlocks: 9,
      windowMs: 60_000,
      maxRetryAgeMs: 30_000,
    });
  });

  it("count as open where they keep no tokens, or are too many to follow", async () => {
    const names = Array.from({ length: 102 }, (_, index) => `v${100 + index}`);
    const many = Object.fromEntries(
      names.map((name) => [name, view(`d.${name} TO d.kept AS SELECT 1`, "kept")]),
    );
    const all = { ...many, t: fed(plain(50), ...names), kept: plain(9) };
    expect((await probe({ tables: all })).openViews).toEqual(["d.v200", "d.v201"]);
    for (const engine of ["WindowView", "LiveView"]) {
      const one = { t: fed(plain(50), "v"), v: { ...view("d.v AS SELECT 1"), engine } };
      expect((await probe({ tables: one })).openViews).toEqual(["d.v"]);
    }
  });

  it("may have inner tables that only UUIDs name", async () => {
    const inner = view("d.v UUID 'u' TO INNER UUID 'w' (a UInt8) ENGINE = MergeTree AS SELECT 1");
    const all = {
      t: fed(plain(50), "v"),
      v: inner,
      ".inner_id.u-1": plain(9),
      INNER: { engine: "Log" },
    };
    expect(await probe({ tables: all, hasTargets: false })).toMatchObject({
      openViews: [],
      windowBlocks: 9,
    });
  });

  it("count as open where their target is not to be found, and end where they began", async () => {
    const hidden = view("`d`.`v` UUID 'u' TO `e`.`hid\\`den` AS SELECT 1");
    const round = {
      t: fed(plain(50), "v", "r"),
      v: hidden,
      r: view("d.r TO d.t AS SELECT 1", "t"),
    };
    const { openViews } = await probe({ tables: round, hasTargets: false });
    expect(openViews).toEqual(["e.hid`den"]);
  });
});
