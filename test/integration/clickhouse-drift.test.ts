/** A table that is not, or no longer, what the rows were made for: equal values or an error. */
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "sluice";
import {
  Array as ArrayOf,
  type Columns,
  createRowBatcher,
  DateTime,
  DateTime64,
  Decimal,
  type DecodedRow,
  Enum8,
  Float64,
  Int32,
  Int64,
  IPv4,
  LowCardinality,
  Nullable,
  type RowBatcherOptions,
  String as Text,
  type TransportLike,
  Tuple,
  UInt8,
  UInt16,
  UInt32,
  UUID,
} from "sluice/clickhouse";
import { manualClock, seededRandom } from "sluice/testing";
import { type ClickHouseRow, describeServer, openChdb, rowsOf } from "./chdb.ts";
import { openClickHouseFace } from "./clickhouse-face.ts";
import { connect, connectWriter } from "./clickhouse-faults.ts";

const chdb = openChdb();
const WINDOW = "SETTINGS non_replicated_deduplication_window = 1000";

const open = <const C extends Columns>(
  client: TransportLike,
  table: string,
  columns: C,
  options: Partial<RowBatcherOptions<C>> = {},
) => {
  const letters: DecodedRow<C>[] = [];
  const events: SluiceEvent[] = [];
  const batcher = createRowBatcher(client, {
    table,
    columns,
    maxDelayMs: 1,
    retry: { baseDelayMs: 1, maxDelayMs: 5, circuitAfter: 100_000 },
    deadLetter: ({ entry }) => letters.push(entry),
    observe: (event) => events.push(event),
    ...options,
  });
  return { batcher, letters, events };
};

/** What a promise is rejected with. */
const failure = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    return `resolved with ${JSON.stringify(await promise)}`;
  } catch (error) {
    return error;
  }
};

describe("a table that does not fit", () => {
  const COLUMNS = {
    id: UInt32,
    wide: UInt32,
    loose: Nullable(Int32),
    tight: Int32,
    made: UInt8,
    other: UInt8,
    kind: Enum8({ a: 1, b: 2 }),
    gone: Text,
  };
  const ROW = {
    id: 1,
    wide: 2,
    loose: null,
    tight: 3,
    made: 4,
    other: 5,
    kind: "a",
    gone: "",
  } as const;
  const DIFFERENCES = [
    'column "wide": the rows write UInt32, and the table has UInt64',
    'column "loose": the rows write Nullable(Int32), and the table has Int32: nullable only in the rows',
    'column "tight": the rows write Int32, and the table has Nullable(Int32): nullable here only in the table',
    `column "made": the rows write UInt8, and the table's UInt8 is MATERIALIZED and cannot be written`,
    `column "other": the rows write UInt8, and the table's UInt8 is ALIAS and cannot be written`,
    `column "kind": the rows write Enum8('a' = 1, 'b' = 2), and the table has Enum8('a' = 1)`,
    'column "gone": the rows write String, and the table has no such column',
    'column "extra": the table has it as String without a default, and the rows do not write it',
  ];

  it("is refused with every difference, to every caller, and nothing is sent or lost", async () => {
    await chdb.query(
      `CREATE TABLE unlike (id UInt32, wide UInt64, loose Int32, tight Nullable(Int32), made UInt8 MATERIALIZED 1, other UInt8 ALIAS id, kind Enum8('a' = 1), extra String, usual String DEFAULT 'x') ENGINE = MergeTree ORDER BY id ${WINDOW}`,
    );
    const face = await openClickHouseFace(chdb);
    const { batcher, letters } = open(connectWriter(face), "unlike", COLUMNS, {
      maxDelayMs: 3_600_000,
    });
    const mismatch = {
      code: "SLUICE_ERR_CLICKHOUSE_SCHEMA",
      message: [
        'table "unlike" is not one that these rows can be written to:',
        ...DIFFERENCES,
      ].join("\n  "),
    };
    const callers = [1, 2].map((id) => failure(batcher.deliver({ ...ROW, id })));
    await batcher.insert({ ...ROW, id: 3 });
    const flushed = failure(batcher.flush());
    for (const one of callers) {
      expect(await one).toMatchObject({ code: "SLUICE_ERR_DELIVERY_REJECTED", cause: mismatch });
    }
    expect(await flushed).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { items: 3, deadLettered: 3, unknown: 0 },
      cause: { cause: mismatch },
    });
    expect(await failure(batcher.ready())).toMatchObject(mismatch);
    expect(letters).toEqual([1, 2, 3].map((id) => ({ ...ROW, id })));
    expect(face.requests.filter(({ query }) => query.startsWith("INSERT"))).toEqual([]);

    await chdb.query("DROP TABLE unlike");
    await chdb.query(
      `CREATE TABLE unlike (id UInt32, wide UInt32, loose Nullable(Int32), tight Int32, made UInt8, other UInt8, kind Enum8('a' = 1, 'b' = 2), gone String) ENGINE = MergeTree ORDER BY id ${WINDOW}`,
    );
    await batcher.insert({ ...ROW, id: 4 });
    await batcher.close();
    await face.close();
    expect(await chdb.query("SELECT id FROM unlike")).toEqual([{ id: 4 }]);
  });

  it("may have columns that the rows leave out, where that is allowed", async () => {
    await chdb.query(
      `CREATE TABLE extra (id UInt32, more String) ENGINE = MergeTree ORDER BY id ${WINDOW}`,
    );
    const { batcher } = open(chdb.session, "extra", { id: UInt32 }, { allowExtraColumns: true });
    await batcher.deliver({ id: 1 });
    await batcher.close();
    expect(await chdb.query("SELECT * FROM extra")).toEqual([{ id: 1, more: "" }]);
  });
});

describe("a table that is not there", () => {
  it.each(["client", "chdb"])("hands its rows back, and takes them once it is (%s)", async (by) => {
    const face = await openClickHouseFace(chdb);
    const client = by === "client" ? connectWriter(face) : chdb.session;
    const table = `late_${by}`;
    const { batcher, letters } = open(client, table, { id: UInt32 });
    const refused = failure(batcher.deliver({ id: 1 }));
    expect(await refused).toMatchObject({
      cause: {
        code: "SLUICE_ERR_CLICKHOUSE_SCHEMA",
        message: expect.stringMatching(
          new RegExp(`^table "${table}" .*\n  the table does not exist; createTable: true would`),
        ),
      },
    });
    expect(letters).toEqual([{ id: 1 }]);
    await chdb.query(`CREATE TABLE ${table} (id UInt32) ENGINE = MergeTree ORDER BY id ${WINDOW}`);
    for (const letter of letters) await batcher.insert(letter);
    await batcher.insert({ id: 2 });
    expect(await batcher.flush()).toMatchObject({ committed: 2 });
    // It is there no more, and there again: nothing is remembered that is no longer true.
    await chdb.query(`DROP TABLE ${table}`);
    expect(await failure(batcher.deliver({ id: 3 }))).toMatchObject({
      cause: { code: "SLUICE_ERR_CLICKHOUSE_SCHEMA" },
    });
    await chdb.query(`CREATE TABLE ${table} (id UInt32) ENGINE = MergeTree ORDER BY id ${WINDOW}`);
    await batcher.deliver({ id: 4 });
    await batcher.close();
    await face.close();
    expect(await chdb.query(`SELECT id FROM ${table}`)).toEqual([{ id: 4 }]);
  });
});

describe("a look at the table that fails on the way", () => {
  it("is tried again from every statement on, and loses nothing", async () => {
    await chdb.query(`CREATE TABLE shy (id UInt32) ENGINE = MergeTree ORDER BY id ${WINDOW}`);
    const face = await openClickHouseFace(chdb);
    const seen = new Map<string, number>();
    const harms = [
      "drop-before",
      "drop-after",
      { status: 502, message: "<html>Bad Gateway</html>" },
      { status: 500, code: 745, message: "CPU is overloaded (SERVER_OVERLOADED)" },
    ] as const;
    face.fault = ({ query }) => {
      if (query.startsWith("INSERT")) return undefined;
      const times = seen.get(query) ?? 0;
      seen.set(query, times + 1);
      return harms[times];
    };
    const { batcher, events, letters } = open(
      connectWriter(face),
      "shy",
      { id: UInt32 },
      { random: () => 0, maxDelayMs: 3_600_000 },
    );
    const delivered = batcher.deliver({ id: 1 });
    await batcher.insertMany([{ id: 2 }, { id: 3 }]);
    expect(await batcher.flush()).toMatchObject({ committed: 3, unknown: 0 });
    await delivered;
    await batcher.close();
    await face.close();
    expect(seen.size).toBeGreaterThanOrEqual(4);
    expect(letters).toEqual([]);
    const retried = events.filter((event) => event.type === "retried");
    expect(retried).toHaveLength(harms.length * seen.size);
    for (const { ambiguous, error } of retried) {
      expect(ambiguous).toBe(false);
      expect(error).toMatchObject({
        message: expect.stringMatching(/^table "shy": the table cannot be looked at: ./),
      });
    }
    expect(face.requests.filter(({ query }) => query.startsWith("INSERT"))).toHaveLength(1);
    expect(await chdb.query("SELECT id FROM shy ORDER BY id")).toEqual([
      { id: 1 },
      { id: 2 },
      { id: 3 },
    ]);
  });

  it("is reported as it is while nobody answers, and expires rather than being unknown", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    server.close();
    await once(server, "close");
    const client = connect(`http://127.0.0.1:${port}`);
    const clock = manualClock();
    let retries = 0;
    const { batcher, letters } = open(
      client,
      "shy",
      { id: UInt32 },
      {
        clock,
        random: () => 0.9,
        deliveryTimeoutMs: 1_000,
        writeTimeoutMs: 1_000,
        retry: { baseDelayMs: 100, circuitAfter: 100 },
        observe: (event) => {
          if (event.type !== "retried") return;
          retries += 1;
          void clock.advance(event.delayMs);
        },
      },
    );
    expect(await failure(batcher.ready())).toMatchObject({ cause: { code: "ECONNREFUSED" } });
    await batcher.insert({ id: 1 });
    expect(await failure(batcher.flush())).toMatchObject({
      report: { deadLettered: 1, unknown: 0 },
      cause: {
        code: "SLUICE_ERR_DELIVERY_EXPIRED",
        cause: { message: expect.stringContaining("ECONNREFUSED") },
      },
    });
    expect(retries).toBeGreaterThan(1);
    await batcher.close();
    expect(letters).toEqual([{ id: 1 }]);
  });
});

/** How a column of the fuzz is written, altered and read back, as text that shows its value. */
interface Subject {
  readonly type: Columns[string];
  /** Types that the table's column may turn into. */
  readonly others: readonly string[];
  readonly value: (random: () => number) => unknown;
  /** SQL that shows the value of a column. */
  readonly read: (column: string) => string;
  /** What it should show; without it, the value as text. */
  readonly shown?: (value: unknown) => string;
  /** Not known to a server of 2018. */
  readonly isNew?: boolean;
}

const pick = <T>(random: () => number, list: readonly T[]): T => {
  const chosen = list[Math.floor(random() * list.length)];
  if (chosen === undefined) throw new RangeError("nothing to pick from");
  return chosen;
};
const below = (random: () => number, limit: number): number => Math.floor(random() * limit);
const plain = (column: string): string => `toString(${column})`;
/** "UInt8 | String" */
const typesOf = (list: string): readonly string[] => list.split(" | ");
const TEXTS = ["", "a", "5", "2020-01-02", "12345678", "é 'quoted' \\ \n end", "x"];

const SUBJECTS: Readonly<Record<string, Subject>> = {
  whole: {
    type: UInt32,
    others: typesOf(
      "UInt64 | UInt16 | Int32 | Float32 | DateTime | String | Nullable(UInt32) | IPv4 | LowCardinality(UInt32)",
    ),
    value: (random) => pick(random, [0, 7, 65_536, 2 ** 31 + below(random, 1_000), 2 ** 32 - 1]),
    read: plain,
  },
  signed: {
    type: Int64,
    others: typesOf(
      "UInt64 | Int32 | Float64 | Nullable(Int64) | Decimal(18, 0) | Decimal(18, 4) | Int128 | DateTime64(3)",
    ),
    value: (random) =>
      pick(random, [-1n, 0n, 2n ** 53n + 1n, -(2n ** 63n), BigInt(below(random, 99))]),
    read: plain,
  },
  text: {
    type: Text,
    others: typesOf(
      "FixedString(8) | Nullable(String) | Array(String) | UInt64 | Date | LowCardinality(String) | LowCardinality(Nullable(String))",
    ),
    value: (random) => pick(random, TEXTS),
    read: plain,
  },
  maybe: {
    type: Nullable(Int32),
    others: typesOf(
      "Int32 | Nullable(UInt32) | Nullable(Int64) | Nullable(Float32) | Nullable(Date) | LowCardinality(Nullable(Int32))",
    ),
    value: (random) => pick(random, [null, -1, 5, -(2 ** 31)]),
    read: plain,
    shown: (value) => (value === null ? "NULL" : globalThis.String(value)),
  },
  kind: {
    type: Enum8({ x: 1, y: 2 }),
    others: typesOf(
      "Enum8('x' = 1, 'y' = 2, 'z' = 3) | Enum8('y' = 2, 'x' = 1) | Enum8('x' = 1) | Enum8('x' = 2, 'y' = 1) | Enum8('y' = 1, 'z' = 2) | Enum16('x' = 1, 'y' = 2) | Nullable(Enum8('x' = 1, 'y' = 2)) | Int8 | String",
    ),
    value: (random) => pick(random, ["x", "y"]),
    read: plain,
  },
  second: {
    type: DateTime,
    others: typesOf(
      "DateTime('Asia/Tokyo') | UInt32 | Int32 | Date | Nullable(DateTime) | DateTime64(0) | DateTime64(3)",
    ),
    value: (random) => new Date(below(random, 2 ** 32) * 1_000),
    read: (column) => `toString(toUnixTimestamp(${column}))`,
    shown: (value) => globalThis.String(Number(value) / 1_000),
  },
  amount: {
    type: Decimal(9, 2),
    others: typesOf(
      "Decimal(9, 3) | Decimal(18, 2) | Decimal(9, 0) | Decimal(7, 2) | Int32 | Float32",
    ),
    value: (random) => pick(random, ["1.25", "-9999999.99", "0.01", "1234567.8"]),
    read: (column) => `toString(toFloat64(${column}))`,
    shown: (value) => globalThis.String(Number(value)),
  },
  real: {
    type: Float64,
    others: typesOf("Float32 | Int64 | UInt64 | Nullable(Float64) | String"),
    value: (random) => pick(random, [0.1, -1e300, 3, 1 / 3]),
    read: (column) => `toString(reinterpretAsUInt64(reinterpretAsString(toFloat64(${column}))))`,
    shown: (value) => {
      const bytes = new DataView(new ArrayBuffer(8));
      bytes.setFloat64(0, Number(value));
      return globalThis.String(bytes.getBigUint64(0));
    },
  },
  list: {
    type: ArrayOf(UInt16),
    others: typesOf(
      "Array(Int16) | Array(UInt32) | Array(Nullable(UInt16)) | String | UInt16 | Array(LowCardinality(UInt16))",
    ),
    value: (random) => pick(random, [[], [1], [65_535, 2], [40_000, 0, 7]]),
    read: plain,
    shown: (value) => JSON.stringify(value),
  },
  identity: {
    type: UUID,
    others: typesOf("FixedString(16) | String | Nullable(UUID) | UInt128"),
    value: (random) =>
      pick(random, [
        "01020304-0506-0708-090a-0b0c0d0e0f10",
        "ffffffff-0000-1111-2222-333344445555",
      ]),
    read: plain,
  },
  moment: {
    type: DateTime64(3),
    others: typesOf(
      "DateTime64(3, 'America/New_York') | DateTime64(6) | DateTime64(0) | Int64 | DateTime | Nullable(DateTime64(3))",
    ),
    value: (random) => new Date(below(random, 2 ** 32) * 1_000 + below(random, 1_000)),
    read: (column) => `toString(toUnixTimestamp64Milli(${column}))`,
    shown: (value) => globalThis.String(Number(value)),
    isNew: true,
  },
  label: {
    type: LowCardinality(Text),
    others: typesOf(
      "String | LowCardinality(Nullable(String)) | FixedString(8) | Nullable(String)",
    ),
    value: (random) => pick(random, TEXTS),
    read: plain,
    isNew: true,
  },
  address: {
    type: IPv4,
    others: typesOf("UInt32 | IPv6 | Nullable(IPv4) | String"),
    value: (random) => pick(random, ["1.2.3.4", "255.0.0.1"]),
    read: plain,
    isNew: true,
  },
  pair: {
    type: Tuple({ a: UInt8, b: UInt8 }),
    others: typesOf(
      "Tuple(b UInt8, a UInt8) | Tuple(UInt8, UInt8) | Tuple(a Int8, b UInt8) | Tuple(a UInt8, b UInt8, c UInt8) | Tuple(a UInt16, b UInt8) | Array(UInt8)",
    ),
    value: (random) => ({ a: below(random, 256), b: below(random, 256) }),
    // By name, where there are names.
    read: (column) => {
      const json = `toJSONString(${column})`;
      const field = (name: string): string => `JSONExtractRaw(${json}, '${name}')`;
      return `if(startsWith(${json}, '['), ${json}, concat('[', ${field("a")}, ',', ${field("b")}, ']'))`;
    },
    shown: (value) => JSON.stringify(Object.values(value as object)),
    isNew: true,
  },
};

interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly clause?: string;
}

/** Statements that change a table, and what it looks like then. */
interface Change {
  readonly statements: readonly string[];
  readonly columns: readonly TableColumn[];
}

type Mutation = (columns: readonly TableColumn[], random: () => number) => Change;

/** The column that every row is found by again stays as it is. */
const anyOf = (columns: readonly TableColumn[], random: () => number): TableColumn =>
  pick(
    random,
    columns.filter(({ name }) => name !== "id"),
  );
const altered = (columns: readonly TableColumn[], changed: TableColumn): readonly TableColumn[] =>
  columns.map((column) => (column.name === changed.name ? changed : column));

const into = (columns: readonly TableColumn[], column: TableColumn, type: string): Change => ({
  statements: [`MODIFY COLUMN ${column.name} ${type}`],
  columns: altered(columns, { ...column, type }),
});

const retype: Mutation = (columns, random) => {
  const column = anyOf(columns, random);
  return into(columns, column, pick(random, SUBJECTS[column.name]?.others ?? ["UInt8"]));
};

const MUTATIONS: readonly Mutation[] = [
  retype,
  retype,
  retype,
  function reorder(columns, random) {
    const column = anyOf(columns, random);
    const rest = columns.filter((one) => one !== column);
    return {
      statements: [`MODIFY COLUMN ${column.name} ${column.type} FIRST`],
      columns: [column, ...rest],
    };
  },
  function drop(columns, random) {
    const column = anyOf(columns, random);
    return {
      statements: [`DROP COLUMN ${column.name}`],
      columns: columns.filter((one) => one !== column),
    };
  },
  function rename(columns, random) {
    const column = anyOf(columns, random);
    const name = `${column.name}_renamed`;
    return {
      statements: [`RENAME COLUMN ${column.name} TO ${name}`],
      columns: columns.map((one) => (one === column ? { ...one, name } : one)),
    };
  },
  function swapNames(columns, random) {
    const [one, other] = [anyOf(columns, random), anyOf(columns, random)];
    const name = (column: TableColumn): string =>
      column === one ? other.name : column === other ? one.name : column.name;
    return {
      statements: [
        `RENAME COLUMN ${one.name} TO between`,
        `RENAME COLUMN ${other.name} TO ${one.name}`,
        `RENAME COLUMN between TO ${other.name}`,
      ],
      columns: columns.map((column) => ({ ...column, name: name(column) })),
    };
  },
  function add(columns, random) {
    const clause = pick(random, ["", "DEFAULT 7", "MATERIALIZED 8", "ALIAS 9"]);
    const type = pick(random, ["UInt8", "String", "UInt64"]);
    const column = { name: `added${columns.length}`, type, clause };
    const at = pick(random, [" FIRST", ""]);
    return {
      statements: [`ADD COLUMN ${column.name} ${type} ${clause}${at}`],
      columns: at === "" ? [...columns, column] : [column, ...columns],
    };
  },
  function computed(columns, random) {
    const column = anyOf(columns, random);
    const clause = pick(random, ["MATERIALIZED", "ALIAS"]);
    const value = `CAST(${column.type.startsWith("Array") ? "[]" : "'1'"} AS ${column.type})`;
    return {
      statements: [`MODIFY COLUMN ${column.name} ${column.type} ${clause} ${value}`],
      columns: altered(columns, { ...column, clause: `${clause} ${value}` }),
    };
  },
];

/** A server to fuzz against. */
interface Ground {
  readonly run: (sql: string) => Promise<ClickHouseRow[]>;
  readonly client: TransportLike;
  /** Ends CREATE TABLE. */
  readonly window: string;
  readonly subjects: Readonly<Record<string, Subject>>;
}

/** What changes, and the chance by which the rest is chosen. */
interface Case {
  readonly seed: number;
  readonly names: readonly string[];
  readonly mutations: readonly Mutation[];
}

/** Each type alone, as each other. */
const pairs = (subjects: Ground["subjects"]): readonly Case[] =>
  Object.entries(subjects).flatMap(([name, { others }]) =>
    others.map((type, seed) => ({
      seed,
      names: [name],
      mutations: [
        (columns: readonly TableColumn[]) => {
          const column = columns.find((one) => one.name === name);
          return column === undefined ? { statements: [], columns } : into(columns, column, type);
        },
      ],
    })),
  );

/** Some columns, of which some change somehow. */
function anyCase(subjects: Ground["subjects"], seed: number): Case {
  const random = seededRandom(seed);
  const ranked = Object.keys(subjects).map((name) => ({ name, rank: random() }));
  const names = ranked.sort((a, b) => a.rank - b.rank).map(({ name }) => name);
  const mutations = Array.from({ length: 1 + below(random, 3) }, () => pick(random, MUTATIONS));
  return { seed, names: names.slice(0, 2 + below(random, 4)), mutations };
}

type Values = Readonly<Record<string, unknown>>;

/** Writes a batch, changes the table, writes another; tells whether that one landed as it was. */
async function drift(
  { run, client, window, subjects }: Ground,
  table: string,
  { seed, names, mutations }: Case,
): Promise<"equal" | "refused"> {
  const random = seededRandom(seed);
  const chosen = names.map((name) => [name, subjects[name] as Subject] as const);
  const columns: Columns = {
    id: UInt32,
    ...Object.fromEntries(chosen.map(([name, { type }]) => [name, type])),
  };
  const create = (list: readonly TableColumn[]): string => {
    const all = list.map(({ name, type, clause = "" }) => `${name} ${type} ${clause}`);
    return `CREATE TABLE ${table} (${all.join(", ")}) ENGINE = MergeTree ORDER BY id ${window}`;
  };
  const batchOf = (from: number): Values[] =>
    [0, 1, 2, 3].map((offset) => ({
      id: from + offset,
      ...Object.fromEntries(chosen.map(([name, { value }]) => [name, value(random)])),
    }));
  const before = Object.entries(columns).map(([name, { type }]) => ({ name, type }));
  await run(create(before));
  const { batcher, letters } = open(client, table, columns, {
    deliveryTimeoutMs: 30_000,
  });
  const insert = async (rows: readonly Values[]): Promise<unknown> => {
    await batcher.insertMany(rows as never);
    return failure(batcher.flush());
  };
  expect(await insert(batchOf(1))).toMatch(/^resolved/);

  let after: readonly TableColumn[] = before;
  for (const mutate of mutations) {
    if (after.length === 1) break;
    const change = mutate(after, random);
    after = change.columns;
    try {
      for (const statement of change.statements) await run(`ALTER TABLE ${table} ${statement}`);
    } catch {
      // What ALTER cannot do, somebody may do by hand.
      await run(`DROP TABLE ${table}`);
      await run(create(after)).catch(() => run(create(before)));
    }
  }

  const rows = batchOf(101);
  const outcome = await insert(rows);
  await batcher.close();
  const about = `seed ${seed}: ${before.map(({ type }) => type).join(", ")} became ${after.map(({ name, type, clause = "" }) => `${name} ${type} ${clause}`).join(", ")}`;
  if (typeof outcome !== "string") {
    expect(outcome, about).toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { deadLettered: 4, unknown: 0 },
      cause: { cause: { code: "SLUICE_ERR_CLICKHOUSE_SCHEMA" } },
    });
    expect(letters, about).toHaveLength(4);
    expect(await run(`SELECT id FROM ${table} WHERE id > 100`), about).toEqual([]);
    await run(`DROP TABLE ${table}`);
    return "refused";
  }
  const shown = chosen.map(([name, { read }]) => `ifNull(${read(name)}, 'NULL') AS s_${name}`);
  const found = await run(
    `SELECT toUInt32(id) AS s_id, ${shown.join(", ")} FROM ${table} WHERE id > 100 ORDER BY id`,
  );
  const expected = rows.map((row) => ({
    s_id: row["id"],
    ...Object.fromEntries(
      chosen.map(([name, { shown: show = globalThis.String }]) => [`s_${name}`, show(row[name])]),
    ),
  }));
  expect(found, about).toEqual(expected);
  await run(`DROP TABLE ${table}`);
  return "equal";
}

const RANDOM_CASES = 200;

const fuzz = async (ground: Ground, prefix: string): Promise<void> => {
  const { subjects } = ground;
  const random = Array.from({ length: RANDOM_CASES }, (_, seed) => anyCase(subjects, seed));
  const outcomes = { equal: 0, refused: 0 };
  for (const [index, one] of [...pairs(subjects), ...random].entries()) {
    outcomes[await drift(ground, `${prefix}${index}`, one)] += 1;
  }
  expect(outcomes.equal).toBeGreaterThan(RANDOM_CASES / 10);
  expect(outcomes.refused).toBeGreaterThan(RANDOM_CASES / 10);
};

describe("a table that changes between two batches", { timeout: 600_000 }, () => {
  const allow = async (): Promise<void> => {
    await chdb.query("SET allow_suspicious_low_cardinality_types = 1");
  };

  it("takes them with equal values or refuses them, within the process", async () => {
    await allow();
    const { query: run, session: client } = chdb;
    await fuzz({ run, client, window: WINDOW, subjects: SUBJECTS }, "fuzz_chdb");
  });

  it("takes them with equal values or refuses them, by names and types", async () => {
    await allow();
    const face = await openClickHouseFace(chdb);
    const client = connectWriter(face);
    await fuzz({ run: chdb.query, client, window: WINDOW, subjects: SUBJECTS }, "fuzz_face");
    await face.close();
    const inserts = face.requests.filter(({ query }) => query.startsWith("INSERT"));
    for (const { query } of inserts) expect(query).toMatch(/FORMAT RowBinaryWithNamesAndTypes$/);
  });
});

describeServer("a table of the oldest server that changes between two batches", (url) => {
  it("takes them with equal values or refuses them, by a look before each insert", async () => {
    const client = connect(url);
    const run = async (sql: string): Promise<ClickHouseRow[]> => {
      if (!sql.startsWith("SELECT")) {
        await client.command({ query: sql });
        return [];
      }
      return rowsOf(await (await client.query({ query: sql, format: "JSONEachRow" })).text());
    };
    const old = Object.entries(SUBJECTS).filter(([, { isNew = false }]) => !isNew);
    await fuzz({ run, client, window: "", subjects: Object.fromEntries(old) }, "fuzz_old");
  });
});
