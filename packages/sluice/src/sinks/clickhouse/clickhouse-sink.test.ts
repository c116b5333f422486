import { describe, expect, it } from "vitest";
import type { RowBatch, RowColumn } from "../../shapes/row-binary/row-batch.ts";
import { manualClock } from "../../testing/manual-clock.ts";
import type { WriteContext } from "../sink.ts";
import { type InsertRowsOptions, insertRows } from "./clickhouse-sink.ts";
import { PINNED } from "./settings.ts";
import type { InsertRequest, ResultRow, Transport } from "./transport.ts";

const COLUMNS: readonly RowColumn[] = [
  { name: "id", type: "UInt8" },
  { name: "kind", type: "Enum8('a' = 1)" },
];

const answered = (code: number, type: string, message: string = type): Error =>
  Object.assign(new Error(message), { code: String(code), type });
const unreachable = (): Error => Object.assign(new Error("refused"), { code: "ECONNREFUSED" });

const WINDOWED: ResultRow = {
  engine: "MergeTree",
  engine_full: "MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100",
  defined_at: 1_800_000_000,
};

/** A server that answers by the first pattern that a statement matches. */
class FakeServer implements Transport {
  readonly statements: string[] = [];
  readonly inserts: InsertRequest[] = [];
  casts = false;
  columns: ResultRow[] | Error = [
    { name: "id", type: "UInt8", default_type: "" },
    { name: "kind", type: "LowCardinality(Enum8('a' = 1, 'b' = 2))", default_type: "" },
  ];
  table: ResultRow | undefined = WINDOWED;
  settings: readonly string[] = PINNED;
  fate: (n: number) => Error | Promise<never> | undefined = () => undefined;

  async query(sql: string): Promise<readonly ResultRow[]> {
    this.statements.push(sql);
    if (sql.startsWith("DESCRIBE")) {
      if (this.columns instanceof Error) throw this.columns;
      return this.columns;
    }
    if (sql.startsWith("SELECT version()")) return [{ version: "26.7.1" }];
    if (sql.includes("FROM system.settings")) return this.settings.map((name) => ({ name }));
    if (sql.includes("name = 'events'")) return this.table === undefined ? [] : [this.table];
    return [];
  }
  async command(sql: string): Promise<void> {
    this.statements.push(sql);
  }
  async insert(request: InsertRequest): Promise<void> {
    this.inserts.push(request);
    const fate = this.fate(this.inserts.length);
    if (fate !== undefined) throw await fate;
  }
}

const batch = (rows: number = 2): RowBatch => ({
  columns: COLUMNS,
  chunks: [{ bytes: Buffer.alloc(rows * 2, 1), ends: new Uint32Array(0), base: 0 }],
  rows,
  bytes: rows * 2,
});

const warnings: unknown[] = [];
const context = (
  id: Partial<WriteContext<RowBatch>["id"]> = {},
  over: Partial<WriteContext<RowBatch>> = {},
): WriteContext<RowBatch> => ({
  id: { writer: "w", seq: 1, ...id },
  attempt: 1,
  signal: new AbortController().signal,
  timeoutMs: 30_000,
  remainingMs: () => 30_000,
  get shape(): never {
    throw new Error("not used");
  },
  warn: (error) => warnings.push(error),
  ...over,
});

const sinkOf = (server: FakeServer, options: Partial<InsertRowsOptions> = {}) =>
  insertRows(server, { table: "events", ...options });

describe("an insert", () => {
  it("carries a header with the table's own types, and the rows in their buffers", async () => {
    const server = new FakeServer();
    const rows = batch();
    await sinkOf(server).write(rows, context());
    const [insert] = server.inserts;
    expect(insert).toMatchObject({
      into: "`events` (`id`, `kind`)",
      structure: "`id` UInt8, `kind` LowCardinality(Enum8('a' = 1, 'b' = 2))",
      format: "RowBinaryWithNamesAndTypes",
    });
    const type = "LowCardinality(Enum8('a' = 1, 'b' = 2))";
    const header = `\x02\x02id\x04kind\x05UInt8${String.fromCharCode(type.length)}${type}`;
    expect(String(insert?.body[0])).toBe(header);
    expect(insert?.body[1]).toBe(rows.chunks[0]?.bytes);
  });

  it.each([
    ["of their own, deduplicates in them too", [], 1],
    [
      "that they share, leaves them alone: they would lose rows",
      ["update_insert_deduplication_token_in_dependent_materialized_views"],
      0,
    ],
  ])("where views have tokens %s", async (_, without, expected) => {
    const server = new FakeServer();
    server.settings = PINNED.filter((name) => !without.includes(name));
    await sinkOf(server).write(batch(), context());
    const name = "deduplicate_blocks_in_dependent_materialized_views";
    expect(server.inserts[0]?.settings[name]).toBe(expected);
  });

  it("has the token of its batch or part, the same on every attempt", async () => {
    const server = new FakeServer();
    server.fate = (n) => (n === 1 ? new Error("lost") : undefined);
    const sink = sinkOf(server);
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    await sink.write(batch(), context());
    await sink.write(batch(), context({ part: "01" }));
    const tokens = server.inserts.map(({ settings }) => settings["insert_deduplication_token"]);
    expect(tokens).toEqual(["w:1", "w:1", "w:1:01"]);
  });

  it("is one block, ends before the attempt does, and keeps the user's other settings", async () => {
    const server = new FakeServer();
    const sink = sinkOf(server, { settings: { insert_quorum: 2 } });
    await sink.write(batch(3_000_000), context({}, { remainingMs: () => 10_500 }));
    await sink.write(batch(), context({ seq: 2 }, { remainingMs: () => 200 }));
    expect(server.inserts[0]?.settings).toMatchObject({
      insert_quorum: 2,
      async_insert: 0,
      insert_deduplicate: 1,
      max_insert_block_size: 3_000_000,
      min_insert_block_size_rows: 3_000_000,
      min_insert_block_size_bytes: 0,
      max_execution_time: 9,
    });
    expect(server.inserts[1]?.settings).toMatchObject({
      max_insert_block_size: 2 ** 20,
      max_execution_time: 1,
    });
  });

  it("states only what an old server knows, and looks at the table each time", async () => {
    const server = new FakeServer();
    server.settings = ["insert_deduplicate", "max_insert_block_size"];
    const sink = sinkOf(server);
    for (const seq of [1, 2, 3]) await sink.write(batch(), context({ seq }));
    expect(server.inserts[0]).toMatchObject({ format: "RowBinary" });
    expect(server.inserts[0]?.body).toHaveLength(1);
    expect(server.inserts[0]?.settings).toEqual({
      insert_deduplicate: 0,
      max_insert_block_size: 2 ** 20,
    });
    expect(server.statements.filter((sql) => sql.startsWith("DESCRIBE"))).toHaveLength(3);
  });

  it("through a transport that casts looks at the table each time", async () => {
    const server = new FakeServer();
    server.casts = true;
    const sink = sinkOf(server);
    await sink.write(batch(), context());
    server.columns = [{ name: "id", type: "UInt16", default_type: "" }];
    const wide = sink.write(batch(), context({ seq: 2 }));
    await expect(wide).rejects.toMatchObject({
      whole: true,
      cause: { code: "SLUICE_ERR_CLICKHOUSE_SCHEMA" },
    });
    expect(server.inserts).toHaveLength(1);
  });
});

describe("the look at the table", () => {
  it("is one for all lanes, and its failure holds up nothing that is sent later", async () => {
    const server = new FakeServer();
    const described = server.columns;
    server.columns = unreachable();
    const sink = sinkOf(server);
    const failed = { disposition: "retryable", ambiguous: false };
    const lanes = ["a", "b"].map((writer) => sink.write(batch(), context({ writer })));
    for (const lane of lanes) await expect(lane).rejects.toMatchObject(failed);
    expect(server.statements).toHaveLength(1);
    server.columns = described;
    await Promise.all(["a", "b", "c"].map((writer) => sink.write(batch(), context({ writer }))));
    expect(server.statements.filter((sql) => sql.startsWith("DESCRIBE"))).toHaveLength(2);
    expect(server.inserts).toHaveLength(3);
  });

  it("of a lane that gave up is not the others' failure", async () => {
    const server = new FakeServer();
    const controller = new AbortController();
    const query = server.query.bind(server);
    let asked = 0;
    server.query = async (sql) => {
      asked += 1;
      if (asked > 1) return query(sql);
      return new Promise((_, reject) =>
        controller.signal.addEventListener("abort", () => reject(new Error("gave up"))),
      );
    };
    const sink = sinkOf(server);
    const first = sink.write(batch(), context({ writer: "a" }, { signal: controller.signal }));
    const second = sink.write(batch(), context({ writer: "b" }));
    controller.abort();
    await expect(first).rejects.toMatchObject({ ambiguous: false });
    await expect(second).resolves.toEqual({ statements: 1 });
  });

  it("lists every difference", async () => {
    const server = new FakeServer();
    server.columns = [
      { name: "id", type: "Nullable(UInt8)", default_type: "" },
      { name: "kind", type: "Enum8('a' = 1)", default_type: "ALIAS" },
      { name: "must", type: "String", default_type: "" },
      { name: "may", type: "Nullable(String)", default_type: "" },
      { name: "has", type: "String", default_type: "DEFAULT" },
    ];
    const columns = [...COLUMNS, { name: "gone", type: "String" }];
    const error = await sinkOf(server)
      .ready({ columns })
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "SLUICE_ERR_CLICKHOUSE_SCHEMA" });
    const lines = String(error).split("\n  ");
    expect(lines[0]).toContain('table "events"');
    expect(lines.slice(1)).toEqual([
      'column "id": the rows write UInt8, and the table has Nullable(UInt8): nullable here only in the table',
      "column \"kind\": the rows write Enum8('a' = 1), and the table's Enum8('a' = 1) is ALIAS and cannot be written",
      'column "gone": the rows write String, and the table has no such column',
      'column "must": the table has it as String without a default, and the rows do not write it',
    ]);
  });

  it("may find columns that the rows do not write, if allowed", async () => {
    const server = new FakeServer();
    if (Array.isArray(server.columns))
      server.columns.push({ name: "more", type: "String", default_type: "" });
    await expect(sinkOf(server).ready({ columns: COLUMNS })).rejects.toThrow('"more"');
    await sinkOf(server, { allowExtraColumns: true }).ready({ columns: COLUMNS });
  });

  it("creates a missing table, or says what would", async () => {
    const server = new FakeServer();
    server.columns = answered(60, "UNKNOWN_TABLE");
    const missing = sinkOf(server).write(batch(), context());
    await expect(missing).rejects.toMatchObject({ disposition: "rejected", whole: true });
    await expect(missing).rejects.toThrow(/does not exist; createTable: true would create it/);
    server.command = async (sql) => {
      server.statements.push(sql);
      server.columns = COLUMNS.map((column) => ({ ...column, default_type: "" }));
    };
    await sinkOf(server, { createTable: { orderBy: ["id"], partitionBy: "id % 2" } }).write(
      batch(),
      context(),
    );
    expect(server.statements.find((sql) => sql.startsWith("CREATE"))).toBe(
      "CREATE TABLE IF NOT EXISTS `events` (`id` UInt8, `kind` Enum8('a' = 1)) ENGINE = MergeTree PARTITION BY id % 2 ORDER BY (`id`) SETTINGS non_replicated_deduplication_window = 10000",
    );
  });
});

describe("a table that was created and is not there yet", () => {
  it("is waited for: a replica may not have caught up", async () => {
    const server = new FakeServer();
    const described = server.columns;
    server.columns = answered(60, "UNKNOWN_TABLE");
    const sink = sinkOf(server, { createTable: true });
    const later = { disposition: "retryable", ambiguous: false };
    await expect(sink.write(batch(), context())).rejects.toMatchObject(later);
    await expect(sink.ready({ columns: COLUMNS })).rejects.toThrow(/"events" .* not there yet/);
    server.columns = described;
    await sink.write(batch(), context());
  });

  it.each([
    [201, "QUOTA_EXCEEDED", "retryable"],
    [236, "ABORTED", "retryable"],
    [253, "REPLICA_ALREADY_EXISTS", "retryable"],
    [394, "QUERY_WAS_CANCELLED", "retryable"],
    [452, "SETTING_CONSTRAINT_VIOLATION", "retryable"],
    [36, "BAD_ARGUMENTS", "rejected"],
  ])("because of %i %s is %s", async (code, type, disposition) => {
    const server = new FakeServer();
    server.columns = answered(60, "UNKNOWN_TABLE");
    server.command = () => Promise.reject(answered(code, type));
    const written = sinkOf(server, { createTable: true }).write(batch(), context());
    await expect(written).rejects.toMatchObject({ disposition });
  });
});

describe("a failed insert", () => {
  it.each([
    [
      answered(469, "VIOLATED_CONSTRAINT"),
      { disposition: "rejected", whole: false, ambiguous: false },
    ],
    [
      answered(252, "TOO_MANY_PARTS"),
      { disposition: "retryable", ambiguous: false, retryAfterMs: 5_000 },
    ],
    [answered(16, "NO_SUCH_COLUMN_IN_TABLE"), { disposition: "retryable", ambiguous: false }],
    [new Error("socket hang up"), { disposition: "retryable", ambiguous: true }],
  ])("%s is told as it is, with the table's name", async (cause, told) => {
    const server = new FakeServer();
    server.fate = () => cause;
    const written = sinkOf(server).write(batch(), context());
    await expect(written).rejects.toMatchObject({ ...told, cause });
    await expect(written).rejects.toThrow('table "events": ');
  });

  it("that was refused is explained by the table, if the table has changed", async () => {
    const server = new FakeServer();
    server.fate = () => {
      server.columns = [{ name: "id", type: "String", default_type: "" }];
      return answered(117, "INCORRECT_DATA", "Type of 'id' must be String, not UInt8");
    };
    const written = sinkOf(server).write(batch(), context());
    await expect(written).rejects.toMatchObject({
      disposition: "rejected",
      whole: true,
      cause: { code: "SLUICE_ERR_CLICKHOUSE_SCHEMA" },
    });
  });

  it("that was refused is tried again while the table cannot be looked at", async () => {
    const server = new FakeServer();
    server.fate = () => {
      server.columns = unreachable();
      return answered(469, "VIOLATED_CONSTRAINT");
    };
    const told = { disposition: "retryable", ambiguous: false };
    await expect(sinkOf(server).write(batch(), context())).rejects.toMatchObject(told);
  });

  it("for want of memory is not halved once the batch may have been applied", async () => {
    const server = new FakeServer();
    const short = answered(241, "MEMORY_LIMIT_EXCEEDED", "Query memory limit exceeded");
    server.fate = (n) => (n === 2 ? new Error("lost") : short);
    const sink = sinkOf(server);
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ disposition: "rejected" });
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    const third = { disposition: "retryable", ambiguous: false };
    await expect(sink.write(batch(), context())).rejects.toMatchObject(third);
  });

  it("is not sent again, under strict, to a table that was made anew without a window", async () => {
    const server = new FakeServer();
    server.fate = () => new Error("lost");
    const sink = sinkOf(server, { strict: true });
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    server.table = { engine: "MergeTree", engine_full: "MergeTree ORDER BY id" };
    const again = sink.write(batch(), context());
    await expect(again).rejects.toMatchObject({ disposition: "unknown" });
    expect(server.inserts).toHaveLength(1);
  });

  describe("for a setting that the server does not know", () => {
    const unknown = (name: string): Error =>
      answered(115, "UNKNOWN_SETTING", `Unknown setting '${name}'`);
    const later = { disposition: "retryable", ambiguous: false };

    it("is refused whole, at once, if it is the user's", async () => {
      const server = new FakeServer();
      server.fate = () => unknown("insert_quorums");
      const written = sinkOf(server, { settings: { insert_quorums: 2 } });
      const whole = { disposition: "rejected", whole: true };
      await expect(written.write(batch(), context())).rejects.toMatchObject(whole);
    });

    it("lands without it, if the server has gone back to an older version", async () => {
      const server = new FakeServer();
      const gone = "deduplicate_insert";
      server.fate = (n) => {
        server.settings = PINNED.filter((name) => name !== gone);
        return n === 1 ? unknown(gone) : undefined;
      };
      const sink = sinkOf(server, { settings: { insert_quorum: 2 } });
      await expect(sink.write(batch(), context())).rejects.toMatchObject(later);
      await sink.write(batch(), context());
      expect(server.inserts.map(({ settings }) => gone in settings)).toEqual([true, false]);
    });

    it("is tried again, if another server answers than the one that was asked", async () => {
      const server = new FakeServer();
      server.fate = () => unknown("deduplicate_insert");
      const sink = sinkOf(server, { settings: { insert_quorum: 2 } });
      await expect(sink.write(batch(), context())).rejects.toMatchObject(later);
    });
  });

  describe("by a table that hands its rows on", () => {
    it.each([
      ["Distributed", answered(469, "VIOLATED_CONSTRAINT"), { disposition: "unknown" }],
      ["MaterializedView", answered(6, "CANNOT_PARSE_TEXT"), { disposition: "unknown" }],
      ["Alias", answered(6, "CANNOT_PARSE_TEXT"), { disposition: "unknown" }],
      ["Distributed", answered(252, "TOO_MANY_PARTS"), { ambiguous: true }],
      ["Distributed", answered(516, "AUTHENTICATION_FAILED"), { ambiguous: false }],
      [
        "Distributed",
        Object.assign(new Error("too large"), { status: 413 }),
        { disposition: "rejected" },
      ],
      ["Memory", answered(6, "CANNOT_PARSE_TEXT"), { disposition: "rejected", ambiguous: false }],
    ])("%s: some may be there when %s is told", async (engine, error, told) => {
      const server = new FakeServer();
      server.table = { engine, engine_full: engine };
      server.fate = () => error;
      const written = sinkOf(server).write(batch(), context());
      await expect(written).rejects.toMatchObject(told);
    });
  });

  describe("that was refused, after one whose answer was lost", () => {
    const poisoned = (definition: (sql: number) => string): FakeServer => {
      const server = new FakeServer();
      let looks = 0;
      Object.defineProperty(server, "table", {
        get: () => ({ ...WINDOWED, create_table_query: definition(++looks) }),
        configurable: true,
      });
      server.fate = (n) => (n === 1 ? new Error("lost") : answered(469, "VIOLATED_CONSTRAINT"));
      return server;
    };

    it("is halved if the table is what it was: the first was refused as well", async () => {
      // None of these is a function that the time or another table goes into.
      const definition =
        "CREATE TABLE events (now DateTime, at DateTime64(3) DEFAULT now64(3) COMMENT 'in UTC; SELECT it', CONSTRAINT c CHECK notEmpty(kind) AND (id IN (1, 2))) ENGINE = VersionedCollapsingMergeTree(a, b)";
      const sink = sinkOf(poisoned(() => definition));
      await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
      const second = { disposition: "rejected", ambiguous: false };
      await expect(sink.write(batch(), context())).rejects.toMatchObject(second);
    });

    it("is halved if the table is replicated, whose replicas tell of their own files", async () => {
      const server = poisoned(() => "CREATE TABLE events");
      let looks = 0;
      const engine = "ReplicatedMergeTree";
      const engine_full = `${engine} ORDER BY id SETTINGS replicated_deduplication_window = 100, replicated_deduplication_window_seconds = 3600`;
      Object.defineProperty(server, "table", {
        get: () => ({
          engine,
          engine_full,
          create_table_query: "CREATE TABLE events",
          defined_at: ++looks,
        }),
      });
      const sink = sinkOf(server);
      await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
      const second = { disposition: "rejected", ambiguous: false };
      await expect(sink.write(batch(), context())).rejects.toMatchObject(second);
    });

    it.each([
      ["has changed", (look: number) => `CREATE TABLE events ${look}`],
      ["does not show", () => ""],
      ["goes by the time", () => "CREATE TABLE events (CONSTRAINT c CHECK at > now64(3))"],
      ["goes by a dictionary", () => "CREATE TABLE events (CONSTRAINT c CHECK dictHas('d', id))"],
      ["goes by another table", () => "CREATE TABLE events (CONSTRAINT c CHECK id IN (d.ids))"],
      ["goes by a query", () => "CREATE TABLE events (CONSTRAINT c CHECK id < (SELECT 1))"],
    ])("is not halved if the table %s: the first may have landed", async (_, definition) => {
      const sink = sinkOf(poisoned(definition));
      await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
      const second = { disposition: "retryable" };
      await expect(sink.write(batch(), context())).rejects.toMatchObject(second);
    });

    it.each([
      ["was changed, and changed back", (look: number) => look],
      ["does not tell since when", () => 0],
    ])("is not halved if the table %s: the first may have landed", async (_, definedAt) => {
      const server = poisoned(() => "CREATE TABLE events");
      let looks = 0;
      Object.defineProperty(server, "table", {
        get: () => ({
          ...WINDOWED,
          create_table_query: "CREATE TABLE events",
          defined_at: definedAt(++looks),
        }),
      });
      const sink = sinkOf(server);
      await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
      const second = { disposition: "retryable" };
      await expect(sink.write(batch(), context())).rejects.toMatchObject(second);
    });
  });

  describe("in a table of several partitions", () => {
    const partitioned = (error: Error, without: readonly string[] = []): FakeServer => {
      const server = new FakeServer();
      server.table = { ...WINDOWED, partition_key: "toYYYYMM(at)" };
      server.settings = PINNED.filter((name) => !without.includes(name));
      server.fate = () => error;
      return server;
    };
    const unsorted = answered(6, "CANNOT_PARSE_TEXT");
    const DELAYED = "max_insert_delayed_streams_for_parallel_write";
    const TOKEN = "insert_deduplication_token";

    it.each([
      ["is halved where the server commits all or none", unsorted, [], { disposition: "rejected" }],
      [
        "is sent whole again where some may have their rows",
        unsorted,
        [DELAYED],
        { disposition: "retryable", ambiguous: true },
      ],
      [
        "is given up as unknown where that would write those again",
        unsorted,
        [DELAYED, TOKEN],
        { disposition: "unknown" },
      ],
      [
        "is halved anywhere for what is checked before",
        answered(469, "VIOLATED_CONSTRAINT"),
        [DELAYED, TOKEN],
        { disposition: "rejected" },
      ],
    ])("%s", async (_, error, without, expected) => {
      const written = sinkOf(partitioned(error, without)).write(batch(), context());
      await expect(written).rejects.toMatchObject(expected);
    });
  });

  it.each([
    ["cannot be looked at", unreachable()],
    ["has changed", [{ name: "id", type: "String", default_type: "" }]],
  ])("in part is not called refused because the table %s", async (_, columns) => {
    const server = new FakeServer();
    server.table = { ...WINDOWED, partition_key: "id" };
    server.settings = PINNED.filter(
      (name) => !/^(max_insert_delayed|insert_dedup.*_token)/.test(name),
    );
    server.fate = () => {
      server.columns = columns;
      return answered(6, "CANNOT_PARSE_TEXT");
    };
    const written = sinkOf(server).write(batch(), context());
    await expect(written).rejects.toMatchObject({ disposition: "unknown" });
  });

  it.each([
    ["again under its token", [], "retryable"],
    [
      "not again without one: the table has the rows already",
      ["insert_deduplication_token"],
      "unknown",
    ],
  ])("by a view that cannot take a row is sent %s", async (_, without, disposition) => {
    const server = new FakeServer();
    server.settings = PINNED.filter((name) => !without.includes(name));
    server.fate = () => answered(6, "CANNOT_PARSE_TEXT", "Cannot parse: while pushing to view v");
    const written = sinkOf(server).write(batch(), context());
    await expect(written).rejects.toMatchObject({ disposition });
  });

  it("may be judged by the user", async () => {
    const server = new FakeServer();
    server.fate = () => new Error("poison");
    const classify = () => ({ outcome: "rejected", ambiguous: false, schema: false }) as const;
    const written = sinkOf(server, { classify }).write(batch(), context());
    await expect(written).rejects.toMatchObject({ disposition: "rejected" });
  });
});

describe("a batch that may have been applied", () => {
  const tooOld = {
    disposition: "unknown",
    cause: { code: "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION" },
  };

  it("is not sent again once the server may have forgotten it", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    server.fate = () => new Error("lost");
    const sink = sinkOf(server, { clock });
    const lost = { disposition: "retryable", ambiguous: true };
    await expect(sink.write(batch(), context())).rejects.toMatchObject(lost);
    await clock.advance(30 * 60_000);
    await expect(sink.write(batch(), context())).rejects.toMatchObject(lost);
    await clock.advance(1);
    await expect(sink.write(batch(), context())).rejects.toMatchObject(tooOld);
    expect(server.inserts).toHaveLength(2);
    server.fate = () => undefined;
    await sink.write(batch(), context({ seq: 2 })); // the next batch of the writer starts afresh
  });

  it("ages also while the machine sleeps, and its steady clock with it", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    let sleptMs = 0;
    const epochMs = () => clock.epochMs() + sleptMs;
    server.fate = () => new Error("lost");
    const sink = sinkOf(server, { clock: { ...clock, epochMs } });
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    sleptMs = 31 * 60_000;
    await expect(sink.write(batch(), context())).rejects.toMatchObject(tooOld);
  });

  it.each([
    ["MergeTree", "non_replicated_deduplication_window", tooOld],
    // Its replicas may each have a UUID of their own, and remember together.
    ["ReplicatedMergeTree", "replicated_deduplication_window", { disposition: "retryable" }],
  ])("is sent again to another %s of the same name only as a replica", async (...of) => {
    const [engine, window, told] = of;
    const server = new FakeServer();
    const table = { engine, engine_full: `${engine} ORDER BY id SETTINGS ${window} = 100` };
    server.table = { ...table, uuid: "1" };
    server.fate = () => new Error("lost");
    const sink = sinkOf(server);
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    server.table = { ...table, uuid: "2" };
    await expect(sink.write(batch(), context())).rejects.toMatchObject(told);
  });

  it("is not sent again after half a window of other inserts", async () => {
    const server = new FakeServer();
    server.fate = (n) => (n === 1 ? new Error("lost") : undefined);
    const sink = sinkOf(server);
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    for (let seq = 1; seq <= 50; seq += 1) await sink.write(batch(), context({ writer: "v", seq }));
    await expect(sink.write(batch(), context())).rejects.toMatchObject(tooOld);
  });

  it("ages from its first attempt, though that attempt never ends", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    server.fate = (n) => (n === 1 ? new Promise<never>(() => undefined) : unreachable());
    const sink = sinkOf(server, { clock });
    void sink.write(batch(), context());
    await clock.advance(20 * 60_000);
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: false });
    await clock.advance(20 * 60_000);
    await expect(sink.write(batch(), context())).rejects.toMatchObject(tooOld);
  });

  it("does not age while it certainly was not", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    server.fate = (n) => (n < 3 ? unreachable() : undefined);
    const sink = sinkOf(server, { clock });
    for (const _ of [1, 2]) {
      await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: false });
      await clock.advance(60 * 60_000);
    }
    await sink.write(batch(), context());
  });
});

describe("without deduplication", () => {
  const plain = { engine: "MergeTree", engine_full: "MergeTree ORDER BY id" };

  it("a sink warns once, with the reason and the remedy", async () => {
    const server = new FakeServer();
    server.table = plain;
    warnings.length = 0;
    const sink = sinkOf(server);
    for (const seq of [1, 2]) await sink.write(batch(), context({ seq }));
    expect(warnings).toHaveLength(1);
    expect(String(warnings[0])).toMatch(/"events".*window = 0; remedy: ALTER TABLE/);
    expect(server.inserts[0]?.settings).toMatchObject({ insert_deduplicate: 0 });
    expect(server.inserts[0]?.settings).not.toHaveProperty("insert_deduplication_token");
  });

  it("a strict sink does not write, and says so early", async () => {
    const server = new FakeServer();
    server.table = plain;
    const sink = sinkOf(server, { strict: true });
    const code = "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION";
    await expect(sink.ready()).rejects.toMatchObject({ code });
    await expect(sink.write(batch(), context())).rejects.toMatchObject({
      whole: true,
      cause: { code },
    });
    expect(server.inserts).toHaveLength(0);
  });
});

describe("insertRows", () => {
  it("takes the rows shape only", () => {
    const sink = sinkOf(new FakeServer());
    sink.check?.(batch(0));
    const list = [] as never;
    expect(() => sink.check?.(list)).toThrow(/needs the rows shape/);
  });

  it.each([
    [{ table: "" }, "SLUICE_ERR_CLICKHOUSE_IDENTIFIER", /received ""/],
    [{ tables: "t" }, "SLUICE_ERR_OPTION_UNKNOWN", /"insertRows: tables"/],
    [{ strict: "yes" }, "SLUICE_ERR_CLICKHOUSE_OPTION", /strict .*"yes"/],
    [{ classify: 1 }, "SLUICE_ERR_CLICKHOUSE_OPTION", /classify/],
    [
      { settings: { async_insert: 1 } },
      "SLUICE_ERR_CLICKHOUSE_OPTION",
      /async_insert: the sink pins/,
    ],
    [{ settings: { "a=1,b": 1 } }, "SLUICE_ERR_CLICKHOUSE_OPTION", /"a=1,b"/],
    [{ settings: { a: Number.NaN } }, "SLUICE_ERR_CLICKHOUSE_OPTION", /NaN/],
    [{ createTable: "yes" }, "SLUICE_ERR_CLICKHOUSE_OPTION", /"yes"/],
    [{ createTable: { order: [] } }, "SLUICE_ERR_CLICKHOUSE_OPTION", /"order"/],
    [{ createTable: { orderBy: "id" } }, "SLUICE_ERR_CLICKHOUSE_OPTION", /a list of columns/],
    [{ createTable: { engine: "" } }, "SLUICE_ERR_CLICKHOUSE_OPTION", /engine must be SQL/],
  ])("refuses %j", (wrong, code, message) => {
    const options = { table: "events", ...wrong } as InsertRowsOptions;
    expect(() => insertRows(new FakeServer(), options)).toThrow(message);
    expect(() => insertRows(new FakeServer(), options)).toThrow(expect.objectContaining({ code }));
  });

  it.each([[undefined], [null], [{}], ["http://localhost:8123"]])(
    "knows no transport in %j",
    (given) => {
      expect(() => insertRows(given as never, { table: "t" })).toThrow(
        expect.objectContaining({ code: "SLUICE_ERR_CLICKHOUSE_TRANSPORT" }),
      );
    },
  );
});

describe("a look at the table that takes too long", () => {
  it("ends before the attempt: nothing was sent, and that is known", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    server.query = () => new Promise(() => undefined);
    const written = sinkOf(server, { clock }).write(batch(), context());
    written.catch(() => undefined);
    await clock.advance(24_000);
    await expect(written).rejects.toMatchObject({
      disposition: "retryable",
      ambiguous: false,
      message: expect.stringContaining("no answer within 24000 ms"),
    });
    expect(server.inserts).toEqual([]);
  });

  it.each([
    ["ends when it is given up", true],
    ["never ends", false],
  ])("and %s holds up no later attempt, of whichever lane", async (_, heeds) => {
    const server = new FakeServer();
    const clock = manualClock();
    let hangs = 0;
    const transport: Transport = {
      command: (sql) => server.command(sql),
      insert: (request) => server.insert(request),
      query: (sql, { signal }) => {
        if (hangs > 0) return server.query(sql);
        hangs += 1;
        return new Promise((_resolve, reject) => {
          if (heeds) signal.addEventListener("abort", () => reject(signal.reason));
        });
      },
    };
    const sink = insertRows(transport, { table: "events", clock });
    const late = sink.write(batch(), context());
    late.catch(() => undefined);
    await clock.advance(24_000);
    await expect(late).rejects.toMatchObject({ ambiguous: false });
    await sink.write(batch(), context({ writer: "another" }));
    expect(server.inserts).toHaveLength(1);
  });
});

describe("an attempt that fails long after the next began", () => {
  it("does not make one forget that the batch may have landed", async () => {
    const server = new FakeServer();
    const clock = manualClock();
    let fail: (error: Error) => void = () => undefined;
    server.fate = (n) => {
      if (n === 1) return new Promise<never>((_, reject) => (fail = reject));
      return new Error("lost");
    };
    const sink = sinkOf(server, { clock });
    const first = sink.write(batch(), context()).catch((error: unknown) => error);
    await clock.settle();
    await expect(sink.write(batch(), context())).rejects.toMatchObject({ ambiguous: true });
    fail(unreachable());
    await first;
    await clock.advance(31 * 60_000);
    const third = { disposition: "unknown" };
    await expect(sink.write(batch(), context())).rejects.toMatchObject(third);
    expect(server.inserts).toHaveLength(2);
  });
});
