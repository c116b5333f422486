import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createBatcher } from "../core/batcher.ts";
import { type ErrorCode, isSluiceError } from "../errors.ts";
import { manualClock } from "../testing/index.ts";
import { compose } from "./compose.ts";
import { distinct } from "./distinct.ts";
import { list } from "./list.ts";
import type { Shape } from "./shape.ts";
import { sums } from "./sums.ts";

/** What `call` throws; a test fails if it throws nothing, or something else than a SluiceError. */
function thrownBy(call: () => unknown): { readonly code: ErrorCode; readonly message: string } {
  try {
    call();
  } catch (error) {
    if (isSluiceError(error)) return error;
    return expect.fail(`not a SluiceError: ${String(error)}`);
  }
  return expect.fail("nothing was thrown");
}

/** Calls a factory as JavaScript may: with anything. */
const loosely =
  (factory: (options: never) => unknown) =>
  (options: unknown): unknown =>
    factory(options as never);

const WRONG: readonly unknown[] = [
  null,
  undefined,
  0,
  5,
  Number.NaN,
  "",
  "text",
  true,
  Symbol("s"),
  () => 1,
  5n,
];

describe("a shape factory refuses", () => {
  const key = ["k"];
  const cases: [string, () => unknown, ErrorCode, RegExp][] = [
    [
      "sums of an unknown option",
      () => loosely(sums)({ key, sum: ["n"], sums: ["n"] }),
      "SLUICE_ERR_OPTION_UNKNOWN",
      /"sums: sums"/,
    ],
    [
      "distinct with sums",
      () => loosely(distinct)({ key, sum: ["n"] }),
      "SLUICE_ERR_OPTION_UNKNOWN",
      /"distinct: sum"/,
    ],
    [
      "list with a typo",
      () => loosely(list)({ chek: () => 1 }),
      "SLUICE_ERR_OPTION_UNKNOWN",
      /chek/,
    ],
    [
      "no key",
      () => loosely(sums)({ sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /key must be .* undefined/,
    ],
    [
      "an empty key",
      () => sums({ key: [], sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /at least one/,
    ],
    [
      "sums of nothing",
      () => loosely(sums)({ key }),
      "SLUICE_ERR_OPTION_INVALID",
      /sum must be .* undefined/,
    ],
    [
      "a key that is text",
      () => loosely(sums)({ key: "k", sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /received "k"/,
    ],
    [
      "a field that is a number",
      () => loosely(sums)({ key: [5], sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /\[5\]/,
    ],
    [
      "a field without a name",
      () => sums({ key: [""], sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /\[""\]/,
    ],
    [
      "a list with holes",
      () => loosely(sums)({ key: Object.assign(["x", "k"], { length: 3 }), sum: ["n"] }),
      "SLUICE_ERR_OPTION_INVALID",
      /"x","k",null/,
    ],
    [
      "null for a list",
      () => loosely(sums)({ key, sum: ["n"], last: null }),
      "SLUICE_ERR_OPTION_INVALID",
      /received null/,
    ],
    [
      "a field named twice",
      () => sums({ key: ["k", "k"], sum: [] }),
      "SLUICE_ERR_OPTION_CONFLICT",
      /"k" is named twice/,
    ],
    [
      "a field with two roles",
      () => sums({ key: ["k"], sum: ["k"] }),
      "SLUICE_ERR_OPTION_CONFLICT",
      /"k"/,
    ],
    [
      "maxKeyBytes 0",
      () => sums({ key, sum: [], maxKeyBytes: 0 }),
      "SLUICE_ERR_OPTION_INVALID",
      /received 0/,
    ],
    [
      "maxKeyBytes null",
      () => loosely(sums)({ key, sum: [], maxKeyBytes: null }),
      "SLUICE_ERR_OPTION_INVALID",
      /received null/,
    ],
    [
      "maxKeyBytes 1.5",
      () => distinct({ key, maxKeyBytes: 1.5 }),
      "SLUICE_ERR_OPTION_INVALID",
      /received 1.5/,
    ],
    [
      "a check that is no function",
      () => loosely(list)({ check: 5 }),
      "SLUICE_ERR_OPTION_INVALID",
      /check must be a function; received 5/,
    ],
    [
      "bytes that is no function",
      () => loosely(list)({ bytes: "x" }),
      "SLUICE_ERR_OPTION_INVALID",
      /bytes must be a function; received "x"/,
    ],
    [
      "half a codec",
      () => loosely(list)({ codec: { encode: () => 1 } }),
      "SLUICE_ERR_OPTION_INVALID",
      /codec must be/,
    ],
    ["nothing to compose", () => compose({}), "SLUICE_ERR_OPTION_INVALID", /at least one part/],
    [
      "a part that is no shape",
      () => loosely(compose)({ a: 5 }),
      "SLUICE_ERR_OPTION_INVALID",
      /part "a" must be a shape; received 5/,
    ],
  ];
  it.each(cases)("%s", (_, call, code, message) => {
    const error = thrownBy(call);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it("anything that is no object of options", () => {
    const lists = loosely(list);
    for (const factory of [loosely(sums), loosely(distinct), lists, loosely(compose)]) {
      for (const wrong of WRONG) {
        if (wrong === undefined && factory === lists) continue;
        expect(thrownBy(() => factory(wrong)).code).toBe("SLUICE_ERR_OPTION_INVALID");
      }
    }
  });
});

describe("an item is refused, and the batch stays as it was", () => {
  const shape = sums({ key: ["k", "j"], sum: ["n", "m"], last: ["at"], maxKeyBytes: 16 });
  const good = { k: "a", j: "b", n: 1, m: 2, at: 5 };
  const throwing = (error: unknown) => ({
    ...good,
    get m(): number {
      throw error;
    },
  });
  /** Answers each field rightly `times` times, and badly ever after. */
  const fickle = (k: string, times: number, bad: () => unknown): object => {
    const reads = new Map<PropertyKey, number>();
    return new Proxy(
      { ...good, k },
      {
        get(target, name) {
          const read = (reads.get(name) ?? 0) + 1;
          reads.set(name, read);
          return read <= times ? Reflect.get(target, name) : bad();
        },
      },
    );
  };
  const { proxy: revoked, revoke } = Proxy.revocable({ ...good }, {});
  revoke();
  class Item {
    readonly j = "b";
    readonly _k = "a";
    get k(): string {
      return this._k;
    }
  }
  const items: [string, unknown, ErrorCode, RegExp][] = [
    ["an unknown field", { ...good, x: 9 }, "SLUICE_ERR_ITEM_UNKNOWN_FIELD", /"x" with value 9/],
    [
      "an unknown inherited field",
      Object.assign(Object.create({ x: 9 }) as object, good),
      "SLUICE_ERR_ITEM_UNKNOWN_FIELD",
      /"x"/,
    ],
    [
      "a hidden field beside an unknown one",
      Object.defineProperty({ k: "a", j: "b", x: 9 }, "n", { value: 1 }),
      "SLUICE_ERR_ITEM_UNKNOWN_FIELD",
      /"x"/,
    ],
    ["an instance with private state", new Item(), "SLUICE_ERR_ITEM_UNKNOWN_FIELD", /"_k"/],
    [
      "no key part",
      { k: "a", n: 1 },
      "SLUICE_ERR_KEY_INVALID",
      /"j" must be a string; received undefined/,
    ],
    ["a key that is a number", { ...good, j: 5 }, "SLUICE_ERR_KEY_INVALID", /received 5/],
    ["a key that is null", { ...good, j: null }, "SLUICE_ERR_KEY_INVALID", /received null/],
    ["a key that is a String", { ...good, j: new String("b") }, "SLUICE_ERR_KEY_INVALID", /"b"/],
    [
      "a key that is a symbol",
      { ...good, j: Symbol("s") },
      "SLUICE_ERR_KEY_INVALID",
      /Symbol\(s\)/,
    ],
    ["NUL in a key", { ...good, j: "b\0" }, "SLUICE_ERR_KEY_INVALID", /holds NUL/],
    [
      "a lone surrogate in a key",
      { ...good, j: "\ud800" },
      "SLUICE_ERR_KEY_INVALID",
      /lone surrogate/,
    ],
    [
      "a key that is too long",
      { ...good, j: "ü".repeat(8) },
      "SLUICE_ERR_KEY_TOO_LONG",
      /17 bytes .* \(16\)/,
    ],
    ["NaN", { ...good, n: Number.NaN }, "SLUICE_ERR_SUM_INVALID", /received NaN/],
    ["infinity", { ...good, n: Infinity }, "SLUICE_ERR_SUM_INVALID", /received Infinity/],
    ["a fraction", { ...good, n: 0.5 }, "SLUICE_ERR_SUM_INVALID", /received 0.5/],
    ["2^53", { ...good, n: 2 ** 53 }, "SLUICE_ERR_SUM_INVALID", /9007199254740992/],
    [
      "a sum that would overflow",
      { ...good, n: Number.MAX_SAFE_INTEGER },
      "SLUICE_ERR_SUM_INVALID",
      /would leave/,
    ],
    ["a sum that is text", { ...good, n: "1" }, "SLUICE_ERR_SUM_INVALID", /received "1"/],
    ["a sum that is a bigint", { ...good, n: 1n }, "SLUICE_ERR_SUM_INVALID", /received 1n/],
    ["a sum that is null", { ...good, n: null }, "SLUICE_ERR_SUM_INVALID", /received null/],
    ["no time", { ...good, at: "2026-01-01" }, "SLUICE_ERR_TIME_INVALID", /2026/],
    ["an invalid Date", { ...good, at: new Date(Number.NaN) }, "SLUICE_ERR_TIME_INVALID", /NaN/],
    [
      "a false Date",
      { ...good, at: Object.create(Date.prototype) as Date },
      "SLUICE_ERR_TIME_INVALID",
      /received/,
    ],
    [
      "a Date behind a proxy",
      { ...good, at: new Proxy(new Date(), {}) },
      "SLUICE_ERR_TIME_INVALID",
      /received/,
    ],
    [
      "the year 10000",
      { ...good, at: 253_402_300_800_000 },
      "SLUICE_ERR_TIME_INVALID",
      /years 1 to 9999/,
    ],
    ["null", null, "SLUICE_ERR_ITEM_INVALID", /received null/],
    ["undefined", undefined, "SLUICE_ERR_ITEM_INVALID", /received undefined/],
    ["text", "item", "SLUICE_ERR_ITEM_INVALID", /"item"/],
    ["a symbol", Symbol("s"), "SLUICE_ERR_ITEM_INVALID", /Symbol\(s\)/],
    ["a function", () => good, "SLUICE_ERR_ITEM_INVALID", /\[function\]/],
    ["an array", ["a", "b"], "SLUICE_ERR_ITEM_INVALID", /\["a","b"\]/],
    ["an empty array", [], "SLUICE_ERR_ITEM_INVALID", /received \[\]/],
  ];

  /** A batcher that holds something, and what would be sealed of it. */
  function held<Item, Batch>(of: Shape<Item, Batch>, first: Item, lanes = 1) {
    const clock = manualClock();
    const bytes: string[] = [];
    const batcher = createBatcher({
      shape: of,
      sink: (batch) => void bytes.push(new TextDecoder().decode(of.encode(batch))),
      clock,
      lanes,
    });
    for (let add = 0; add < 3; add += 1) batcher.tryAdd(first);
    return { batcher, bytes };
  }

  it.each(items)("%s", async (_, item, code, message) => {
    for (const lanes of [1, 2]) {
      const [touched, untouched] = [held(shape, good, lanes), held(shape, good, lanes)];
      const error = thrownBy(() => touched.batcher.tryAdd(item as typeof good));
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
      await expect(touched.batcher.add(item as typeof good)).rejects.toMatchObject({ code });
      await expect(touched.batcher.deliver(item as typeof good)).rejects.toMatchObject({ code });
      expect(touched.batcher.stats()).toEqual(untouched.batcher.stats());
      await Promise.all([touched.batcher.flush(), untouched.batcher.flush()]);
      expect(touched.bytes).toEqual(untouched.bytes);
      expect(touched.bytes).toEqual(['[[["a","b"],[3,6],[5],3]]']);
    }
  });

  it("when reading it throws, held key or new", async () => {
    const mine = new Error("mine");
    for (const k of ["a", "new"]) {
      const [touched, untouched] = [held(shape, good), held(shape, good)];
      const item = Object.defineProperty(throwing(mine), "k", { value: k, enumerable: true });
      expect(() => touched.batcher.tryAdd(item)).toThrow(mine);
      expect(() => touched.batcher.tryAdd(revoked)).toThrow(TypeError);
      await expect(touched.batcher.deliver(item)).rejects.toBe(mine);
      expect(touched.batcher.stats()).toEqual(untouched.batcher.stats());
      await Promise.all([touched.batcher.flush(), untouched.batcher.flush()]);
      expect(touched.bytes).toEqual(untouched.bytes);
    }
  });

  it("never half-read: a look reads each field once, so no getter can change its mind", async () => {
    const turns = [
      () => Number.NaN,
      () => {
        throw new Error("second read");
      },
    ];
    for (const bad of turns) {
      for (const k of ["a", "new"]) {
        const { batcher, bytes } = held(shape, good);
        // A new key is looked at twice: whether it is held, and then closely.
        batcher.tryAdd(fickle(k, k === "a" ? 1 : 2, bad) as typeof good);
        expect(batcher.stats().accepted).toBe(4);
        await batcher.flush();
        expect(bytes).toEqual([
          k === "a"
            ? '[[["a","b"],[4,8],[5],4]]'
            : '[[["a","b"],[3,6],[5],3],[["new","b"],[1,2],[5],1]]',
        ]);
      }
    }
  });

  it("a getter that adds to the same batcher does not confuse it", async () => {
    for (const k of ["a", "new"]) {
      const { batcher, bytes } = held(shape, good);
      let again = true;
      const item = {
        k,
        j: "b",
        get n(): number {
          if (again) {
            again = false;
            batcher.tryAdd({ k, j: "b", n: 10 });
          }
          return 1;
        },
      };
      batcher.tryAdd(item);
      await batcher.flush();
      expect(bytes).toEqual([
        k === "a"
          ? '[[["a","b"],[14,6],[5],5]]'
          : '[[["a","b"],[3,6],[5],3],[["new","b"],[11,0],[null],2]]',
      ]);
      expect(batcher.stats()).toMatchObject({ accepted: 5, committed: 5 });
    }
  });

  it("of a composed shape: all its parts or none", async () => {
    const parts = compose({ sum: shape, log: list<number>(), set: distinct({ key: ["k"] }) });
    const first = { sum: good, log: 1, set: { k: "s" } };
    const wrong: [unknown, ErrorCode][] = [
      [{ sum: good, log: 1, set: { k: 5 } }, "SLUICE_ERR_KEY_INVALID"],
      [{ ...first, other: 1 }, "SLUICE_ERR_ITEM_UNKNOWN_FIELD"],
      [{}, "SLUICE_ERR_ITEM_INVALID"],
      [{ sum: undefined }, "SLUICE_ERR_ITEM_INVALID"],
      [null, "SLUICE_ERR_ITEM_INVALID"],
      ["x", "SLUICE_ERR_ITEM_INVALID"],
      [[], "SLUICE_ERR_ITEM_INVALID"],
    ];
    for (const [item, code] of wrong) {
      const [touched, untouched] = [held(parts, first, 2), held(parts, first, 2)];
      expect(thrownBy(() => touched.batcher.tryAdd(item as typeof first)).code).toBe(code);
      expect(touched.batcher.stats()).toEqual(untouched.batcher.stats());
      await Promise.all([touched.batcher.flush(), untouched.batcher.flush()]);
      expect(touched.bytes).toEqual(untouched.bytes);
    }
  });

  it("of a list: what its check throws reaches the caller", () => {
    const mine = new Error("mine");
    const check = (value: number): void => {
      if (value < 0) throw mine;
    };
    const { batcher } = held(list({ check }), 1);
    expect(() => batcher.tryAdd(-1)).toThrow(mine);
    expect(batcher.stats()).toMatchObject({ accepted: 3, held: 3 });
    for (const bytes of [Number.NaN, -1, Infinity]) {
      const odd = createBatcher({ shape: list({ bytes: () => bytes }), sink: () => undefined });
      expect(thrownBy(() => odd.tryAdd(1)).code).toBe("SLUICE_ERR_ITEM_INVALID");
    }
  });
});

describe("an item is taken", () => {
  const shape = sums({ key: ["k"], sum: ["n"] });
  const landed = async (add: (tryAdd: (item: unknown) => boolean) => void): Promise<unknown[]> => {
    const records: unknown[] = [];
    const batcher = createBatcher({
      shape,
      sink: (batch) =>
        void records.push(...batch.entries.map(({ key, sums: s }) => [key[0], s[0]])),
      clock: manualClock(),
    });
    add((item) => batcher.tryAdd(item as { k: string; n: number }));
    await batcher.flush();
    return records;
  };

  it("frozen, without a prototype, of a class, with inherited fields, with symbols", async () => {
    class Item {
      readonly k = "k";
      readonly n = 1;
    }
    const items = [
      Object.freeze({ k: "k", n: 1 }),
      Object.assign(Object.create(null) as object, { k: "k", n: 1 }),
      new Item(),
      Object.create({ k: "k", n: 1 }) as object,
      { k: "k", n: 1, [Symbol("note")]: 1 },
      new Proxy({ k: "k", n: 1 }, {}),
      { k: "k", n: -0 },
      { k: "k", n: undefined },
    ];
    expect(await landed((add) => items.forEach((item) => add(item)))).toEqual([["k", 6]]);
  });

  it("with __proto__, constructor and toString as keys, and nothing is polluted", async () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"];
    const records = await landed((add) => {
      for (const k of [...names, ...names]) add({ k, n: 1 });
    });
    expect(new Set(records)).toEqual(new Set(names.map((name) => [name, 2])));
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it.each(["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"])(
    "with fields named %s, present or absent",
    async (name) => {
      const own = (...pairs: [string, unknown][]): Record<string, unknown> =>
        Object.fromEntries(pairs);
      for (const of of [
        sums({ key: ["k"], sum: [name] }),
        sums({ key: ["k"], sum: [], last: [name] }),
      ]) {
        const accumulator = of.accumulator();
        for (const item of [own(["k", "a"]), own(["k", "a"], [name, 5]), own(["k", "a"])]) {
          accumulator.measure(item as never);
          accumulator.fold();
        }
        expect(accumulator.absorb?.(own(["k", "a"], [name, 5]) as never)).toBe(true);
        const { batch } = accumulator.seal(1);
        expect([...(batch.entries[0]?.sums ?? []), ...(batch.entries[0]?.last ?? [])]).toEqual([
          of === undefined || batch.fields.sum.length === 0 ? 5 : 10,
        ]);
        expect(Object.hasOwn(of.entryAt(batch, 0), name)).toBe(true);
      }
      const keyed = sums({ key: [name], sum: [] }).accumulator();
      expect(thrownBy(() => keyed.measure({})).code).toBe("SLUICE_ERR_KEY_INVALID");
      keyed.measure(own([name, "x"]) as never);
      keyed.fold();
      expect(keyed.seal(1).batch.entries[0]?.key).toEqual(["x"]);
      const part = { [`${name}`]: shape, log: list<number>() };
      Object.defineProperty(part, name, { value: shape, enumerable: true });
      const both = compose(part).accumulator();
      both.measure(own(["log", 1]) as never);
      both.fold();
      both.measure(own(["log", 1], [name, { k: "a", n: 1 }]) as never);
      both.fold();
      expect([both.items, both.entries]).toEqual([3, 3]);
    },
  );
});

describe("decode", () => {
  it("refuses bytes that are no batch, whatever they are", () => {
    const shapes = [
      sums({ key: ["k"], sum: ["n"], last: ["at"] }),
      compose({ a: list(), b: distinct({ key: ["k"] }) }),
    ];
    for (const shape of shapes) {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
          try {
            shape.decode(bytes);
          } catch (error) {
            expect(error).toMatchObject({ code: "SLUICE_ERR_BATCH_INVALID" });
          }
        }),
        { numRuns: 300, seed: 1 },
      );
    }
    const sumShape = sums({ key: ["k"], sum: ["n"] });
    const decode = (rows: unknown): unknown =>
      sumShape.decode(new TextEncoder().encode(JSON.stringify(rows)));
    expect(decode([[["a"], [1], [], 1]])).toBeDefined();
    for (const rows of [
      {},
      [1],
      [[["a"], [1.5], [], 1]],
      [[["a"], [1], [], 0]],
      [[["a"], [1], [], 1.5]],
      [[["a", "b"], [1], [], 1]],
      [[[5], [1], [], 1]],
      [
        [["b"], [1], [], 1],
        [["a"], [1], [], 1],
      ],
      [
        [["a"], [1], [], 1],
        [["a"], [1], [], 1],
      ],
    ]) {
      expect(thrownBy(() => decode(rows)).code).toBe("SLUICE_ERR_BATCH_INVALID");
    }
  });
});
