/** Rows land once, also in the tables that materialized views fill, whatever becomes of the answers. */
import { describe, expect, it } from "vitest";
import { isSluiceError, type SluiceEvent } from "sluice";
import {
  chdbTransport,
  createRowBatcher,
  Int64,
  LowCardinality,
  type RowBatcherOptions,
  String,
  type TransportLike,
  UInt64,
} from "sluice/clickhouse";
import { openChdb } from "./chdb.ts";
import { openClickHouseFace } from "./clickhouse-face.ts";
import { connectWriter, type Gate, gate, type Loss, lossy } from "./clickhouse-faults.ts";

const chdb = openChdb();

const COLUMNS = { id: UInt64, client: LowCardinality(String), amount: Int64 };
const ROWS_PER_BATCH = 5;
const LANES = 4;
const row = (id: number): { id: number; client: string; amount: number } => ({
  id,
  client: `client-${id % 7}`,
  amount: (id % 1_000) - 300,
});

let tables = 0;
/** A table and the table that a view fills from it, each with a window or without. */
const freshTable = async (
  windows: { readonly window?: number; readonly views?: number } = {},
): Promise<string> => {
  const { window = 10_000, views = window } = windows;
  tables += 1;
  const name = `events${tables}`;
  // With a part for each insert the server would slow inserts down, and in the end refuse them.
  const remembering = (blocks: number): string =>
    `SETTINGS non_replicated_deduplication_window = ${blocks}, parts_to_delay_insert = 100000, parts_to_throw_insert = 100000`;
  await chdb.query(
    `CREATE TABLE ${name} (id UInt64, client LowCardinality(String), amount Int64) ENGINE = MergeTree ORDER BY id ${remembering(window)}`,
  );
  await chdb.query(
    `CREATE TABLE ${name}_sums (client String, n UInt64, amount Int64) ENGINE = SummingMergeTree ORDER BY client ${remembering(views)}`,
  );
  await chdb.query(
    `CREATE MATERIALIZED VIEW ${name}_view TO ${name}_sums AS SELECT client, count() AS n, sum(amount) AS amount FROM ${name} GROUP BY client`,
  );
  await chdb.query(`SYSTEM STOP MERGES ${name}`); // one part stays one insert
  await chdb.query(`SYSTEM STOP MERGES ${name}_sums`);
  return name;
};

/** What the table and the view's table hold. */
const held = async (name: string) => {
  const [table] = await chdb.query(
    `SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(id)) AS ids, toInt32(sum(amount)) AS amount, toUInt32(uniqExact(_part)) AS parts FROM ${name}`,
  );
  const [view] = await chdb.query(
    `SELECT toUInt32(sum(n)) AS rows, toInt32(sum(amount)) AS amount FROM ${name}_sums`,
  );
  return { table, view };
};

const totals = (rows: number) => {
  const amount = Array.from({ length: rows }, (_, id) => row(id).amount).reduce((a, b) => a + b);
  return { rows, amount };
};

/** What the first attempt at a batch suffers; every attempt after it gets through. */
type Fault = "drop-after" | "drop-before" | "zombie";

interface Plan {
  /** What this attempt suffers. An attempt that comes too late is decided when it may go on. */
  meet(token: string): Promise<Fault | undefined>;
  /** How often each fault struck. */
  readonly struck: Record<Fault, number>;
  /** Lets everything go on that is held back. */
  release(): void;
}

/** Of 55 batches 50 lose their answer, 4 never arrive, and 1 arrives after it has been sent again. */
const planOf = (): Plan => {
  const gates = new Map<string, Gate>();
  const seen = new Set<string>();
  const struck = { "drop-after": 0, "drop-before": 0, zombie: 0 };
  return {
    struck,
    release: () => {
      for (const { open } of gates.values()) open();
    },
    meet: async (token) => {
      if (seen.has(token)) {
        // Half of the late ones meet the next attempt; the others come when all is over.
        if (struck.zombie % 2 === 0) gates.get(token)?.open();
        return undefined;
      }
      seen.add(token);
      const fault =
        seen.size % 55 === 0 ? "zombie" : seen.size % 11 === 0 ? "drop-before" : "drop-after";
      struck[fault] += 1;
      if (fault !== "zombie") return fault;
      const late = gate();
      gates.set(token, late);
      await late.opened;
      return fault;
    },
  };
};

type Options = Partial<RowBatcherOptions<typeof COLUMNS>>;

const batcherOf = (client: TransportLike, table: string, options: Options = {}) =>
  createRowBatcher(client, {
    table,
    columns: COLUMNS,
    lanes: LANES,
    maxEntries: ROWS_PER_BATCH,
    maxDelayMs: 0,
    writeTimeoutMs: 1_000,
    closeTimeoutMs: 300_000,
    retry: { baseDelayMs: 1, maxDelayMs: 5, circuitAfter: 100_000 },
    ...options,
  });

/** Writes so many batches of rows that all differ, and closes. */
const writeAll = async (
  client: TransportLike,
  table: string,
  batches: number,
  options: Options = {},
) => {
  const batcher = batcherOf(client, table, options);
  for (let id = 0; id < batches * ROWS_PER_BATCH; id += 1) {
    expect(batcher.tryInsert(row(id))).toBe(true);
  }
  const { stats } = await batcher.close();
  return stats;
};

const BATCHES = 1_100;
const FAULTS = { "drop-after": 1_000, "drop-before": 80, zombie: 20 };
/** The same shares of fewer: in the process no network can lose anything of its own. */
const FEWER = { batches: 220, faults: { "drop-after": 200, "drop-before": 16, zombie: 4 } };

/** A face under the plan; without tokens it knows a batch by its bytes. */
const faceUnderPlan = async () => {
  const face = await openClickHouseFace(chdb);
  const plan = planOf();
  face.fault = async ({ query, settings, body }) => {
    if (!query.startsWith("INSERT")) return undefined;
    const fault = await plan.meet(
      settings["insert_deduplication_token"] ?? body.toString("latin1"),
    );
    return fault === "zombie" ? undefined : fault;
  };
  return { face, plan };
};

describe("through the official client", () => {
  it("1,000 inserts whose answer is lost land once, in the table and in its view", {
    timeout: 320_000,
  }, async () => {
    const name = await freshTable();
    const { face, plan } = await faceUnderPlan();
    const stats = await writeAll(connectWriter(face), name, BATCHES);
    plan.release();
    await face.close();

    const { rows, amount } = totals(BATCHES * ROWS_PER_BATCH);
    expect(stats).toMatchObject({
      accepted: rows,
      committed: rows,
      unknown: 0,
      batches: BATCHES,
    });
    expect(stats.retries).toBeGreaterThanOrEqual(BATCHES);
    expect(plan.struck).toEqual(FAULTS);
    expect(await held(name)).toEqual({
      table: { rows, ids: rows, amount, parts: BATCHES },
      view: { rows, amount },
    });

    const inserts = face.requests.filter(({ query }) => query.startsWith("INSERT"));
    const bodies = new Map<string, Set<string>>();
    for (const { settings, body, query } of inserts) {
      expect(query).toMatch(/ FORMAT RowBinaryWithNamesAndTypes$/);
      expect(settings).toMatchObject({
        async_insert: "0",
        insert_deduplicate: "1",
        deduplicate_insert: "enable",
        deduplicate_blocks_in_dependent_materialized_views: "1",
        materialized_views_ignore_errors: "0",
        min_insert_block_size_bytes: "0",
        max_insert_block_size_bytes: "0",
        input_format_parallel_parsing: "0",
        max_insert_threads: "1",
      });
      for (const limit of ["max_insert_block_size", "min_insert_block_size_rows"]) {
        expect(Number(settings[limit])).toBeGreaterThanOrEqual(rows);
      }
      const token = settings["insert_deduplication_token"] ?? "";
      bodies.set(token, (bodies.get(token) ?? new Set()).add(body.toString("latin1")));
    }
    // A token is one batch's alone, and the batch is the same on every attempt.
    expect(bodies.size).toBe(BATCHES);
    expect([...bodies.values()].filter(({ size }) => size !== 1)).toEqual([]);
    expect(new Set([...bodies.values()].flatMap((body) => [...body])).size).toBe(BATCHES);
    expect(inserts.length).toBeGreaterThanOrEqual(2 * BATCHES);
  });

  it("without a window the same faults write rows twice, and that is said once", async () => {
    const name = await freshTable({ window: 0 });
    const { face, plan } = await faceUnderPlan();
    const warnings: unknown[] = [];
    const stats = await writeAll(connectWriter(face), name, 60, {
      observe: (event) => {
        if (event.type === "warning") warnings.push(event.error);
      },
    });
    plan.release();
    await face.close();
    const ids = 60 * ROWS_PER_BATCH;
    expect(stats).toMatchObject({ accepted: ids, committed: ids, unknown: 0 });
    expect(plan.struck).toEqual({ "drop-after": 55, "drop-before": 4, zombie: 1 });
    // The 55 whose answer was lost, and the one that came late.
    const { table, view } = await held(name);
    expect(table).toMatchObject({ ids });
    expect(table?.["rows"]).toBeGreaterThanOrEqual(ids + 56 * ROWS_PER_BATCH);
    expect(view?.["rows"]).toBe(table?.["rows"]);
    const inserts = face.requests.filter(({ query }) => query.startsWith("INSERT"));
    for (const { settings } of inserts) {
      expect(settings).toMatchObject({ async_insert: "0", insert_deduplicate: "0" });
      expect(settings).not.toHaveProperty("insert_deduplication_token");
    }
    expect(warnings).toMatchObject([
      {
        code: "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION",
        message: expect.stringMatching(
          new RegExp(
            `^table "${name}": a batch that is sent again is written twice: .*= 0; remedy: `,
          ),
        ),
      },
    ]);
  });

  it("two batches of the same bytes are both there, though both answers are lost", async () => {
    const name = await freshTable();
    const { face, plan } = await faceUnderPlan();
    const batcher = batcherOf(connectWriter(face), name, { lanes: 1 });
    for (let time = 0; time < 2; time += 1) {
      await batcher.insertMany([1, 2, 3].map(row));
      expect(await batcher.flush()).toMatchObject({ committed: 3, attempts: 2 });
    }
    await batcher.close();
    await face.close();
    expect(plan.struck).toMatchObject({ "drop-after": 2 });
    const inserts = face.requests.filter(({ query }) => query.startsWith("INSERT"));
    expect(new Set(inserts.map(({ body }) => body.toString("latin1"))).size).toBe(1);
    expect(await held(name)).toMatchObject({
      table: { rows: 6, ids: 3, parts: 2 },
      view: { rows: 6, amount: 2 * (row(1).amount + row(2).amount + row(3).amount) },
    });
  });
});

describe("within the process", () => {
  it("200 inserts whose answer is lost land once, in the table and in its view", async () => {
    const { batches, faults } = FEWER;
    const name = await freshTable();
    const plan = planOf();
    const transport = lossy(chdbTransport(chdb.session), async ({ settings }): Promise<Loss> => {
      const fault = await plan.meet(`${settings["insert_deduplication_token"]}`);
      return fault === "drop-after" ? "after" : fault === "drop-before" ? "before" : undefined;
    });
    const stats = await writeAll(transport, name, batches);
    plan.release();
    await transport.settled();
    const { rows, amount } = totals(batches * ROWS_PER_BATCH);
    expect(stats).toMatchObject({ accepted: rows, committed: rows, unknown: 0 });
    expect(plan.struck).toEqual(faults);
    expect(await held(name)).toEqual({
      table: { rows, ids: rows, amount, parts: batches },
      view: { rows, amount },
    });
  });

  it("a view's table without a window counts twice, and is named", async () => {
    const name = await freshTable({ views: 0 });
    const warnings: unknown[] = [];
    const transport = lossy(chdbTransport(chdb.session), () =>
      transport.inserts.length === 1 ? "after" : undefined,
    );
    await writeAll(transport, name, 1, {
      lanes: 1,
      observe: (event) => {
        if (event.type === "warning") warnings.push(event.error);
      },
    });
    expect(await held(name)).toMatchObject({ table: { rows: 5 }, view: { rows: 10 } });
    expect(warnings).toMatchObject([
      { message: expect.stringContaining(`does not count exactly once in "default.${name}_sums"`) },
    ]);
  });
});

describe("strict", () => {
  it.each([
    ["the table", { window: 0 }, /is written twice: MergeTree with .* = 0; remedy: ALTER TABLE/],
    ["a view's table", { views: 0 }, /does not count exactly once in "default\.events\d+_sums"/],
  ])("refuses to write where %s has no window, and tells every caller", async (_, of, why) => {
    const name = await freshTable(of);
    const letters: unknown[] = [];
    const events: SluiceEvent[] = [];
    const transport = lossy(chdbTransport(chdb.session), () => undefined);
    const batcher = batcherOf(transport, name, {
      strict: true,
      lanes: 1,
      deadLetter: ({ entry }) => letters.push(entry),
      observe: (event) => events.push(event),
    });
    const refused = {
      code: "SLUICE_ERR_CLICKHOUSE_DEDUPLICATION",
      message: expect.stringMatching(why),
    };
    await expect(batcher.ready()).rejects.toMatchObject(refused);
    const delivered = [1, 2].map((id) => batcher.deliver(row(id)));
    for (const one of delivered) {
      await expect(one).rejects.toMatchObject({
        code: "SLUICE_ERR_DELIVERY_REJECTED",
        cause: refused,
      });
    }
    await batcher.insert(row(3));
    const flushed: unknown = await batcher.flush().catch((error: unknown) => error);
    expect(isSluiceError(flushed) && flushed.code).toBe("SLUICE_ERR_FLUSH_INCOMPLETE");
    await batcher.close();
    expect(transport.inserts).toEqual([]);
    expect(events.filter(({ type }) => type === "bisected")).toEqual([]);
    expect(letters).toEqual(
      [1, 2, 3].map((id) => ({ ...row(id), id: BigInt(id), amount: BigInt(row(id).amount) })),
    );
    expect(await held(name)).toMatchObject({ table: { rows: 0 } });
  });

  it("writes again once the table has been given its window", async () => {
    const name = await freshTable({ window: 0, views: 10_000 });
    const batcher = batcherOf(chdb.session, name, { strict: true });
    await expect(batcher.ready()).rejects.toThrow("remedy: ALTER TABLE");
    await chdb.query(
      `ALTER TABLE ${name} MODIFY SETTING non_replicated_deduplication_window = 10000`,
    );
    expect(await batcher.ready()).toMatchObject({ deduplication: "token", windowBlocks: 10_000 });
    await batcher.deliver(row(1));
    await batcher.close();
    expect(await held(name)).toMatchObject({ table: { rows: 1 } });
  });
});
