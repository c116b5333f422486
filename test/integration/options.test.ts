/** Options that are wrong, by accident or on purpose, and what becomes of them. */
import fc from "fast-check";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compose, createBatcher, isSluiceError, latest, list, sums } from "sluice";
import {
  composeSinks,
  insertRows,
  publishing,
  sumsDdl,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import { createPublisher, localPubsub } from "sluice/pubsub";
import { type Eye, freshDatabase, openEye } from "./database.ts";

let url: string;
let eye: Eye;
beforeAll(async () => {
  url = await freshDatabase();
  eye = await openEye(url);
});
afterAll(() => eye.close());

/** The code of what `work` throws. */
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return isSluiceError(error) ? error.code : String(error);
  }
  return "nothing thrown";
};

/** As a caller without types would give it. */
const given = (value: unknown) => value as never;

describe("names", () => {
  it("20,000 hostile names are refused, or are exactly the name they say", async () => {
    const hostile = fc.oneof(
      fc.string({ unit: "binary", maxLength: 80 }),
      fc.string({ unit: "grapheme", maxLength: 40 }),
      fc
        .array(
          fc.constantFrom(
            '"',
            '""',
            "'",
            ";",
            "--",
            "/*",
            "*/",
            "\\",
            "$$",
            "\0",
            "\n",
            ".",
            " ",
            "a",
            "Ä",
            "\ud800",
            "drop table x",
            "é",
            "e\u0301",
            "_",
            "-",
            "🙂",
            "\u202e",
          ),
          { maxLength: 12 },
        )
        .map((parts) => parts.join("")),
    );
    const accepted = new Map<string, string>();
    let refused = 0;
    fc.assert(
      fc.property(hostile, (name) => {
        try {
          const ddl = sumsDdl({ table: "t", key: [name], sum: [] });
          accepted.set(name, ddl);
        } catch (error) {
          expect(isSluiceError(error) && error.code).toBe("SLUICE_ERR_POSTGRES_IDENTIFIER");
          refused += 1;
        }
      }),
      { numRuns: 20_000, seed: 1 },
    );
    expect(refused).toBeGreaterThan(5_000);
    expect(accepted.size).toBeGreaterThan(500);
    // The server reads each back as the name that was given: one table with a column per name.
    const names = [...accepted.keys()];
    for (let from = 0; from < names.length; from += 1_000) {
      const part = names.slice(from, from + 1_000);
      const columns = part.map(
        (name) => /^ {2}(".*" text) NOT NULL/m.exec(accepted.get(name) ?? "")?.[1],
      );
      await eye.query(`CREATE TABLE fuzz_${from} (${columns.join(", ")})`);
      const rows = await eye.query(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
        [`fuzz_${from}`],
      );
      expect(rows.map(({ attname }) => attname)).toEqual(part);
    }
  });

  it("20,000 hostile types are refused, or name a type and do nothing else", async () => {
    const hostile = fc
      .array(
        fc.constantFrom(
          "bigint",
          "text",
          "numeric",
          "(10,2)",
          "[]",
          "[][]",
          " ",
          ")",
          "(",
          ";",
          "--",
          "'",
          '"',
          ",",
          "select",
          "drop table victim",
          "::",
          "\n",
          "A",
          "timestamp with time zone",
          "\0",
        ),
        { minLength: 1, maxLength: 6 },
      )
      .map((parts) => parts.join(""));
    await eye.query("CREATE TABLE victim (a int)");
    const accepted = new Set<string>();
    fc.assert(
      fc.property(hostile, (type) => {
        try {
          sumsDdl({ table: "t", key: { a: type }, sum: [] });
          accepted.add(type);
        } catch (error) {
          expect(isSluiceError(error) && error.code).toBe("SLUICE_ERR_POSTGRES_IDENTIFIER");
        }
      }),
      { numRuns: 20_000, seed: 2 },
    );
    expect(accepted).toContain("bigint");
    expect(accepted).toContain("timestamp with time zone");
    for (const type of [...accepted].slice(0, 500)) {
      expect(type).toMatch(/^[a-z0-9_ (),]+(\[\])?$/);
      await eye.query(`SELECT NULL::${type}`).catch(() => undefined);
    }
    expect(await eye.query("SELECT FROM victim")).toEqual([]);
  });

  it("a name of more than 63 bytes is refused, not cut", () => {
    expect(codeOf(() => sumsDdl({ table: "t".repeat(63), key: ["k"], sum: [] }))).toBe(
      "nothing thrown",
    );
    expect(codeOf(() => sumsDdl({ table: "t".repeat(64), key: ["k"], sum: [] }))).toBe(
      "SLUICE_ERR_POSTGRES_IDENTIFIER",
    );
    expect(codeOf(() => sumsDdl({ table: "ä".repeat(32), key: ["k"], sum: [] }))).toBe(
      "SLUICE_ERR_POSTGRES_IDENTIFIER",
    );
    for (const table of ["", ".", "a.", ".a", "a.b.c", 'a"b', undefined, null, 7, {}, ["a"]]) {
      expect(codeOf(() => sumsDdl({ table: given(table), key: ["k"], sum: [] }))).toBe(
        "SLUICE_ERR_POSTGRES_IDENTIFIER",
      );
    }
  });
});

describe("drivers", () => {
  it("what is no driver is refused at construction, with what was received", () => {
    const client = new pg.Client(url);
    for (const driver of [
      undefined,
      null,
      {},
      7,
      "postgres://",
      () => undefined,
      client,
      { connect: 1 },
    ]) {
      expect(codeOf(() => upsertSums(given(driver), { table: "t" }))).toBe(
        "SLUICE_ERR_POSTGRES_DRIVER",
      );
    }
  });

  it("options are refused when they do not exist, or are of another kind", () => {
    const pool = new pg.Pool({ connectionString: url });
    for (const make of [upsertSums, touch] as const) {
      expect(codeOf(() => make(pool, given({ table: "t", tabel: "t" })))).toBe(
        "SLUICE_ERR_OPTION_UNKNOWN",
      );
      expect(codeOf(() => make(pool, { table: "t", prepare: given("yes") }))).toBe(
        "SLUICE_ERR_POSTGRES_OPTION",
      );
      expect(codeOf(() => make(pool, { table: "t", classify: given("no") }))).toBe(
        "SLUICE_ERR_POSTGRES_OPTION",
      );
      expect(codeOf(() => make(pool, { table: "t", ledger: given(true) }))).toBe(
        "SLUICE_ERR_POSTGRES_IDENTIFIER",
      );
      expect(codeOf(() => make(pool, { table: "t", updatedAt: 'x"' }))).toBe(
        "SLUICE_ERR_POSTGRES_IDENTIFIER",
      );
    }
    expect(codeOf(() => insertRows(pool, { table: "t", columns: {} }))).toBe(
      "SLUICE_ERR_POSTGRES_OPTION",
    );
  });
});

describe("publishing", () => {
  it("refuses what it cannot work with", () => {
    const pool = new pg.Pool({ connectionString: url });
    const sink = writeLatest(pool, { table: "t" });
    const publisher = createPublisher(localPubsub(), { channel: "c" });
    const keys = () => [];
    const wrong = "SLUICE_ERR_OPTION_INVALID";
    const made = (over: unknown, options: object): string =>
      codeOf(() => publishing(given(over), given(options)));
    expect(made(sink, { publisher, keys })).toBe("nothing thrown");
    expect(made(async () => undefined, { publisher, keys })).toBe(wrong);
    expect(made(sink, { keys })).toBe(wrong);
    expect(made(sink, { publisher })).toBe(wrong);
    expect(made(sink, { publisher, keys, atomic: "yes" })).toBe(wrong);
    expect(made(sink, { publisher, keys, often: true })).toBe("SLUICE_ERR_OPTION_UNKNOWN");
    for (const channel of ["", "c".repeat(64), "a;b", 'a"b', "a\0", 7, undefined]) {
      expect(codeOf(() => createPublisher(localPubsub(), { channel: given(channel) }))).toBe(wrong);
      expect(codeOf(() => localPubsub().subscribe(given(channel), given({})))).toBe(wrong);
    }
    expect(codeOf(() => writeLatest(pool, given({ table: "t", onMissing: "x" })))).toBe(wrong);
  });

  it("after the commit cannot be part of a composed sink, and says so; atomic can", () => {
    const pool = new pg.Pool({ connectionString: url });
    const sink = writeLatest(pool, { table: "t" });
    const publisher = createPublisher(localPubsub(), { channel: "c" });
    const a = (atomic: boolean) => given(publishing(sink, { publisher, keys: () => [], atomic }));
    expect(codeOf(() => composeSinks({ a: a(false) }))).toBe("SLUICE_ERR_POSTGRES_OPTION");
    expect(codeOf(() => composeSinks({ a: a(true) }))).toBe("nothing thrown");
  });
});

describe("composed sinks", () => {
  it("must share a driver and their options", () => {
    const [one, other] = [
      new pg.Pool({ connectionString: url }),
      new pg.Pool({ connectionString: url }),
    ];
    const a = upsertSums(one, { table: "a" });
    for (const b of [
      upsertSums(other, { table: "b" }),
      upsertSums(one, { table: "b", ledger: false }),
      upsertSums(one, { table: "b", prepare: false }),
      upsertSums(one, { table: "b", classify: () => "retryable" }),
    ]) {
      expect(codeOf(() => composeSinks({ a, b }))).toBe("SLUICE_ERR_POSTGRES_OPTION");
    }
    expect(codeOf(() => composeSinks({}))).toBe("SLUICE_ERR_POSTGRES_OPTION");
    for (const part of [undefined, {}, 7, () => undefined]) {
      expect(codeOf(() => composeSinks({ part: given(part) }))).toBe("SLUICE_ERR_POSTGRES_OPTION");
      expect(codeOf(() => composeSinks({ a, part: given(part) }))).toBe(
        "SLUICE_ERR_POSTGRES_OPTION",
      );
    }
  });

  it("never write to one table: within a statement a row changes once", () => {
    const pool = new pg.Pool({ connectionString: url });
    const made = (one: string, other: string) =>
      codeOf(() =>
        composeSinks({
          a: upsertSums(pool, { table: one }),
          b: writeLatest(pool, { table: other }),
        }),
      );
    for (const [one, other] of [
      ["t", "t"],
      ["s.t", "s.t"],
      ["t", "public.t"],
      ["public.t", "t"],
    ] as const) {
      expect(made(one, other)).toBe("SLUICE_ERR_POSTGRES_OPTION");
    }
    expect(made("t", "u")).toBe("nothing thrown");
    expect(made("s.t", "r.t")).toBe("nothing thrown");
    expect(made("t.u", "u.t")).toBe("nothing thrown");
  });

  it("never count a part as landed that no sink writes: the batcher is not even made", () => {
    const pool = new pg.Pool({ connectionString: url });
    const fields = { key: ["k"], sum: ["n"] } as const;
    const a = upsertSums(pool, { table: "a" });
    const make = (): unknown =>
      createBatcher({
        shape: compose({ a: sums(fields), b: sums(fields) }),
        sink: composeSinks({ a }),
      });
    expect(codeOf(make)).toBe("SLUICE_ERR_POSTGRES_OPTION");
    expect(make).toThrow(/"b"/);
  });
});

describe("shapes that a sink does not fit", () => {
  it("are refused when the batcher is made", () => {
    const pool = new pg.Pool({ connectionString: url });
    const made = (sink: unknown, shape: unknown = sums({ key: ["k"], sum: ["n"] })) =>
      codeOf(() => createBatcher({ shape: given(shape), sink: given(sink) }));
    const wrong = "SLUICE_ERR_POSTGRES_OPTION";
    expect(made(touch(pool, { table: "u" }))).toBe(wrong);
    expect(made(touch(pool, { table: "u", set: "n" }))).toBe(wrong);
    expect(made(upsertSums(pool, { table: "u", columns: { nope: "n" } }))).toBe(wrong);
    expect(made(upsertSums(pool, { table: "u", types: { n: "bigint" } }))).toBe(wrong);
    expect(made(upsertSums(pool, { table: "u" }), list())).toBe(wrong);
    expect(made(touch(pool, { table: "u" }), list())).toBe(wrong);
    expect(made(insertRows(pool, { table: "u", columns: { k: "text" } }))).toBe(wrong);
    expect(made(writeLatest(pool, { table: "u" }))).toBe(wrong);
    const newest = latest({ key: ["k"], value: ["v"], version: "at" });
    expect(made(upsertSums(pool, { table: "u" }), newest)).toBe(wrong);
    expect(made(touch(pool, { table: "u", set: "at" }), newest)).toBe(wrong);
    expect(made(writeLatest(pool, { table: "u", types: { nope: "text" } }), newest)).toBe(wrong);
    expect(made(writeLatest(pool, { table: "u", columns: { v: 'x"' } }), newest)).toBe(
      "SLUICE_ERR_POSTGRES_IDENTIFIER",
    );
    expect(made(writeLatest(pool, { table: "u" }), newest)).toBe("nothing thrown");
    const parts = compose({ other: sums({ key: ["k"], sum: ["n"] }) });
    expect(made(composeSinks({ a: upsertSums(pool, { table: "u" }) }), parts)).toBe(wrong);
  });
});
