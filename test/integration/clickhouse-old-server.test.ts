/** Rows into the oldest server that is written to: ClickHouse 18.16, as Debian packages it. */
import { once } from "node:events";
import { createServer, request as forward } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import type { SluiceEvent } from "sluice";
import {
  Array as ArrayOf,
  type Columns,
  createRowBatcher,
  Date as Day,
  DateTime,
  Decimal,
  type DecodedRow,
  Enum16,
  Enum8,
  FixedString,
  Float32,
  Float64,
  Int16,
  Int64,
  Nullable,
  type RowBatcherOptions,
  type RowOf,
  String as Text,
  UInt8,
  UInt32,
  UInt64,
  UUID,
} from "sluice/clickhouse";
import { type ClickHouseRow, describeServer, rowsOf } from "./chdb.ts";
import { connect } from "./clickhouse-faults.ts";

/** A statement as it passed by. */
interface Passed {
  readonly query: string;
  readonly settings: URLSearchParams;
  readonly encoding: string | undefined;
}

/** Hands every request on to the server, and loses the answers it is told to lose. */
const openRelay = async (target: string) => {
  const passed: Passed[] = [];
  const nothing: (statement: Passed) => boolean = () => false;
  const relay = {
    passed,
    url: "",
    lose: nothing,
    close: () => server.close(),
  };
  const server = createServer((message, response) => {
    const settings = new URL(message.url ?? "/", target).searchParams;
    const { "content-encoding": encoding } = message.headers;
    const statement = { query: settings.get("query") ?? "", settings, encoding };
    passed.push(statement);
    const { method, headers, url = "/" } = message;
    const on = forward(new URL(url, target), { method, headers }, (answer) => {
      if (relay.lose(statement)) {
        answer.resume().once("end", () => response.socket?.resetAndDestroy());
        return;
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    on.once("error", () => response.destroy());
    message.pipe(on);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the relay has no port");
  relay.url = `http://127.0.0.1:${address.port}`;
  return relay;
};

type Relay = Awaited<ReturnType<typeof openRelay>>;

describeServer("the oldest server", (url) => {
  let relay: Relay | undefined;
  afterEach(() => relay?.close());

  const direct = connect(url === "" ? "http://127.0.0.1" : url);
  const run = async (sql: string): Promise<ClickHouseRow[]> => {
    if (!sql.startsWith("SELECT") && !sql.startsWith("SHOW")) {
      await direct.command({ query: sql });
      return [];
    }
    return rowsOf(await (await direct.query({ query: sql, format: "JSONEachRow" })).text());
  };

  const open = async <const C extends Columns>(
    table: string,
    columns: C,
    options: Partial<RowBatcherOptions<C>> = {},
  ) => {
    const opened = await openRelay(url);
    relay = opened;
    const letters: DecodedRow<C>[] = [];
    const events: SluiceEvent[] = [];
    const client = connect(opened.url, { compression: { request: true, response: true } });
    const batcher = createRowBatcher(client, {
      table,
      columns,
      maxDelayMs: 3_600_000,
      retry: { baseDelayMs: 1, maxDelayMs: 5, circuitAfter: 100_000 },
      deadLetter: ({ entry }) => letters.push(entry),
      observe: (event) => events.push(event),
      ...options,
    });
    const inserts = (): Passed[] => opened.passed.filter(({ query }) => query.startsWith("INSERT"));
    return { batcher, letters, events, inserts, relay: opened };
  };

  describe("rows", () => {
    const COLUMNS = {
      id: UInt32,
      big: UInt64,
      small: Int16,
      long: Int64,
      half: Float32,
      real: Float64,
      text: Text,
      fixed: FixedString(4),
      uuid: UUID,
      day: Day,
      at: DateTime,
      kind: Enum8({ a: -1, "it's": 2 }),
      wide: Enum16({ x: 1_000 }),
      maybe: Nullable(Text),
      amount: Decimal(9, 2),
      huge: Decimal(38, 10),
      list: ArrayOf(Text),
      deep: ArrayOf(ArrayOf(Nullable(UInt8))),
    };
    const rowOf = (id: number): RowOf<typeof COLUMNS> => ({
      id,
      big: 2n ** 64n - 1n - BigInt(id),
      small: 7 - id,
      long: -(2n ** 63n) + BigInt(id),
      half: 0.5,
      real: 0.1,
      text: `é ' \\ \n ${id}`,
      fixed: "abcd",
      uuid: "01020304-0506-0708-090a-0b0c0d0e0f10",
      day: "2020-02-29",
      at: new Date(1_600_000_000_000 + id * 1_000),
      kind: id % 2 === 0 ? "a" : "it's",
      wide: "x",
      maybe: id % 3 === 0 ? null : `m${id}`,
      amount: "-1234567.25",
      huge: "12345678901234567890.0123456789",
      list: ["", `l${id}`],
      deep: [[], [1, null, id % 256]],
    });

    it("land in a table that is made for them, compressed, and read back as they were", async () => {
      const table = "default.old_rows";
      const { batcher, inserts, events } = await open(table, COLUMNS, {
        createTable: { orderBy: ["id"], partitionBy: "toYYYYMM(at)" },
        maxEntries: 500,
      });
      await batcher.insertMany(Array.from({ length: 1_200 }, (_, id) => rowOf(id)));
      expect(await batcher.flush()).toMatchObject({ committed: 1_200, batches: 3, attempts: 3 });
      await batcher.close();

      const show = [
        "toString(big) AS big, small, toString(long) AS long, half, real, text, fixed",
        "toString(uuid) AS uuid, toString(day) AS day, toUnixTimestamp(at) AS at, kind, wide, maybe",
        "toString(amount) AS amount, toString(huge) AS huge, list, deep",
      ].join(", ");
      const found = await run(`SELECT id, ${show} FROM ${table} ORDER BY id`);
      expect(found).toEqual(
        Array.from({ length: 1_200 }, (_, id) => {
          const { big, long, at, ...others } = rowOf(id);
          const texts = { big: `${String(big)}`, long: `${String(long)}` };
          return { ...others, ...texts, at: Number(at) / 1_000 };
        }),
      );
      expect(inserts()).toHaveLength(3);
      for (const { query, settings, encoding } of inserts()) {
        expect(query).toMatch(/ FORMAT RowBinary$/);
        expect(encoding).toBe("gzip");
        expect(settings.get("insert_deduplicate")).toBe("0");
        expect(Number(settings.get("max_insert_block_size"))).toBeGreaterThanOrEqual(500);
        expect(settings.has("insert_deduplication_token")).toBe(false);
        expect(settings.has("async_insert")).toBe(false);
      }
      const why = /is written twice: ClickHouse 18\.16\.\d+ has no insert_deduplication_token/;
      expect(events.filter(({ type }) => type === "warning")).toMatchObject([
        {
          error: {
            code: "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION",
            message: expect.stringMatching(why),
          },
        },
      ]);
    });

    it("of a batch are one part", async () => {
      const { batcher } = await open("old_parts", { id: UInt32 }, { createTable: true });
      await batcher.insertMany(Array.from({ length: 50_000 }, (_, id) => ({ id })));
      expect(await batcher.flush()).toMatchObject({ committed: 50_000, batches: 1 });
      await batcher.close();
      expect(await run("SELECT uniq(_part) AS parts FROM old_parts")).toEqual([{ parts: "1" }]);
    });
  });

  it("promises nothing about batches that are sent again, and says why", async () => {
    const { batcher } = await open("old_promise", { id: UInt32 }, { createTable: true });
    expect(await batcher.ready()).toMatchObject({
      version: expect.stringMatching(/^18\.16\./),
      engine: "MergeTree",
      format: "RowBinary",
      deduplication: "none",
      reason: expect.stringMatching(/^ClickHouse 18\.16\..* has no insert_deduplication_token/),
      windowBlocks: 0,
    });
    await batcher.close();
  });

  it("writes a batch whose answer is lost twice, as it says it does", async () => {
    const { batcher, relay: between } = await open(
      "old_twice",
      { id: UInt32 },
      { createTable: true },
    );
    await batcher.ready();
    let lost = 0;
    between.lose = ({ query }) => {
      lost += query.startsWith("INSERT") ? 1 : 0;
      return query.startsWith("INSERT") && lost === 1;
    };
    await batcher.insertMany([{ id: 1 }, { id: 2 }]);
    expect(await batcher.flush()).toMatchObject({ committed: 2, attempts: 2 });
    await batcher.close();
    expect(await run("SELECT count() AS n FROM old_twice")).toEqual([{ n: "4" }]);
  });

  it("is refused by strict, before anything is sent", async () => {
    const { batcher, inserts, letters } = await open(
      "old_strict",
      { id: UInt32 },
      { createTable: true, strict: true },
    );
    const refused = {
      code: "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION",
      message: expect.stringContaining("has no insert_deduplication_token"),
    };
    await expect(batcher.ready()).rejects.toMatchObject(refused);
    await batcher.insert({ id: 1 });
    await expect(batcher.flush()).rejects.toMatchObject({ cause: { cause: refused } });
    await batcher.close();
    expect(letters).toEqual([{ id: 1 }]);
    expect(inserts()).toEqual([]);
  });

  it.each([
    ["turns signed", "MODIFY COLUMN n Int32", /column "n": the rows write UInt32, .* has Int32/],
    ["loses a column", "DROP COLUMN n", /column "n": the rows write UInt32, .* has no such column/],
    ["wants another", "ADD COLUMN more String", /column "more": .* without a default/],
  ])("is looked at before each insert: a table that %s", async (_, change, why) => {
    const table = `old_drift_${change.split(" ", 1)[0]?.toLowerCase() ?? ""}`;
    await run(`CREATE TABLE ${table} (id UInt32, n UInt32) ENGINE = MergeTree ORDER BY id`);
    const { batcher, letters, inserts } = await open(table, { id: UInt32, n: UInt32 });
    await batcher.insert({ id: 1, n: 2 ** 32 - 1 });
    await batcher.flush();
    await run(`ALTER TABLE ${table} ${change}`);
    await batcher.insert({ id: 2, n: 2 ** 32 - 1 });
    await expect(batcher.flush()).rejects.toMatchObject({
      cause: {
        cause: { code: "SLUICE_ERR_CLICKHOUSE_SCHEMA", message: expect.stringMatching(why) },
      },
    });
    await batcher.close();
    expect(letters).toEqual([{ id: 2, n: 2 ** 32 - 1 }]);
    expect(inserts()).toHaveLength(1);
    expect(await run(`SELECT id FROM ${table}`)).toEqual([{ id: 1 }]);
  });

  it("takes all rows but the one that it refuses", async () => {
    // It knows no constraints. A column that it computes refuses what is no number.
    await run(
      "CREATE TABLE old_poison (id UInt32, text String, n UInt32 MATERIALIZED toUInt32(text)) ENGINE = MergeTree ORDER BY id",
    );
    const COUNT = 50_000;
    const { batcher, letters, inserts } = await open("old_poison", { id: UInt32, text: Text });
    const rows = Array.from({ length: COUNT }, (_, id) => ({
      id,
      text: id === 31_415 ? "it's no number" : `${id}`,
    }));
    await batcher.insertMany(rows);
    await expect(batcher.flush()).rejects.toMatchObject({
      report: { items: COUNT, committed: COUNT - 1, deadLettered: 1, unknown: 0 },
    });
    await batcher.close();
    expect(letters).toEqual([rows[31_415]]);
    expect(inserts().length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(COUNT)) + 1);
    expect(
      await run(
        "SELECT count() AS rows, uniqExact(id) AS ids, toString(sum(n - id)) AS off FROM old_poison",
      ),
    ).toEqual([{ rows: `${COUNT - 1}`, ids: `${COUNT - 1}`, off: "0" }]);
  });
});
