import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import fc from "fast-check";
import { Nullable, rows, String as Text, UInt8, UInt64 } from "sluice/clickhouse";
import { describe, expect, it } from "vitest";
import {
  ENCODERS,
  encodedRow,
  fieldsOf,
  hexOf,
  refusalOf,
} from "../../../../../test/rows/encoded.ts";
import { HOSTILE_NAMES, type Table, tables } from "../../../../../test/rows/random-rows.ts";
import { RowWriter } from "./row-writer.ts";

/** What no column expects, or only few. */
const junk = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    -0,
    -1,
    0.5,
    Number.NaN,
    Infinity,
    2 ** 53,
    10n ** 90n,
    "",
    "\ud800",
    `${"x".repeat(63)}\udfff`,
    "9".repeat(100),
    new Date(Number.NaN),
    new Date(8.64e15),
    new Set([1]),
    Uint8Array.of(1, 2),
    [undefined],
    [["a"]],
    {},
    { unknown: 1 },
    Object.create(Date.prototype),
  ),
  fc.anything(),
);

/** A row, some with a column's value replaced, or with one column more. */
const perhapsSpoilt = ({ columns, rows: held }: Table): fc.Arbitrary<unknown[]> =>
  fc.tuple(
    ...held.map((row) =>
      fc.oneof(
        { weight: 3, arbitrary: fc.constant<unknown>(row) },
        {
          weight: 2,
          arbitrary: fc
            .tuple(fc.constantFrom(...Object.keys(columns), "unknown"), junk)
            .map(([name, value]) => {
              const pairs = Object.entries(row).filter(([known]) => known !== name);
              return Object.fromEntries([...pairs, [name, value]]);
            }),
        },
        { weight: 1, arbitrary: junk },
      ),
    ),
  );

describe("the generated and the looping encoder", () => {
  it("agree on any rows of any columns, good and bad; bad ones leave no trace", () => {
    const cases = tables({ depth: 3, maxRows: 5, withJson: true }).chain((table) =>
      fc.tuple(fc.constant(table), perhapsSpoilt(table), fc.integer({ min: 1, max: 64 })),
    );
    fc.assert(
      fc.property(cases, ([{ columns }, items, bufferBytes]) => {
        const fields = fieldsOf(columns);
        const [one, other] = ENCODERS.map(([, make]) => {
          const writer = new RowWriter(bufferBytes);
          const encode = make(fields, writer, "t");
          return items.map((item) => {
            writer.at = writer.start;
            try {
              encode(item as object);
            } catch (error) {
              return String(error);
            }
            const from = writer.start;
            writer.start = writer.at;
            return writer.bytes.toString("hex", from, writer.at);
          });
        });
        expect(other).toEqual(one);
        const accumulator = rows(columns, { table: "t", bufferBytes }).accumulator();
        const results = items.map((item) => {
          const { entries, bytes } = accumulator;
          try {
            accumulator.measure(item as never);
          } catch (error) {
            expect([accumulator.entries, accumulator.bytes]).toEqual([entries, bytes]);
            return String(error);
          }
          const { addsBytes } = accumulator;
          accumulator.fold();
          return addsBytes;
        });
        const good = one?.filter((result) => !result.includes("Error")) ?? [];
        expect(results).toEqual(
          one?.map((result) => (result.includes("Error") ? result : result.length / 2)),
        );
        const sealed = accumulator.seal(accumulator.entries);
        expect(sealed.entries).toBe(good.length);
        expect(hexOf(sealed.batch)).toBe(good.join(""));
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it("write what is decoded to values that are written as the same bytes", () => {
    fc.assert(
      fc.property(
        tables({ depth: 3, maxRows: 4, withJson: true }),
        fc.integer({ min: 1, max: 64 }),
        ({ columns, rows: held }, bufferBytes) => {
          const shape = rows(columns, { bufferBytes });
          const fold = (items: readonly object[]) => {
            const accumulator = shape.accumulator();
            for (const item of items) {
              accumulator.measure(item as never);
              accumulator.fold();
            }
            return accumulator.seal(items.length).batch;
          };
          const batch = fold(held);
          const again = held.map((_, index) => shape.entryAt(batch, index));
          expect(hexOf(fold(again))).toBe(hexOf(batch));
          const read = shape.decode(shape.encode(batch));
          expect([read.rows, read.bytes, hexOf(read)]).toEqual([
            held.length,
            batch.bytes,
            hexOf(batch),
          ]);
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  it.each(HOSTILE_NAMES)("take the column name %j for a name and nothing else", (name) => {
    const own = (value: unknown): object => Object.fromEntries([[name, value]]);
    const columns = (of: object) => Object.fromEntries([[name, of]]) as never;
    expect(encodedRow(columns(UInt8), own(5))).toBe("05");
    expect(encodedRow(columns(Nullable(UInt8)), own(5))).toBe("0005");
    expect(encodedRow(columns(Nullable(UInt8)), {})).toBe("01");
    const quoted = JSON.stringify(name);
    expect(encodedRow(columns(UInt8), {})).toBe(
      `SLUICE_ERR_ITEM_INVALID: t: column ${quoted} (UInt8): ` +
        "UInt8 takes a whole number from 0 to 255; nothing: it is missing",
    );
    expect(encodedRow(columns(UInt8), own(256))).toContain(`column ${quoted} (UInt8)`);
    expect(
      encodedRow(
        { k: UInt8 },
        Object.fromEntries([
          ["k", 1],
          [name, 1],
        ]),
      ),
    ).toBe(`SLUICE_ERR_ITEM_UNKNOWN_FIELD: t: there is no column ${quoted}; there are "k"`);
  });

  it("find an unknown name where a column that takes NULL is missing instead", () => {
    const columns = { id: UInt8, name: Nullable(Text) };
    const typo =
      /^SLUICE_ERR_ITEM_UNKNOWN_FIELD: t: there is no column "nmae"; there are "id", "name"/;
    expect(encodedRow(columns, { id: 1, nmae: "x" })).toMatch(typo);
    expect(encodedRow(columns, { nmae: "x", id: 1 })).toMatch(typo);
    expect(encodedRow(columns, { id: 1, name: undefined, nmae: "x" })).toMatch(typo);
    expect(encodedRow(columns, { id: 1, name: undefined })).toBe("0101");
    for (const row of ["ab", ["a", "b"], [1, 2]]) {
      expect(encodedRow({ a: Nullable(UInt8), b: Nullable(UInt8) }, row)).toMatch(
        /^SLUICE_ERR_ITEM_INVALID: t: a row is an object with a value per column; received/,
      );
    }
  });

  it("read each column of a good row once, inherited or not", () => {
    class Row {
      reads = 0;
      get id(): number {
        this.reads += 1;
        return this.reads;
      }
    }
    for (const [, make] of ENCODERS) {
      const item = Object.defineProperty(new Row(), "reads", { enumerable: false });
      make(fieldsOf({ id: UInt8 }), new RowWriter(8), "t")(item);
      expect(item.reads).toBe(1);
    }
    expect(encodedRow({ id: UInt8 }, Object.create({ id: 7 }))).toBe("07");
    expect(encodedRow({ id: UInt8 }, Object.assign(Object.create(null), { id: 7 }))).toBe("07");
  });
});

describe("where generating code is forbidden", () => {
  const built = new URL("../../../dist/systems/clickhouse.js", import.meta.url);
  it.runIf(existsSync(built))("the built library encodes all the same", () => {
    const script = `
      import * as ch from ${JSON.stringify(built.href)};
      let generated = true;
      try { new Function("return 1"); } catch { generated = false; }
      const shape = ch.rows({
        id: ch.UInt64, "a\\"b": ch.Nullable(ch.String), tags: ch.Array(ch.LowCardinality(ch.String)),
        at: ch.DateTime64(3), n: ch.Nested({ x: ch.UInt8 }), toString: ch.UInt8,
      });
      const accumulator = shape.accumulator();
      let refused;
      for (const id of [1, 2n, -1, "3"]) {
        try {
          accumulator.measure({ id, tags: ["x", "é"], at: new Date(5), n: [{ x: 1 }], toString: 7 });
          accumulator.fold();
        } catch (error) { refused = error.code; }
      }
      const { batch } = accumulator.seal(3);
      console.log(JSON.stringify({
        generated, refused, hex: Buffer.from(shape.encode(batch)).toString("hex"),
        entry: shape.entryAt(batch, 0).tags,
      }));`;
    const [forbidden, allowed] = [["--disallow-code-generation-from-strings"], []].map((flags) => {
      const args = [...flags, "--input-type=module", "--eval", script];
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
      expect(stderr).toBe("");
      return JSON.parse(stdout) as Record<string, unknown>;
    });
    expect(forbidden).toEqual({ ...allowed, generated: false });
    expect(allowed).toMatchObject({
      generated: true,
      refused: "SLUICE_ERR_ITEM_INVALID",
      entry: ["x", "é"],
    });
  });
});

describe("where a row begins and ends", () => {
  it("a row moves whole to another buffer, wherever it stops fitting", () => {
    const columns = { a: UInt64, s: Text, n: Nullable(UInt64), t: Text, short: Text, b: UInt8 };
    const row = { a: 1, s: "é".repeat(40), n: 5, t: "x".repeat(70), short: "y".repeat(20), b: 7 };
    const expected = encodedRow(columns, row);
    for (let bufferBytes = 1; bufferBytes <= 400; bufferBytes += 1) {
      const accumulator = rows(columns, { bufferBytes }).accumulator();
      for (let add = 0; add < 3; add += 1) {
        accumulator.measure(row);
        accumulator.fold();
      }
      const { batch } = accumulator.seal(3);
      expect(hexOf(batch)).toBe(expected.repeat(3));
      for (const { bytes } of batch.chunks) expect(bytes.length % (expected.length / 2)).toBe(0);
    }
  });

  it("names the table in messages, and that is its one use", () => {
    const accumulator = rows({ v: UInt8 }, { table: "db.t" }).accumulator();
    expect(refusalOf(() => accumulator.measure({ v: 256 }))).toMatch(
      /^SLUICE_ERR_ITEM_INVALID: db\.t: column "v" \(UInt8\): /,
    );
    expect(refusalOf(() => rows({ v: UInt8 }).accumulator().measure({ v: -1 }))).toMatch(
      /^SLUICE_ERR_ITEM_INVALID: rows: column "v"/,
    );
  });
});
