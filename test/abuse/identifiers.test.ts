/** 100,000 hostile names in every statement: each is refused, or stays in its quotes as that very name. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { distinct, type ErrorCode, isSluiceError, latest, list, sums } from "sluice";
import { agentMetadataDdl } from "sluice/agent-metadata";
import { clientStatsDdl } from "sluice/client-stats";
import { createRowBatcher, UInt64 } from "sluice/clickhouse";
import {
  insertRows,
  ledgerDdl,
  type PostgresSink,
  sumsDdl,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import { manualClock } from "sluice/testing";
import { createTableSql } from "../../packages/sluice/src/sinks/clickhouse/create-table.ts";
import { tableName } from "../../packages/sluice/src/sinks/clickhouse/identifiers.ts";
import { clickHouseDialect, type Dialect, postgresDialect, type Token } from "./sql-tokens.ts";
import { hostileNames } from "./hostile-names.ts";

const COUNT = 100_000;

/** A name that needs no quotes, and stands for the hostile one in what is expected. */
const PLAIN = "harmless";

const pool = { connect: async () => Promise.reject(new Error("nothing connects")) };

/** The SQL of a sink's statement for an empty batch. */
function sqlOf<Batch>(sink: PostgresSink<Batch>, batch: Batch): string {
  return sink
    .writes(batch)
    .map((write) => write.sql(1, "true", "w0"))
    .join(";");
}
const emptySums = (key: string, sum: string) =>
  sums({ key: [key], sum: [sum] })
    .accumulator()
    .seal(0).batch;
const emptySeen = distinct({ key: ["k"], last: ["at"] })
  .accumulator()
  .seal(0).batch;
const emptyKeys = distinct({ key: ["k"] })
  .accumulator()
  .seal(0).batch;
const emptyLatest = (value: string) =>
  latest({ key: ["k"], value: [value], version: "at" })
    .accumulator()
    .seal(0).batch;
const emptyList = list<object>().accumulator().seal(0).batch;

/** Each statement with a name somewhere in it. */
const POSTGRES: readonly ((name: string) => string)[] = [
  (table) => sumsDdl({ table, key: ["k"], sum: ["n"] }),
  (name) => sumsDdl({ table: "t", key: [name], sum: ["n"], last: ["at"] }),
  (name) => sumsDdl({ table: "t", key: { k: "text" }, sum: [name], updatedAt: "at" }),
  (name) => sumsDdl({ table: "t", key: ["k"], sum: [], last: [name] }),
  (updatedAt) => sumsDdl({ table: "t", key: ["k"], sum: [], updatedAt }),
  (table) => ledgerDdl(table),
  (table) => agentMetadataDdl({ table }),
  (clients) => clientStatsDdl({ clientStatistics: clients }),
  (table) => sqlOf(upsertSums(pool, { table }), emptySums("k", "n")),
  (name) => sqlOf(upsertSums(pool, { table: "t" }), emptySums(name, "n")),
  (name) => sqlOf(upsertSums(pool, { table: "t", columns: { n: name } }), emptySums("k", "n")),
  (name) => sqlOf(upsertSums(pool, { table: "t", updatedAt: name }), emptySums("k", "n")),
  (table) => sqlOf(touch(pool, { table }), emptySeen),
  (set) => sqlOf(touch(pool, { table: "t", set, whereNull: "gone" }), emptyKeys),
  (whereNull) => sqlOf(touch(pool, { table: "t", whereNull }), emptySeen),
  (table) => sqlOf(writeLatest(pool, { table, onMissing: "insert" }), emptyLatest("v")),
  (name) => sqlOf(writeLatest(pool, { table: "t" }), emptyLatest(name)),
  (table) => sqlOf(insertRows(pool, { table, columns: { id: "int" } }), emptyList),
  (name) =>
    sqlOf(
      insertRows(pool, {
        table: "t",
        columns: { [name]: "int", n: "int" },
        onConflict: "update",
        key: [name],
      }),
      emptyList,
    ),
];

/** Sends a row through a transport that only listens, and tells every statement. */
async function overheard(name: string): Promise<string> {
  const statements: string[] = [];
  const clock = manualClock();
  const rows = createRowBatcher(
    {
      query: async (sql) => {
        statements.push(sql);
        if (sql.startsWith("DESCRIBE")) return [{ name, type: "UInt64", default_type: "" }];
        return [];
      },
      command: async (sql) => void statements.push(sql),
      insert: async ({ into, structure }) =>
        void statements.push(`INSERT INTO ${into} ${structure}`),
    },
    {
      table: { table: name },
      columns: { [name]: UInt64 },
      createTable: { orderBy: [name] },
      clock,
      observe: () => undefined,
    },
  );
  rows.tryInsert({ [name]: 1 });
  const closing = rows.close();
  for (let turn = 0; turn < 20; turn += 1) await clock.settle();
  await closing;
  return statements.join(";\n");
}

/**
 * A statement with holes where a name stands. With the hostile one it must read the same around each
 * hole, and in each hole the server must see one token: that very name.
 */
function holesOf(statement: (name: string) => string, { tokens, tokenAt }: Dialect) {
  const plain = statement(PLAIN);
  const [quoted = ""] = /["`]harmless["`]/.exec(plain) ?? [];
  const around = plain.split(quoted);
  expect(tokens(plain).filter((token) => "name" in token && token.name === PLAIN).length).toBe(
    around.length - 1,
  );
  return {
    holes: around.length - 1,
    /** What is wrong with the statement: undefined if nothing is. */
    faultOf: (sql: string, names: readonly string[]): string | undefined => {
      let at = 0;
      for (const [index, text] of around.entries()) {
        for (const [part, name] of index === 0 ? [] : names.entries()) {
          if (part > 0 && sql[at++] !== ".") return "no dot between the parts of a name";
          const { token, end } = tokenAt(sql, at);
          if (token === undefined || !("name" in token) || token.name !== name) {
            return `${JSON.stringify(token)} at ${at}`;
          }
          at = end;
        }
        if (!sql.startsWith(text, at)) return `not what was expected at ${at}`;
        at += text.length;
      }
      return at === sql.length ? undefined : `more than was expected at ${at}`;
    },
  };
}

/** What a statement throws is a refusal by this code, which says what was received. */
function checkRefusal(code: ErrorCode, error: unknown): void {
  if (isSluiceError(error) && error.code === code && error.message.includes("; received ")) return;
  expect.fail(`not refused as ${code}: ${String(error)}`);
}

describe(`${COUNT} hostile names`, () => {
  // A trace for each of so many refusals would take longer than all the rest.
  const { stackTraceLimit } = Error;
  beforeAll(() => {
    Error.stackTraceLimit = 0;
  });
  afterAll(() => {
    Error.stackTraceLimit = stackTraceLimit;
  });

  it("never leave their quotes in a statement to PostgreSQL", () => {
    const statements = POSTGRES.map((make) => ({ make, ...holesOf(make, postgresDialect) }));
    const taken = new Set<string>();
    let n = 0;
    for (const name of hostileNames(COUNT)) {
      const { make, faultOf } = statements[n++ % statements.length] ?? expect.fail("no statement");
      let sql: string;
      try {
        sql = make(name);
      } catch (error) {
        checkRefusal("SLUICE_ERR_POSTGRES_IDENTIFIER", error);
        continue;
      }
      taken.add(name);
      const fault = faultOf(sql, name.split("."));
      if (fault !== undefined) expect.fail(`${JSON.stringify(name)}: ${fault} in ${sql}`);
    }
    expect(taken.size).toBeGreaterThan(20_000);
    // The server would cut a longer name, to that of another table.
    const parts = [...taken].flatMap((name) => name.split("."));
    expect(Math.max(...parts.map((part) => Buffer.byteLength(part)))).toBe(63);
  });

  it("never leave their quotes in a statement to ClickHouse", () => {
    const make = (name: string): string =>
      createTableSql(
        tableName("table", { database: name, table: name }),
        [{ name, type: "UInt64" }],
        { orderBy: [name] },
        true,
      );
    const { holes, faultOf } = holesOf(make, clickHouseDialect);
    expect(holes).toBe(4);
    let taken = 0;
    for (const name of hostileNames(COUNT)) {
      let sql: string;
      try {
        sql = make(name);
      } catch (error) {
        expect(name.isWellFormed() && !name.includes("\0")).toBe(false);
        checkRefusal("SLUICE_ERR_CLICKHOUSE_IDENTIFIER", error);
        continue;
      }
      taken += 1;
      const fault = faultOf(sql, [name]);
      if (fault !== undefined) expect.fail(`${JSON.stringify(name)}: ${fault} in ${sql}`);
    }
    expect(taken).toBeGreaterThan(80_000);
  });

  it("nor in any that a batcher of rows sends: some hundred of them", async () => {
    /** All that is sent, with the name as the plain one where it is a name, or a text. */
    const sent = async (name: string): Promise<readonly Token[]> =>
      clickHouseDialect.tokens(await overheard(name)).map((token) => {
        if ("name" in token && token.name === name) return { name: PLAIN };
        return "value" in token && token.value === name ? { value: PLAIN } : token;
      });
    const expected = await sent(PLAIN);
    for (const name of hostileNames(300, 2)) {
      if (!name.isWellFormed() || name.includes("\0")) continue;
      expect(await sent(name), JSON.stringify(name)).toEqual(expected);
    }
  });
});
