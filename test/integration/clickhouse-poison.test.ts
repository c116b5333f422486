/** A bad row never takes its batch down, and a batch that may have landed is never taken apart. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { DeadLetter, SluiceEvent } from "sluice";
import {
  Array as ArrayOf,
  createRowBatcher,
  type DecodedRow,
  JSON as JsonOf,
  LowCardinality,
  Nullable,
  type RowBatcherOptions,
  String,
  UInt32,
} from "sluice/clickhouse";
import { manualClock } from "sluice/testing";
import { openChdb } from "./chdb.ts";
import { type ClickHouseFace, openClickHouseFace } from "./clickhouse-face.ts";
import { connectWriter, gate } from "./clickhouse-faults.ts";

const chdb = openChdb();

const COLUMNS = {
  id: UInt32,
  value: UInt32,
  name: LowCardinality(String),
  note: Nullable(String),
  tags: ArrayOf(String),
};
type Row = DecodedRow<typeof COLUMNS>;
const LIMIT = 1_000_000;

const rowsOf = (count: number, bad: readonly number[] = []): Row[] =>
  Array.from({ length: count }, (_, id) => ({
    id,
    value: bad.includes(id) ? LIMIT + id : id,
    name: `name-${id % 10}`,
    note: id % 2 === 0 ? null : `note ${id}`,
    tags: id % 3 === 0 ? [] : [`t${id}`, "é"],
  }));

// A database as servers have them: chDB's own does not tell when a table was changed.
beforeAll(() => chdb.query("CREATE DATABASE kept ENGINE = Atomic"));

let tables = 0;
const freshTable = async (more = "", partitionBy = "tuple()"): Promise<string> => {
  tables += 1;
  const name = `kept.events${tables}`;
  await chdb.query(
    `CREATE TABLE ${name} (id UInt32, value UInt32, name LowCardinality(String), note Nullable(String), tags Array(String)${more}) ENGINE = MergeTree PARTITION BY ${partitionBy} ORDER BY id SETTINGS non_replicated_deduplication_window = 10000`,
  );
  await chdb.query(`SYSTEM STOP MERGES ${name}`);
  return name;
};
const GUARDED = `, CONSTRAINT small CHECK value < ${LIMIT}`;

const held = async (name: string) => {
  const [row] = await chdb.query(
    `SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(id)) AS ids, toUInt32(max(value)) AS most FROM ${name}`,
  );
  return row;
};

let face: ClickHouseFace | undefined;
afterEach(() => face?.close());

/** A batcher that writes to a face of its own. */
const open = async (table: string, options: Partial<RowBatcherOptions<typeof COLUMNS>> = {}) => {
  const opened = await openClickHouseFace(chdb);
  face = opened;
  const letters: DeadLetter<Row>[] = [];
  const events: SluiceEvent[] = [];
  const batcher = createRowBatcher(connectWriter(opened), {
    table,
    columns: COLUMNS,
    retry: { baseDelayMs: 1, maxDelayMs: 5, circuitAfter: 100_000 },
    closeTimeoutMs: 60_000,
    deadLetter: (letter) => letters.push(letter),
    ...options,
    observe: (event) => {
      events.push(event);
      options.observe?.(event);
    },
  });
  /** The inserts, each with its token and how long its rows are. */
  const inserts = () =>
    opened.requests
      .filter(({ query }) => query.startsWith("INSERT"))
      .map(({ settings, body }) => {
        const token = settings["insert_deduplication_token"] ?? "none";
        return { token, part: token.split(":")[4], bytes: body.length, body };
      });
  return { face: opened, batcher, letters, events, inserts };
};

describe("one bad row among 50,000", () => {
  const COUNT = 50_000;
  it.each([
    ["first", 0],
    ["in the middle", 24_999],
    ["last", COUNT - 1],
  ])("%s: the others land once, and it comes back as it was", async (_, bad) => {
    const name = await freshTable(GUARDED);
    const { batcher, letters, inserts } = await open(name);
    const rows = rowsOf(COUNT, [bad]);
    await batcher.insertMany(rows);
    await expect(batcher.flush()).rejects.toMatchObject({
      code: "SLUICE_ERR_FLUSH_INCOMPLETE",
      report: { items: COUNT, committed: COUNT - 1, deadLettered: 1, unknown: 0, batches: 1 },
    });
    await batcher.close();
    expect(letters).toMatchObject([{ items: 1, outcome: "rejected", cause: { code: "469" } }]);
    expect(letters[0]?.entry).toEqual(rows[bad]);
    expect(await held(name)).toMatchObject({ rows: COUNT - 1, ids: COUNT - 1 });
    expect(await chdb.query(`SELECT id FROM ${name} WHERE id = ${bad}`)).toEqual([]);
    const sent = inserts();
    expect(sent.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(COUNT)) + 1);
    expect(new Set(sent.map(({ token }) => token)).size).toBe(sent.length);
    expect(sent.slice(0, 2).map(({ part }) => part)).toEqual([undefined, "0"]);
  });

  it("and with three of them, all three come back and all others land", async () => {
    const name = await freshTable(GUARDED);
    const { batcher, letters, inserts } = await open(name);
    const bad = [7, 8, 40_000];
    const rows = rowsOf(COUNT, bad);
    const [first, ...others] = bad.map((id) => {
      return { of: id, row: rows[id] };
    });
    await batcher.insertMany(rows);
    await batcher.close();
    expect(letters.map(({ entry }) => entry)).toEqual([first, ...others].map((one) => one?.row));
    expect(batcher.stats()).toMatchObject({ committed: COUNT - 3, deadLettered: 3, unknown: 0 });
    expect(await held(name)).toMatchObject({ rows: COUNT - 3, ids: COUNT - 3 });
    expect(new Set(inserts().map(({ token }) => token)).size).toBe(inserts().length);
  });
});

describe("a bad row whose own words look like the server's", () => {
  it.each([
    "Ford (USA)",
    "it's: while pushing to view default.v. (X)",
    "Code: 60. DB::Exception: (UNKNOWN_TABLE) \n",
    "Type of 'a' must be Int8 (INCORRECT_DATA)",
  ])("%j: the others land once, through client and process", async (note) => {
    for (const by of ["client", "process"]) {
      const name = await freshTable(", CONSTRAINT short CHECK length(ifNull(note, '')) < 10");
      const opened = await open(name, { deliveryTimeoutMs: 30_000, writeTimeoutMs: 30_000 });
      const letters: Row[] = [];
      const batcher =
        by === "client"
          ? opened.batcher
          : createRowBatcher(chdb.session, {
              table: name,
              columns: COLUMNS,
              deliveryTimeoutMs: 30_000,
              deadLetter: ({ entry }) => letters.push(entry),
            });
      const rows = rowsOf(10).map((row) => (row.id === 4 ? { ...row, note } : row));
      await batcher.insertMany(rows);
      await expect(batcher.flush()).rejects.toMatchObject({
        report: { committed: 9, deadLettered: 1, unknown: 0 },
      });
      await batcher.close();
      const told = by === "client" ? opened.letters.map(({ entry }) => entry) : letters;
      expect(told).toEqual([rows[4]]);
      expect(await held(name)).toMatchObject({ rows: 9, ids: 9 });
      await opened.batcher.close();
      await opened.face.close();
    }
  });
});

describe("a bad value of JSON, which the server shows as it is", () => {
  it.each([
    [[": while pushing to view default.v"]],
    [["Type of 'a' must be Int8 (while reading header)"]],
    [["(INCORRECT_DATA)", ": while pushing to view default.v"]],
  ])("%j: the others land once, through client and process", async (bad) => {
    for (const by of ["client", "process"]) {
      tables += 1;
      const table = `events${tables}`;
      await chdb.query(
        `CREATE TABLE ${table} (id UInt32, data JSON) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10000`,
      );
      const opened = await openClickHouseFace(chdb);
      face = opened;
      const letters: unknown[] = [];
      const batcher = createRowBatcher(by === "client" ? connectWriter(opened) : chdb.session, {
        table,
        columns: { id: UInt32, data: JsonOf },
        deliveryTimeoutMs: 30_000,
        writeTimeoutMs: 30_000,
        deadLetter: ({ entry }) => letters.push(entry),
      });
      const rows = Array.from({ length: 8 }, (_, id) => ({ id, data: id === 5 ? bad : { id } }));
      await batcher.insertMany(rows);
      await expect(batcher.flush()).rejects.toMatchObject({
        report: { committed: 7, deadLettered: 1, unknown: 0 },
      });
      await batcher.close();
      expect(letters).toEqual([rows[5]]);
      const [held] = await chdb.query(`SELECT groupArray(id) AS ids FROM ${table}`);
      expect(held?.["ids"]).toHaveLength(7);
      await opened.close();
    }
  });
});

describe("a bad row and lost answers", () => {
  it("no part lands twice, though the first answer to each is lost", async () => {
    const name = await freshTable(GUARDED);
    const { batcher, face: faulty, letters, inserts } = await open(name);
    const seen = new Set<string>();
    faulty.fault = ({ query, settings }) => {
      if (!query.startsWith("INSERT")) return undefined;
      const token = settings["insert_deduplication_token"] ?? "";
      if (seen.has(token)) return undefined;
      seen.add(token);
      return "drop-after";
    };
    const rows = rowsOf(1_000, [333]);
    await batcher.insertMany(rows);
    await batcher.close();
    expect(letters.map(({ entry }) => entry)).toEqual([rows[333]]);
    expect(batcher.stats()).toMatchObject({ committed: 999, deadLettered: 1, unknown: 0 });
    expect(await held(name)).toMatchObject({ rows: 999, ids: 999 });
    // Whatever was lost was sent once more, whole, before anything became of it.
    const sent = inserts();
    expect(sent).toHaveLength(2 * seen.size);
    for (let at = 0; at < sent.length; at += 2) expect(sent[at]).toEqual(sent[at + 1]);
  });

  it("a batch that landed unheard is not taken apart by a refusal that may have other reasons", async () => {
    const name = await freshTable();
    const clock = manualClock();
    const {
      batcher,
      face: faulty,
      events,
      inserts,
    } = await open(name, {
      clock,
      observe: (event) => {
        if (event.type === "retried") void clock.advance(event.delayMs);
      },
    });
    const memory = "Query memory limit exceeded: would use 9.00 GiB. (MEMORY_LIMIT_EXCEEDED)";
    faulty.fault = ({ query }) => {
      if (!query.startsWith("INSERT")) return undefined;
      const n = inserts().length;
      return n === 1
        ? "drop-after"
        : n === 2
          ? { status: 500, code: 241, message: memory }
          : undefined;
    };
    await batcher.insertMany(rowsOf(100));
    expect(await batcher.flush()).toMatchObject({ committed: 100, attempts: 3 });
    await batcher.close();
    const sent = inserts();
    expect(sent).toHaveLength(3);
    expect(new Set(sent.map(({ token, bytes }) => `${token} ${bytes}`)).size).toBe(1);
    expect(events.filter(({ type }) => type === "bisected")).toEqual([]);
    expect(await held(name)).toMatchObject({ rows: 100, ids: 100 });
  });
});

describe("a materialized view whose table refuses a row", () => {
  const withView = async (): Promise<string> => {
    const name = await freshTable();
    await chdb.query(
      `CREATE TABLE ${name}_copy (id UInt32, value UInt32, CONSTRAINT small CHECK value < ${LIMIT}) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10000`,
    );
    await chdb.query(
      `CREATE MATERIALIZED VIEW ${name}_view TO ${name}_copy AS SELECT id, value FROM ${name}`,
    );
    return name;
  };

  /** Writes 100 rows of which the view refuses one; resolves at the third attempt. */
  const refused = async (name: string) => {
    const third = gate();
    const all = await open(name, {
      deliveryTimeoutMs: Infinity,
      observe: (event) => {
        if (event.type === "retried" && event.attempt === 3) third.open();
      },
    });
    await all.batcher.insertMany(rowsOf(100, [50]));
    const flushed = all.batcher.flush().then(
      (stats) => stats,
      (error: unknown) => error,
    );
    await third.opened;
    return { ...all, flushed };
  };

  it("is sent whole again, never in halves, and unknown in the end", async () => {
    const name = await withView();
    const { batcher, letters, events, inserts } = await refused(name);
    expect(await batcher.close({ timeoutMs: 0 })).toMatchObject({
      committed: 0,
      rejected: 0,
      unknown: 100,
    });
    expect(letters).toEqual([]);
    expect(new Set(inserts().map(({ token, bytes }) => `${token} ${bytes}`)).size).toBe(1);
    expect(inserts().length).toBeGreaterThanOrEqual(3);
    const [retried] = events.filter(({ type }) => type === "retried");
    expect(retried).toMatchObject({
      ambiguous: true,
      error: { message: expect.stringContaining("while pushing to view") },
    });
    expect(await held(name)).toMatchObject({ rows: 100, ids: 100 });
  });

  it("lands once in both tables when the view is mended", async () => {
    const name = await withView();
    const { batcher, flushed } = await refused(name);
    await chdb.query(`ALTER TABLE ${name}_copy DROP CONSTRAINT small`);
    expect(await flushed).toMatchObject({ committed: 100, unknown: 0 });
    await batcher.close();
    expect(await held(name)).toMatchObject({ rows: 100, ids: 100 });
    expect(await held(`${name}_copy`)).toMatchObject({ rows: 100, ids: 100 });
  });
});

describe("the same code, another meaning", () => {
  const isInsert = ({ query }: { readonly query: string }): boolean => query.startsWith("INSERT");

  it("252: a batch with too many partitions lands in halves", async () => {
    const name = await freshTable("", "id");
    const { batcher, letters, inserts } = await open(name, {
      settings: { max_partitions_per_insert_block: 10 },
    });
    await batcher.insertMany(rowsOf(64));
    expect(await batcher.flush()).toMatchObject({ committed: 64, deadLettered: 0 });
    await batcher.close();
    expect(letters).toEqual([]);
    expect(await held(name)).toMatchObject({ rows: 64, ids: 64 });
    expect(inserts()).toHaveLength(1 + 2 + 4 + 8);
    expect(new Set(inserts().map(({ token }) => token)).size).toBe(15);
  });

  it.each([
    [
      "252: a table with too many parts is left alone, and sent the whole batch again",
      252,
      "Too many parts (3000). Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)",
      5_000,
    ],
    [
      "241: a server without memory is sent the whole batch again, after a pause",
      241,
      "(total) memory limit exceeded: would use 62.00 GiB. (MEMORY_LIMIT_EXCEEDED)",
      1_000,
    ],
  ])("%s", async (_, code, message, pauseMs) => {
    const name = await freshTable();
    const clock = manualClock();
    const pauses: number[] = [];
    const {
      batcher,
      face: faulty,
      letters,
      inserts,
    } = await open(name, {
      clock,
      observe: (event) => {
        if (event.type !== "retried") return;
        pauses.push(event.delayMs);
        void clock.advance(event.delayMs);
      },
    });
    faulty.fault = (request) =>
      isInsert(request) && inserts().length <= 2 ? { status: 500, code, message } : undefined;
    await batcher.insertMany(rowsOf(100));
    expect(await batcher.flush()).toMatchObject({ committed: 100, attempts: 3 });
    await batcher.close();
    expect(letters).toEqual([]);
    expect(pauses).toEqual([pauseMs, pauseMs]);
    expect(new Set(inserts().map(({ token, bytes }) => `${token} ${bytes}`)).size).toBe(1);
    expect(await held(name)).toMatchObject({ rows: 100, ids: 100 });
  });

  it("241: a batch that is too large for one query lands in halves", async () => {
    const name = await freshTable();
    const { batcher, face: faulty, inserts, events } = await open(name);
    const whole = 600;
    faulty.fault = (request) =>
      isInsert(request) && request.body.length > whole
        ? {
            status: 500,
            code: 241,
            message: "Query memory limit exceeded: would use 9.00 GiB. (MEMORY_LIMIT_EXCEEDED)",
          }
        : undefined;
    await batcher.insertMany(rowsOf(100));
    expect(await batcher.flush()).toMatchObject({ committed: 100, deadLettered: 0 });
    await batcher.close();
    expect(events.filter(({ type }) => type === "bisected")).toHaveLength(1);
    expect(inserts().length).toBeGreaterThan(3);
    expect(await held(name)).toMatchObject({ rows: 100, ids: 100 });
  });
});

describe("a bad row in a table of many partitions", () => {
  it.each([
    ["a sorting key", "ORDER BY toUInt32(name)"],
    ["an index", "ORDER BY id"],
  ])("that %s cannot take: nothing lands twice", async (what, order) => {
    tables += 1;
    const name = `events${tables}`;
    const index = what === "an index" ? ", INDEX i toUInt32(name) TYPE minmax" : "";
    await chdb.query(
      `CREATE TABLE ${name} (id UInt32, value UInt32, name LowCardinality(String), note Nullable(String), tags Array(String)${index}) ENGINE = MergeTree PARTITION BY id % 10 ${order} SETTINGS non_replicated_deduplication_window = 10000`,
    );
    const { batcher, letters } = await open(name);
    const rows = rowsOf(100).map((row) => ({ ...row, name: row.id === 77 ? "bad" : "7" }));
    await batcher.insertMany(rows);
    await batcher.close();
    expect(letters.map(({ entry }) => entry)).toEqual([rows[77]]);
    expect(await held(name)).toMatchObject({ rows: 99, ids: 99 });
  });
});

describe("a constraint that comes between a lost answer and the next attempt", () => {
  it("takes nothing apart: the rows may be there", async () => {
    const name = await freshTable();
    const { batcher, face: faulty, inserts } = await open(name, { deliveryTimeoutMs: 1_000 });
    faulty.fault = async ({ query }) => {
      if (!query.startsWith("INSERT")) return undefined;
      const n = inserts().length;
      if (n === 1) return "drop-after";
      if (n === 2) await chdb.query(`ALTER TABLE ${name} ADD CONSTRAINT small CHECK value < 10`);
      return undefined;
    };
    await batcher.insertMany(rowsOf(20));
    await expect(batcher.flush()).rejects.toMatchObject({ report: { unknown: 20 } });
    await batcher.close();
    expect(new Set(inserts().map(({ token }) => token)).size).toBe(1);
    expect(await held(name)).toMatchObject({ rows: 20, ids: 20 });
  });
});
