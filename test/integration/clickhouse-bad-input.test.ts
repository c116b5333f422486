/** Bad rows, bad options, bad clients: a clear error each, and nothing that was accepted is lost. */
import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "sluice";
import {
  Array as ArrayOf,
  Bool,
  chdbTransport,
  type Columns,
  createRowBatcher,
  Date as Day,
  DateTime,
  DateTime64,
  Decimal,
  Enum8,
  FixedString,
  Float64,
  IPv4,
  IPv6,
  JSON as Json,
  LowCardinality,
  Map as MapOf,
  Nullable,
  type RowBatcherOptions,
  String as Text,
  type TransportLike,
  Tuple,
  UInt8,
  UInt32,
  UInt64,
  UUID,
} from "sluice/clickhouse";
import { openChdb } from "./chdb.ts";
import { openClickHouseFace } from "./clickhouse-face.ts";
import { connectWriter, gate } from "./clickhouse-faults.ts";

const chdb = openChdb();

/** What a call throws, or a promise is rejected with. */
const failure = async (call: () => unknown): Promise<unknown> => {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return "nothing was thrown";
};

const COLUMNS = {
  id: UInt32,
  big: UInt64,
  uuid: UUID,
  ip4: IPv4,
  ip6: IPv6,
  kind: Enum8({ a: 1, b: 2 }),
  amount: Decimal(9, 2),
  at: DateTime,
  at64: DateTime64(3),
  day: Day,
  text: Text,
  low: LowCardinality(Text),
  fixed: FixedString(3),
  flag: Bool,
  real: Float64,
  list: ArrayOf(UInt8),
  map: MapOf(Text, UInt8),
  pair: Tuple({ a: UInt8 }),
  maybe: Nullable(UInt8),
  json: Json,
};
const GOOD = {
  id: 1,
  big: 1n,
  uuid: "01020304-0506-0708-090a-0b0c0d0e0f10",
  ip4: "1.2.3.4",
  ip6: "::1",
  kind: "a",
  amount: "1.25",
  at: new Date(0),
  at64: new Date(0),
  day: "2020-01-01",
  text: "x",
  low: "x",
  fixed: "abc",
  flag: true,
  real: 1.5,
  list: [1],
  map: { a: 1 },
  pair: { a: 1 },
  maybe: null,
  json: {},
} as const;

/** A column, a value that it cannot take, and how the message shows it. */
const BAD: readonly (readonly [column: keyof typeof COLUMNS, value: unknown, shown: string])[] = [
  ["id", null, "null"],
  ["id", undefined, "nothing: it is missing"],
  ["id", -1, "-1"],
  ["id", 1.5, "1.5"],
  ["id", 2 ** 32, "4294967296"],
  ["id", "x", '"x"'],
  ["id", {}, "{}"],
  ["id", Symbol("s"), "Symbol(s)"],
  ["big", -1n, "-1n"],
  ["big", 2n ** 64n, "18446744073709551616n"],
  ["big", 2 ** 60, `${2 ** 60}`],
  ["uuid", "nope", '"nope"'],
  ["uuid", null, "null"],
  ["ip4", "1.2.3.256", '"1.2.3.256"'],
  ["ip6", "::g", '"::g"'],
  ["kind", "c", '"c"'],
  ["kind", 3, "3"],
  ["amount", "1.255", '"1.255"'],
  ["amount", "1e999", '"1e999"'],
  ["amount", "abc", '"abc"'],
  ["amount", Number.NaN, "NaN"],
  ["at", new Date(Number.NaN), "Date(NaN)"],
  ["at", "yesterday", '"yesterday"'],
  ["at", -1, "-1"],
  ["at64", "x", '"x"'],
  ["day", "2020-13-01", '"2020-13-01"'],
  ["text", 5, "5"],
  ["text", null, "null"],
  ["text", "a\ud800", JSON.stringify("a\ud800")],
  ["low", "\udc00b", JSON.stringify("\udc00b")],
  ["fixed", "abcd", '"abcd"'],
  ["flag", "yes", '"yes"'],
  ["real", "1", '"1"'],
  ["list", [1, 300], "300"],
  ["list", [null], "null"],
  ["list", "x", '"x"'],
  ["map", { a: -1 }, "-1"],
  ["map", { "\ud800": 1 }, JSON.stringify("\ud800")],
  ["pair", { a: 1, b: 2 }, '{"a":1,"b":2}'],
  ["maybe", 256, "256"],
  ["json", () => 0, "[function]"],
];

describe("a row that cannot be written", () => {
  it("is refused with table, column and value, and those before and after it land", async () => {
    const batcher = createRowBatcher(chdb.session, {
      table: "default.mixed",
      columns: COLUMNS,
      createTable: true,
      maxDelayMs: 3_600_000,
    });
    let accepted = 0;
    const insertGood = async (): Promise<void> => {
      await batcher.insert({ ...GOOD, id: accepted });
      accepted += 1;
    };
    for (const [column, value, shown] of BAD) {
      await insertGood();
      const row = { ...GOOD, [column]: value } as never;
      const expected = {
        code: "SLUICE_ERR_ITEM_INVALID",
        disposition: "usage",
        message: expect.stringContaining(`default.mixed: column "${column}" (`),
      };
      for (const call of [
        () => batcher.insert(row),
        () => batcher.tryInsert(row),
        () => batcher.deliver(row),
      ]) {
        const refused = await failure(call);
        expect(refused).toMatchObject(expected);
        expect(isSluiceError(refused) && refused.message.endsWith(shown), shown).toBe(true);
      }
      const many = await failure(() =>
        batcher.insertMany([{ ...GOOD, id: accepted }, row, { ...GOOD, id: 999_999 }]),
      );
      expect(many).toMatchObject({
        code: "SLUICE_ERR_ADD_INCOMPLETE",
        report: { accepted: 1 },
        cause: expected,
      });
      accepted += 1;
    }
    await insertGood();
    expect(await batcher.flush()).toMatchObject({ rows: accepted, committed: accepted });
    await batcher.close();
    const rows = await chdb.query("SELECT id FROM mixed ORDER BY id");
    expect(rows).toEqual(Array.from({ length: accepted }, (_, id) => ({ id })));
    expect(await chdb.query("SELECT DISTINCT * EXCEPT id FROM mixed")).toHaveLength(1);
  });

  it.each([
    [
      "a column that is not there",
      { id: 1, nam: "x" },
      "_UNKNOWN_FIELD",
      /no column "nam"; there are "id", "name"$/,
    ],
    ["one column too many", { id: 1, name: "x", more: 1 }, "_UNKNOWN_FIELD", /no column "more"/],
    [
      "a column missing",
      { id: 1 },
      "_INVALID",
      /column "name" \(String\): .*; nothing: it is missing$/,
    ],
    ["no row", null, "_INVALID", /a row is an object with a value per column; received null$/],
    ["values without names", [1, "x"], "_INVALID", /received \[1,"x"\]$/],
    ["text", '{"id":1}', "_INVALID", /received "/],
  ])("%s: is refused by name", async (_, row, code, message) => {
    const batcher = createRowBatcher(chdb.session, {
      table: "events",
      columns: { id: UInt32, name: Text },
    });
    const refused = await failure(() => batcher.insert(row as never));
    expect(refused).toMatchObject({
      code: `SLUICE_ERR_ITEM${code}`,
      message: expect.stringMatching(message),
    });
    expect(String(refused)).toContain("events: ");
    expect(batcher.stats()).toMatchObject({ accepted: 0, held: 0 });
    await batcher.close();
  });

  it("that only the server can refuse comes back alone, with the server's words", async () => {
    const letters: unknown[] = [];
    const batcher = createRowBatcher(chdb.session, {
      table: "documents",
      columns: { id: UInt32, document: Json },
      createTable: true,
      deadLetter: ({ entry, cause }) => letters.push([entry, String(cause)]),
    });
    const bad = [true, "text", [1], 5];
    for (const [id, document] of bad.entries()) {
      await batcher.insertMany([
        { id: 2 * id, document: { fine: id } },
        { id: 2 * id + 1, document },
      ]);
    }
    await expect(batcher.flush()).rejects.toMatchObject({
      report: { committed: 4, deadLettered: 4, unknown: 0 },
    });
    await batcher.close();
    expect(letters).toEqual(
      bad.map((document, id) => [{ id: 2 * id + 1, document }, expect.stringContaining("Cannot ")]),
    );
    expect(await chdb.query("SELECT id FROM documents ORDER BY id")).toEqual(
      [0, 2, 4, 6].map((id) => ({ id })),
    );
  });
});

describe("a row of 100 MB", { timeout: 180_000 }, () => {
  const SIZE = 100_000_000;
  const huge = "é".repeat(SIZE / 2);
  const hash = createHash("md5").update(huge).digest("hex").toUpperCase();
  const COLUMNS_HUGE = { id: UInt32, text: Text };

  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  /** What buffers hold, once all that can be let go is. */
  const buffered = async (): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    collect(); // what the first found is let go beside it, and for certain before the second begins
    return process.memoryUsage().arrayBuffers;
  };

  it.each(["client", "chdb"])("lands alone, between those before and after it (%s)", async (by) => {
    const table = `large_${by}`;
    await chdb.query(
      `CREATE TABLE ${table} (id UInt32, text String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100`,
    );
    await chdb.query(`SYSTEM STOP MERGES ${table}`);
    const face = await openClickHouseFace(chdb);
    const client = by === "client" ? connectWriter(face) : chdb.session;
    const batcher = createRowBatcher(client, {
      table,
      columns: COLUMNS_HUGE,
      writeTimeoutMs: 150_000,
      deliveryTimeoutMs: 150_000,
    });
    await batcher.insertMany([
      { id: 1, text: "before" },
      { id: 2, text: huge },
      { id: 3, text: "after" },
    ]);
    expect(await batcher.flush()).toMatchObject({ committed: 3, batches: 3, attempts: 3 });
    await batcher.close();
    await face.close();
    expect(
      await chdb.query(
        `SELECT id, toUInt32(length(text)) AS size, hex(MD5(text)) = '${hash}' AS same, toUInt32(count() OVER (PARTITION BY _part)) AS beside FROM ${table} ORDER BY id`,
      ),
    ).toEqual([
      { id: 1, size: 6, same: 0, beside: 1 },
      { id: 2, size: SIZE, same: 1, beside: 1 },
      { id: 3, size: 5, same: 0, beside: 1 },
    ]);
  });

  it("lets its memory go once it has landed", async () => {
    const transport = chdbTransport(chdb.session);
    let sent = 0;
    const answer = gate();
    const batcher = createRowBatcher(
      {
        ...transport,
        insert: async ({ body }) => {
          if (sent > 0) await answer.opened;
          sent += body.reduce((sum, chunk) => sum + chunk.byteLength, 0);
        },
      },
      { table: "kept", columns: COLUMNS_HUGE, createTable: true },
    );
    await batcher.insert({ id: 1, text: "warm" });
    await batcher.flush();
    const before = await buffered();
    await batcher.insert({ id: 2, text: huge });
    expect(await buffered()).toBeGreaterThan(before + SIZE / 2);
    answer.open();
    await batcher.flush();
    expect(sent).toBeGreaterThan(SIZE);
    expect(await buffered()).toBeLessThan(before + SIZE / 2);
    await batcher.insert({ id: 3, text: "as ever" });
    expect(await batcher.close()).toMatchObject({ committed: 1, abandoned: 0 });
  });

  it("that can never fit is refused at once, and its memory is let go", async () => {
    const batcher = createRowBatcher(chdb.session, {
      table: "large",
      columns: COLUMNS_HUGE,
      createTable: true,
      maxBytes: 2 ** 20,
      maxBufferedBytes: 2 ** 24,
      maxDelayMs: 3_600_000,
    });
    await batcher.insert({ id: 10, text: "before" });
    const before = await buffered();
    const refused = await failure(() => batcher.insert({ id: 11, text: huge }));
    expect(refused).toMatchObject({
      code: "SLUICE_ERR_ITEM_TOO_LARGE",
      message: expect.stringMatching(
        new RegExp(`^large: .* ${SIZE + 8} bytes can never fit: .*maxBufferedBytes is ${2 ** 24}$`),
      ),
    });
    await batcher.insert({ id: 12, text: "after" });
    expect(await buffered()).toBeLessThan(before + SIZE / 2);
    expect(await batcher.flush()).toMatchObject({ committed: 2 });
    await batcher.close();
    expect(await chdb.query("SELECT id FROM large WHERE id >= 10 ORDER BY id")).toEqual([
      { id: 10 },
      { id: 12 },
    ]);
  });
});

describe("options", () => {
  const make = (options: object): (() => unknown) => {
    const all = { table: "events", columns: { id: UInt32 }, ...options };
    return () => createRowBatcher(chdb.session, all as RowBatcherOptions<Columns>);
  };

  it.each([
    ["", '""'],
    [undefined, "undefined"],
    [null, "null"],
    [5, "5"],
    ["events.", '""'],
    [".events", '""'],
    ["a.b.c", '"a.b.c"'],
    ["nul\0", '"nul\\u0000"'],
    ["\ud800", '"\\ud800"'],
    [{ table: "" }, '""'],
    [{ database: "", table: "t" }, '""'],
    [{}, "{}"],
  ])("a table named %j is refused", async (table, shown) => {
    const refused = await failure(make({ table }));
    expect(refused).toMatchObject({ code: "SLUICE_ERR_CLICKHOUSE_IDENTIFIER" });
    expect(String(refused)).toMatch(/table/);
    expect(isSluiceError(refused) && refused.message.endsWith(`received ${shown}`)).toBe(true);
  });

  it.each([
    "maxEntries",
    "maxBytes",
    "maxBufferedEntries",
    "maxBufferedBytes",
    "lanes",
    "bufferBytes",
    "bufferShrinkBytes",
    "writeTimeoutMs",
    "deliveryTimeoutMs",
    "retry.baseDelayMs",
    "retry.maxDelayMs",
    "retry.circuitAfter",
  ])("%s of 0 is refused", async (path) => {
    const [name = "", inner] = path.split(".");
    const refused = await failure(make({ [name]: inner === undefined ? 0 : { [inner]: 0 } }));
    expect(refused).toMatchObject({
      code: "SLUICE_ERR_OPTION_INVALID",
      message: expect.stringMatching(new RegExp(`${path} must be .* from 1 to .*; received 0$`)),
    });
  });

  it("no columns are refused", async () => {
    for (const columns of [{}, null, undefined, { id: 5 }, { "": UInt32 }]) {
      expect(await failure(make({ columns }))).toMatchObject({ code: "SLUICE_ERR_OPTION_INVALID" });
    }
  });

  it("what is no client is refused by its class, and not by what it holds", async () => {
    const pool = new pg.Pool({ password: "secret" });
    const given: readonly (readonly [unknown, string])[] = [
      [null, "null"],
      [undefined, "undefined"],
      [{}, "an object of class Object"],
      [[], "an object of class Array"],
      ["http://127.0.0.1:8123", '"http://127.0.0.1:8123"'],
      [() => 0, "[function]"],
      [pool, "an object of class BoundPool"],
    ];
    for (const [client, shown] of given) {
      const refused = await failure(() =>
        createRowBatcher(client as TransportLike, { table: "events", columns: { id: UInt32 } }),
      );
      expect(refused).toMatchObject({ code: "SLUICE_ERR_CLICKHOUSE_TRANSPORT" });
      expect(isSluiceError(refused) && refused.message.endsWith(`; received ${shown}`)).toBe(true);
    }
    await pool.end();
  });
});

describe("a table that these rows cannot be written to", () => {
  it.each([
    ["nowhere", /^table "nowhere" .*\n {2}the table does not exist; createTable/],
    ["nowhere.events", /^table "nowhere\.events" .*\n {2}the table does not exist; createTable/],
    ["narrow", /^table "narrow" .*\n {2}column "name": the rows write String, .* no such column/],
  ])("%s: is named, and the rows come back", async (table, why) => {
    await chdb.query(
      "CREATE TABLE IF NOT EXISTS narrow (id UInt32) ENGINE = MergeTree ORDER BY id",
    );
    const face = await openClickHouseFace(chdb);
    for (const client of [chdb.session, connectWriter(face)]) {
      const letters: unknown[] = [];
      const batcher = createRowBatcher(client, {
        table,
        columns: { id: UInt32, name: Text },
        deadLetter: ({ entry }) => letters.push(entry),
      });
      const mismatch = {
        code: "SLUICE_ERR_CLICKHOUSE_SCHEMA",
        message: expect.stringMatching(why),
      };
      await batcher.insert({ id: 1, name: "x" });
      expect(await failure(() => batcher.flush())).toMatchObject({ cause: { cause: mismatch } });
      expect(await failure(() => batcher.ready())).toMatchObject(mismatch);
      await batcher.close();
      expect(letters).toEqual([{ id: 1, name: "x" }]);
    }
    await face.close();
  });
});
