/** Keys, fields and columns that every object has already: what is added is what is read. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  calls,
  createBatcher,
  createCoalescer,
  type DeadLetter,
  distinct,
  latest,
  list,
  type Shape,
  sums,
} from "sluice";
import { createRowBatcher, String as Text, UInt64 } from "sluice/clickhouse";
import {
  insertRows,
  migrate,
  type PostgresSink,
  sumsDdl,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import { packTexts, unpackTexts } from "sluice/pubsub";
import { openChdb } from "./chdb.ts";
import { connectors, type Eye, freshDatabase, openEye } from "./database.ts";

const KEYS = [
  ...Object.getOwnPropertyNames(Object.prototype),
  "prototype",
  "then",
  "toJSON",
  "length",
  "0",
  "-1",
  "NaN",
  "null",
  "undefined",
  "[object Object]",
  "",
  " ",
  "\t\n",
  "é",
  "e\u0301",
  "🙂",
  "k".repeat(1_024),
];

const PROTOTYPE = Reflect.ownKeys(Object.prototype);
const untouched = (): void => {
  expect(Reflect.ownKeys(Object.prototype)).toEqual(PROTOTYPE);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
};

/** An object with these very fields, `__proto__` among them. */
const item = <T>(...fields: readonly (readonly [string, unknown])[]): T =>
  Object.fromEntries(fields) as T;

describe.each(["pg", "postgres"] as const)("through PostgreSQL by %s", (connector) => {
  let eye: Eye;
  let connected: ReturnType<typeof connectors.pg>;
  beforeAll(async () => {
    const url = await freshDatabase();
    eye = await openEye(url);
    connected = connectors[connector](url, 2);
    const fields = { key: ["__proto__"], sum: ["constructor"], last: ["toString"] };
    await migrate(
      connected.driver,
      sumsDdl({ table: "hasOwnProperty", ...fields }),
      `CREATE TABLE seen ("constructor" text PRIMARY KEY, "__proto__" timestamptz)`,
      `CREATE TABLE newest ("__proto__" text PRIMARY KEY, "constructor" text, "valueOf" timestamptz)`,
      `CREATE TABLE listed ("__proto__" text, "constructor" bigint)`,
      `CREATE TABLE strict ("__proto__" text PRIMARY KEY, "constructor" bigint CHECK ("constructor" < 5))`,
    );
  });
  afterAll(async () => {
    await connected.end();
    await eye.close();
    untouched();
  });

  async function land<Item, Batch>(
    shape: Shape<Item, Batch>,
    sink: PostgresSink<Batch>,
    items: readonly Item[],
  ): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    const batcher = createBatcher({ shape, sink, deadLetter: (letter) => letters.push(letter) });
    await batcher.addMany(items);
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({ accepted: items.length, held: 0, unknown: 0, dropped: 0 });
    return letters;
  }
  /** Key and value of every row: the driver of the test would take a column for a prototype. */
  const stored = async (columns: string, table: string) => {
    const rows = await eye.query(`SELECT ${columns} FROM "${table}"`);
    return new Map(rows.map(({ k, v }) => [k, v]));
  };

  it("sums", async () => {
    const shape = sums({ key: ["__proto__"], sum: ["constructor"], last: ["toString"] });
    const sink = upsertSums(connected.driver, { table: "hasOwnProperty" });
    const each = KEYS.map((key, n) =>
      item<never>(["__proto__", key], ["constructor", n], ["toString", 1]),
    );
    expect(await land(shape, sink, [...each, ...each])).toEqual([]);
    const found = await stored(`"__proto__" AS k, "constructor"::int AS v`, "hasOwnProperty");
    expect(found).toEqual(new Map(KEYS.map((key, n) => [key, 2 * n])));
  });

  it("distinct", async () => {
    for (const key of KEYS) await eye.query("INSERT INTO seen VALUES ($1)", [key]);
    const shape = distinct({ key: ["constructor"], last: ["__proto__"] });
    const each = KEYS.map((key, n) => item<never>(["constructor", key], ["__proto__", n * 1_000]));
    expect(await land(shape, touch(connected.driver, { table: "seen" }), each)).toEqual([]);
    const found = await stored(
      `"constructor" AS k, extract(epoch FROM "__proto__")::int AS v`,
      "seen",
    );
    expect(found).toEqual(new Map(KEYS.map((key, n) => [key, n])));
  });

  it("latest", async () => {
    const shape = latest({ key: ["__proto__"], value: ["constructor"], version: "valueOf" });
    const sink = writeLatest(connected.driver, { table: "newest", onMissing: "insert" });
    const each = KEYS.map((key, n) =>
      item<never>(["__proto__", key], ["constructor", `${n}`], ["valueOf", 1]),
    );
    expect(await land(shape, sink, each)).toEqual([]);
    const found = await stored(`"__proto__" AS k, "constructor" AS v`, "newest");
    expect(found).toEqual(new Map(KEYS.map((key, n) => [key, `${n}`])));
  });

  it("list", async () => {
    const columns = item<Record<string, string>>(["__proto__", "text"], ["constructor", "bigint"]);
    const sink = insertRows(connected.driver, { table: "listed", columns });
    const each = KEYS.map((key, n) => item<object>(["__proto__", key], ["constructor", n]));
    expect(await land(list<object>(), sink, each)).toEqual([]);
    const found = await stored(`"__proto__" AS k, "constructor"::int AS v`, "listed");
    expect(found).toEqual(new Map(KEYS.map((key, n) => [key, n])));
  });

  it("in dead letters", async () => {
    const shape = sums({ key: ["__proto__"], sum: ["constructor"] });
    const sink = upsertSums(connected.driver, { table: "strict" });
    const letters = await land(shape, sink, [
      item<never>(["__proto__", "constructor"], ["constructor", 7]),
      item<never>(["__proto__", "__proto__"], ["constructor", 1]),
    ]);
    expect(letters.map(({ entry }) => Object.entries(entry as object))).toEqual([
      [
        ["__proto__", "constructor"],
        ["constructor", 7],
      ],
    ]);
  });
});

it("through ClickHouse, as columns and as values", async () => {
  const chdb = openedChdb;
  const columns = item<Record<string, typeof Text>>(["__proto__", Text], ["constructor", Text]);
  const rows = createRowBatcher(chdb.session, {
    table: "odd",
    columns: { id: UInt64, ...columns, toString: Text },
    createTable: { orderBy: ["id"] },
  });
  for (const [id, key] of KEYS.entries()) {
    rows.tryInsert(
      item<never>(["id", id], ["__proto__", key], ["constructor", key], ["toString", key]),
    );
  }
  expect(await rows.close()).toMatchObject({ committed: KEYS.length });
  const found = await chdb.query(
    "SELECT `constructor` AS k, toUInt8(`__proto__` = k AND `toString` = k) AS same FROM odd ORDER BY id",
  );
  expect(found).toEqual(KEYS.map((k) => ({ k, same: 1 })));
  untouched();
});
const openedChdb = openChdb();

it("as groups and keys of calls, and as texts that are published", async () => {
  const asked = new Map<string, readonly string[]>();
  const coalescer = createCoalescer({
    group: ([group]: readonly [string, string]) => group,
    key: ([, key]) => key,
    resolve: async (group: string, keys: readonly string[]) => {
      asked.set(group, keys);
      return new Map(keys.map((key) => [key, `${group}/${key}`]));
    },
    maxInFlight: 64,
  });
  const answers = await Promise.all(
    KEYS.flatMap((group) => KEYS.map((key) => coalescer.load([group, key]))),
  );
  expect(answers).toEqual(KEYS.flatMap((group) => KEYS.map((key) => `${group}/${key}`)));
  expect(asked).toEqual(new Map(KEYS.map((group) => [group, KEYS])));
  await coalescer.close();

  const groups: (readonly string[])[] = [];
  const batcher = createBatcher({
    shape: calls<string>({ group: (key) => key }),
    sink: async (batch) => void groups.push(batch),
  });
  await batcher.addMany([...KEYS, ...KEYS]);
  await batcher.close();
  expect(new Set(groups.map(String))).toEqual(new Set(KEYS.map((key) => `${key},${key}`)));
  expect(groups.length).toBe(KEYS.length);
  expect(packTexts(KEYS).flatMap(unpackTexts)).toEqual(KEYS);
  untouched();
});
