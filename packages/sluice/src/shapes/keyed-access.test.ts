import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generatedAccess, type KeyedAccess, type Level, loopingAccess } from "./keyed-access.ts";
import type { KeyedFields } from "./keyed-batch.ts";
import { sums } from "./sums.ts";

const HOSTILE = [
  '"]; throw 1; //',
  "'; throw 1; //",
  "`${(() => { throw 1; })()}`",
  "\\",
  '\\"',
  "a\nb",
  "\u2028",
  "\u2029",
  "*/ throw 1 /*",
  "\0",
  "\ud800",
  "__proto__",
  "constructor",
  "v0",
  "slot",
];

describe("the generated and the looping access", () => {
  it("agree on any items", () => {
    const fields: KeyedFields = { key: ["k", "toString"], sum: ["n", "__proto__"], last: ["at"] };
    const number = fc.oneof(
      fc.constantFrom(undefined, -0, 1, Number.MAX_SAFE_INTEGER, 0.5, Number.NaN, "1", null),
      fc.integer(),
    );
    const time = fc.oneof(
      fc.constantFrom(undefined, 0, -0, 1.5, new Date(7), new Date(Number.NaN), "x"),
      fc.integer(),
    );
    const item = fc
      .tuple(
        fc.constantFrom("a", "b", 5, undefined),
        fc.constantFrom("x", undefined),
        number,
        number,
        time,
        fc.boolean(),
      )
      .map(([k, j, n, m, at, unknown]) => {
        const pairs = Object.entries({ k, n, at }).filter(([, value]) => value !== undefined);
        const all: [string, unknown][] = [...pairs, ["toString", j], ["__proto__", m]];
        return Object.fromEntries(unknown ? [...all, ["other", 1]] : all);
      });
    const run = (access: KeyedAccess, items: readonly object[]): unknown => {
      const slot = access.open(access.read({ k: "a", toString: "x" }), 3, 0);
      const root: Level = new Map([["a", new Map([["x", slot]])]]);
      const absorbed = items.map((each) => access.absorb(root, each) === slot);
      const found = items.map((each) => access.find(root, access.read(each)) === slot);
      return {
        absorbed,
        found,
        read: items.map((each) => access.read(each)),
        entry: access.entry(slot),
      };
    };
    fc.assert(
      fc.property(fc.array(item, { maxLength: 12 }), (items) => {
        expect(run(generatedAccess(fields), items)).toEqual(run(loopingAccess(fields), items));
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it.each(HOSTILE)("take the field name %j for a name and nothing else", (name) => {
    for (const access of [generatedAccess, loopingAccess]) {
      for (const fields of [
        { key: [name], sum: ["n"], last: [] },
        { key: ["k"], sum: [name], last: [] },
        { key: ["k"], sum: [], last: [name] },
      ]) {
        const own = access(fields).read(Object.fromEntries([[name, 5]]));
        expect(own).toContain(5);
      }
    }
    const shape = sums({ key: ["k"], sum: [name] });
    const accumulator = shape.accumulator();
    const item = Object.fromEntries([
      ["k", "a"],
      [name, 5],
    ]);
    for (let add = 0; add < 2; add += 1) {
      accumulator.measure(item as never);
      accumulator.fold();
    }
    expect(accumulator.absorb?.(item as never)).toBe(true);
    expect(shape.entryAt(accumulator.seal(1).batch, 0)).toEqual(
      Object.fromEntries([
        ["k", "a"],
        [name, 15],
      ]),
    );
  });
});

describe("where generating code is forbidden", () => {
  const built = new URL("../../dist/index.js", import.meta.url);
  it.runIf(existsSync(built))("the built library works all the same", () => {
    const script = `
      import { createBatcher, sums } from ${JSON.stringify(built.href)};
      let generated = true;
      try { new Function("return 1"); } catch { generated = false; }
      const rows = [];
      const batcher = createBatcher({
        shape: sums({ key: ["k"], sum: ["n"], last: ["at"] }),
        sink: (batch) => { rows.push(...batch.entries); },
      });
      for (const n of [1, 2, 3]) batcher.tryAdd({ k: "a", n, at: n });
      await batcher.close();
      console.log(JSON.stringify({ generated, rows }));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ["--disallow-code-generation-from-strings", "--input-type=module", "--eval", script],
      { encoding: "utf8" },
    );
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual({
      generated: false,
      rows: [{ key: ["a"], sums: [6], last: [3], items: 3 }],
    });
  });
});
