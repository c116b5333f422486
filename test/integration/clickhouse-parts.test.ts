/** The parts that ClickHouse's tests stand on: the engine, its HTTP face, and the oldest server. */
import { once } from "node:events";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { type ClickHouseClient, ClickHouseError, createClient } from "@clickhouse/client";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { describeServer, openChdb, rowsOf } from "./chdb.ts";
import { openClickHouseFace } from "./clickhouse-face.ts";

const chdb = openChdb();
const face = await openClickHouseFace(chdb);
afterAll(() => face.close());
afterEach(() => {
  face.fault = () => undefined;
});

const clients: ClickHouseClient[] = [];
afterAll(() => Promise.all(clients.map((client) => client.close())));
const connect = (options: Parameters<typeof createClient>[0] = {}): ClickHouseClient => {
  const client = createClient({ url: face.url, log: { level: 127 }, ...options });
  clients.push(client);
  return client;
};

const string = (value: string): Buffer =>
  Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)]);
const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(value);
  return bytes;
};
type Pair = readonly [bigint, string];
/** Rows of (a Int64, b String) in RowBinary. */
const binary = (rows: readonly Pair[]): Buffer =>
  Buffer.concat(rows.flatMap(([a, b]) => [int64(a), string(b)]));
/** The same with the header of RowBinaryWithNamesAndTypes. */
const named = (rows: readonly Pair[]): Buffer =>
  Buffer.concat([Buffer.from([2]), ...["a", "b", "Int64", "String"].map(string), binary(rows)]);

let tables = 0;
const freshTable = async (run: (sql: string) => Promise<unknown>): Promise<string> => {
  tables += 1;
  const name = `t${tables}`;
  await run(`CREATE TABLE ${name} (a Int64, b String) ENGINE = MergeTree ORDER BY a`);
  return name;
};
const faceTable = async (): Promise<string> => {
  const name = await freshTable(chdb.query);
  await chdb.query(`ALTER TABLE ${name} MODIFY SETTING non_replicated_deduplication_window = 100`);
  return name;
};

/** Inserts as the sink does: the statement in the URL, the rows as a stream. */
const insert = async (
  client: ClickHouseClient,
  into: string,
  body: Buffer,
  settings: Record<string, string> = {},
): Promise<string> => {
  const { stream } = await client.exec({
    query: `INSERT INTO ${into}`,
    values: Readable.from([body], { objectMode: false }),
    clickhouse_settings: settings,
  });
  return text(stream);
};
const NAMED = "(a, b) FORMAT RowBinaryWithNamesAndTypes";

describe("chDB", () => {
  it("is a ClickHouse that inserts synchronously only when told to", async () => {
    const [row] = await chdb.query("SELECT version() AS v, getSetting('async_insert') AS later");
    expect(row).toEqual({ v: expect.stringMatching(/^26\./), later: true });
  });

  it("names the error by its code", async () => {
    const failed = chdb.query("SELECT * FROM nope");
    await expect(failed).rejects.toMatchObject({ name: "ChdbQueryError", clickhouseCode: 60 });
  });
});

describe("the face", () => {
  it("answers the official client's query and ping", async () => {
    const client = connect();
    expect(await client.ping()).toEqual({ success: true });
    const answer = await client.query({
      query: "SELECT {n:Int64} AS n, {s:String} AS s",
      query_params: { n: 7, s: "it's\ta \\ tab" },
      format: "JSONEachRow",
    });
    expect(await answer.json()).toEqual([{ n: 7, s: "it's\ta \\ tab" }]);
  });

  it("inserts a stream of RowBinaryWithNamesAndTypes", async () => {
    const name = await faceTable();
    await insert(connect(), `${name} ${NAMED}`, named([[1n, "x"]]));
    expect(await chdb.query(`SELECT a, b FROM ${name}`)).toEqual([{ a: 1, b: "x" }]);
    const { query, body } = face.requests.at(-1) ?? {};
    expect(query).toBe(`INSERT INTO ${name} ${NAMED}`);
    expect(body).toEqual(named([[1n, "x"]]));
  });

  it("inserts many rows as one part", async () => {
    const name = await faceTable();
    const rows = Array.from({ length: 100_000 }, (_, index): Pair => [BigInt(index), "row"]);
    await insert(connect(), `${name} ${NAMED}`, named(rows));
    const [row] = await chdb.query(`SELECT uniq(_part) AS parts, count() AS rows FROM ${name}`);
    expect(row).toEqual({ parts: 1, rows: 100_000 });
  });

  it("inserts the client's own JSON, and reports what was written", async () => {
    const name = await faceTable();
    const { summary } = await connect().insert({
      table: name,
      values: [
        { a: 1, b: "x" },
        { a: 2, b: "y" },
      ],
      format: "JSONEachRow",
    });
    expect(summary).toMatchObject({ written_rows: "2" });
  });

  it("applies an insert with a known token once", async () => {
    const name = await faceTable();
    const client = connect();
    const token = { insert_deduplication_token: "w-1" };
    await insert(client, `${name} ${NAMED}`, named([[1n, "x"]]), token);
    await insert(client, `${name} ${NAMED}`, named([[2n, "y"]]), token);
    await insert(
      client,
      `${name} (a, b) SETTINGS insert_deduplication_token = 'w-1' FORMAT RowBinary`,
      binary([[3n, "z"]]),
    );
    expect(await chdb.query(`SELECT a FROM ${name}`)).toEqual([{ a: 1 }]);
  });

  it("keeps the settings of a request to it", async () => {
    const client = connect();
    const query = "SELECT getSetting('max_block_size') AS size";
    const [changed, usual] = await Promise.all([
      client.query({ query, format: "JSONEachRow", clickhouse_settings: { max_block_size: "7" } }),
      client.query({ query, format: "JSONEachRow" }),
    ]);
    expect(await changed.json()).toEqual([{ size: 7 }]);
    expect(await usual.json()).not.toEqual([{ size: 7 }]);
  });

  it("works in the client's database", async () => {
    await chdb.query("CREATE DATABASE elsewhere");
    const answer = await connect({ database: "elsewhere" }).query({
      query: "SELECT currentDatabase() AS name",
      format: "JSONEachRow",
    });
    expect(await answer.json()).toEqual([{ name: "elsewhere" }]);
  });

  it.each([
    ["a table that is not there", "nope", "60", "UNKNOWN_TABLE"],
    ["a statement that does not parse", "(", "62", "SYNTAX_ERROR"],
  ])("answers %s as the client's ClickHouseError", async (_, into, code, type) => {
    const failed = insert(connect(), `${into} ${NAMED}`, named([[1n, "x"]]));
    await expect(failed).rejects.toBeInstanceOf(ClickHouseError);
    await expect(failed).rejects.toMatchObject({ code, type });
  });

  it("names the error's code and the query in headers, as the server does", async () => {
    const answer = await fetch(`${face.url}/?query_id=q-1`, {
      method: "POST",
      body: "SELECT nope",
    });
    expect(answer.status).toBe(404);
    expect(answer.headers.get("X-ClickHouse-Exception-Code")).toBe("47");
    expect(answer.headers.get("X-ClickHouse-Query-Id")).toBe("q-1");
    expect(await answer.text()).toMatch(/^Code: 47\. DB::Exception: .*\(UNKNOWN_IDENTIFIER\)\n$/s);
  });

  it("answers rows that end too early, and a setting nobody knows", async () => {
    const name = await faceTable();
    const rows = named([[1n, "x"]]).subarray(0, -1);
    const short = insert(connect(), `${name} ${NAMED}`, rows);
    await expect(short).rejects.toMatchObject({ code: "33", type: "CANNOT_READ_ALL_DATA" });
    const odd = insert(connect(), `${name} ${NAMED}`, named([[1n, "x"]]), { nope: "1" });
    await expect(odd).rejects.toMatchObject({ code: "115", type: "UNKNOWN_SETTING" });
    expect(await chdb.query(`SELECT * FROM ${name}`)).toEqual([]);
  });

  it("takes what the client compressed", async () => {
    const name = await faceTable();
    const client = connect({ compression: { request: true, response: true } });
    await insert(client, `${name} ${NAMED}`, named([[1n, "x"]]));
    expect(face.requests.at(-1)).toMatchObject({ encoding: "gzip", body: named([[1n, "x"]]) });
    expect(await chdb.query(`SELECT a FROM ${name}`)).toEqual([{ a: 1 }]);
  });

  it.each([
    ["drop-before", 0],
    ["drop-after", 1],
  ] as const)("with %s, loses the client and leaves %d rows", async (fault, rows) => {
    const name = await faceTable();
    face.fault = () => fault;
    const failed = insert(connect(), `${name} ${NAMED}`, named([[1n, "x"]]));
    await expect(failed).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await chdb.query(`SELECT * FROM ${name}`)).toHaveLength(rows);
  });

  it("runs an insert that was held back although its client has left", async () => {
    const name = await faceTable();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    face.fault = () => held.then(() => "delay:1" as const);
    const failed = insert(connect({ request_timeout: 50 }), `${name} ${NAMED}`, named([[1n, "x"]]));
    await expect(failed).rejects.toThrow("Timeout error.");
    expect(await chdb.query(`SELECT * FROM ${name}`)).toEqual([]);
    release();
    await expect
      .poll(() => chdb.query(`SELECT a FROM ${name}`), { timeout: 10_000 })
      .toEqual([{ a: 1 }]);
  });

  it("answers an error on request, ClickHouse's or a proxy's", async () => {
    const name = await faceTable();
    const failed = (): Promise<string> => insert(connect(), `${name} ${NAMED}`, named([[1n, "x"]]));
    face.fault = () => ({ status: 500, code: 252, message: "Too many parts. (TOO_MANY_PARTS)" });
    await expect(failed()).rejects.toMatchObject({ code: "252", type: "TOO_MANY_PARTS" });
    face.fault = () => ({ status: 502, message: "<html>Bad Gateway</html>" });
    await expect(failed()).rejects.toThrow("<html>Bad Gateway</html>");
    expect(await chdb.query(`SELECT * FROM ${name}`)).toEqual([]);
  });

  it("hears nothing of a client that leaves before it has said everything", async () => {
    const name = await faceTable();
    const said = face.requests.length;
    const leave = new AbortController();
    const values = new Readable({ read: () => undefined });
    values.push(named([[1n, "x"]]));
    setTimeout(() => leave.abort(), 50);
    const left = connect().exec({
      query: `INSERT INTO ${name} ${NAMED}`,
      values,
      abort_signal: leave.signal,
    });
    await expect(left).rejects.toThrow("The user aborted a request.");
    if (!values.destroyed) await once(values, "close");
    expect(face.requests).toHaveLength(said);
    expect(await chdb.query(`SELECT * FROM ${name}`)).toEqual([]);
  });
});

describeServer("the oldest server", (url) => {
  const query = async (client: ClickHouseClient, sql: string): Promise<unknown> => {
    const answer = await client.query({ query: sql, format: "JSONEachRow" });
    return rowsOf(await answer.text());
  };

  it("is as old as Debian's", async () => {
    const client = connect({ url });
    expect(await client.ping()).toEqual({ success: true });
    expect(await query(client, "SELECT version() AS v")).toEqual([
      { v: expect.stringMatching(/^18\./) },
    ]);
  });

  it("inserts a stream of RowBinary, compressed or not", async () => {
    const client = connect({ url });
    const name = await freshTable((sql) => client.command({ query: sql }));
    const packed = connect({ url, compression: { request: true, response: true } });
    await insert(client, `${name} (a, b) FORMAT RowBinary`, binary([[1n, "x"]]));
    await insert(packed, `${name} (a, b) FORMAT RowBinary`, binary([[2n, "é"]]));
    expect(await query(packed, `SELECT toString(a) AS a, b FROM ${name} ORDER BY a`)).toEqual([
      { a: "1", b: "x" },
      { a: "2", b: "é" },
    ]);
  });

  it("refuses what it does not know with a code that the client leaves in the text", async () => {
    const client = connect({ url });
    const name = await freshTable((sql) => client.command({ query: sql }));
    const refused = async (
      code: number,
      into: string,
      settings: Record<string, string> = {},
    ): Promise<void> => {
      const failed = insert(client, into, binary([[1n, "x"]]), settings);
      await expect(failed).rejects.not.toBeInstanceOf(ClickHouseError);
      await expect(failed).rejects.toThrow(new RegExp(`^Code: ${code}, e\\.displayText\\(\\) = `));
    };
    const plain = `${name} (a, b) FORMAT RowBinary`;
    await refused(60, "nope (a, b) FORMAT RowBinary");
    await refused(73, `${name} ${NAMED}`);
    await refused(115, plain, { insert_deduplication_token: "w-1" });
    await refused(115, plain, { async_insert: "0" });
    expect(await query(client, `SELECT a FROM ${name}`)).toEqual([]);
  });
});
