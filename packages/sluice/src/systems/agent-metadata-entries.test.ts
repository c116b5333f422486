import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../errors.ts";
import { byteLength } from "../shapes/text.ts";
import {
  type AgentMetadataEntry,
  type AgentMetadataLists,
  readEntries,
} from "./agent-metadata-entries.ts";

const AGENT = "aaaaaaaa-0000-4000-8000-000000000001";
const NOW = 1_000;
const read = (given: unknown) =>
  readEntries(AGENT, given as readonly AgentMetadataEntry[] | AgentMetadataLists, NOW);
const one = (entry: unknown) => read([entry]).items[0];

describe("entries", () => {
  it("are taken as objects or as lists, and default to no error, now", () => {
    const items = [
      { agent_id: AGENT, key: "a", value: "1", error: "", collected_at: NOW },
      { agent_id: AGENT, key: "b", value: "", error: "no", collected_at: 5 },
    ];
    const entries = [
      { key: "a", value: "1" },
      { key: "b", value: "", error: "no", collectedAt: 5 },
    ];
    expect(read(entries)).toEqual({ items, excess: undefined });
    const lists = {
      keys: ["a", "b"],
      values: ["1", ""],
      errors: ["", "no"],
      collectedAt: [NOW, 5],
    };
    expect(read(lists)).toEqual({ items, excess: undefined });
    expect(read([])).toEqual({ items: [], excess: undefined });
  });

  it.each([
    ["of 2,048 bytes whole", "x".repeat(2_048), 2_048, ""],
    ["of 2,049 bytes cut", "x".repeat(2_049), 2_048, "value of 2049 bytes exceeded 2048 bytes"],
    ["cut between characters of 2 bytes", `x${"ü".repeat(1_024)}`, 2_047, "value of 2049 bytes"],
    ["cut between characters of 3 bytes", "€".repeat(683), 2_046, "value of 2049 bytes"],
    [
      "cut between characters of 4 bytes",
      `xx${"\u{1F600}".repeat(512)}`,
      2_046,
      "value of 2050 bytes",
    ],
    ["of 2,048 bytes in long characters whole", "\u{1F600}".repeat(512), 2_048, ""],
  ])("keep a value %s", (_, value, bytes, error) => {
    const item = one({ key: "a", value });
    expect(byteLength(item?.value ?? "")).toBe(bytes);
    expect(value.startsWith(item?.value ?? "?")).toBe(true);
    expect(item?.value.isWellFormed()).toBe(true);
    expect(item?.error).toMatch(new RegExp(`^${error}`));
    if (error === "") expect(item?.error).toBe("");
  });

  it("say that an error was too long instead of it, before that its value was", () => {
    expect(one({ key: "a", value: "1", error: "x".repeat(2_049) })).toMatchObject({
      value: "1",
      error: "error of 2049 bytes exceeded 2048 bytes",
    });
    const both = one({ key: "a", value: "x".repeat(3_000), error: "é".repeat(1_025) });
    expect(both?.error).toBe("error of 2050 bytes exceeded 2048 bytes");
    expect(both?.value).toHaveLength(2_048);
    expect(one({ key: "a", value: "x".repeat(3_000), error: "mine" })?.error).toBe(
      "value of 3000 bytes exceeded 2048 bytes",
    );
  });

  it("are left out from where their keys have more than 6,144 bytes together", () => {
    const entries = Array.from({ length: 49 }, (_, index) => ({
      key: `${String(index).padStart(3, "0")}${"k".repeat(124)}`, // 127 bytes: 48 of them make 6,096
      value: "1",
    }));
    const { items, excess } = read(entries);
    expect(items).toHaveLength(48);
    expect(excess).toMatchObject({
      code: "SLUICE_ERR_KEY_TOO_LONG",
      message: "metadata keys of 6223 bytes exceeded 6144 bytes",
    });
    const exact = [...entries.slice(0, 48), { key: "k".repeat(48), value: "1" }];
    expect(read(exact)).toMatchObject({ excess: undefined, items: { length: 49 } });
  });

  const cases: [string, unknown, ErrorCode, RegExp][] = [
    ["no list", "x", "SLUICE_ERR_ITEM_INVALID", /received "x"/],
    ["nothing", undefined, "SLUICE_ERR_ITEM_INVALID", /received undefined/],
    ["an entry that is none", [5], "SLUICE_ERR_ITEM_INVALID", /received 5/],
    [
      "a field that is none",
      [{ key: "a", value: "1", collected_at: 5 }],
      "SLUICE_ERR_ITEM_UNKNOWN_FIELD",
      /unknown field "collected_at" with value 5/,
    ],
    [
      "lists of something else",
      { keys: [], values: [], errors: [], collectedAt: [], times: [] },
      "SLUICE_ERR_ITEM_UNKNOWN_FIELD",
      /unknown field "times"/,
    ],
    ["a hole", Array(1), "SLUICE_ERR_ITEM_INVALID", /received undefined/],
    ["an entry of null", [null], "SLUICE_ERR_ITEM_INVALID", /received null/],
    [
      "lists of different lengths",
      { keys: ["a", "b"], values: ["1"], errors: ["", ""], collectedAt: [1, 1] },
      "SLUICE_ERR_ITEM_INVALID",
      /same number of items; keys: 2, values: 1, errors: 2, collectedAt: 2/,
    ],
    [
      "lists of which one is missing",
      { keys: ["a"], values: ["1"], errors: [""] },
      "SLUICE_ERR_ITEM_INVALID",
      /lists of keys, values, errors and collectedAt/,
    ],
    [
      "a hole in a list of times",
      { keys: ["a"], values: ["1"], errors: [""], collectedAt: [undefined] },
      "SLUICE_ERR_VERSION_INVALID",
      /received null/,
    ],
    ["an empty key", [{ key: "", value: "of it" }], "SLUICE_ERR_KEY_INVALID", /empty.*"of it"/],
    ["a key that is no text", [{ key: 5, value: "" }], "SLUICE_ERR_KEY_INVALID", /received 5/],
    ["a key with NUL", [{ key: "a\0", value: "" }], "SLUICE_ERR_KEY_INVALID", /NUL/],
    [
      "a key of 128 characters",
      [{ key: "k".repeat(128), value: "" }],
      "SLUICE_ERR_KEY_TOO_LONG",
      /128 characters is longer than 127: "kkk/,
    ],
    ["a value that is no text", [{ key: "a", value: 5 }], "SLUICE_ERR_VALUE_INVALID", /"a".* 5/],
    [
      "a value with NUL",
      [{ key: "a", value: "x\0y" }],
      "SLUICE_ERR_VALUE_INVALID",
      /NUL.*x\\u0000y/,
    ],
    [
      "half a character",
      [{ key: "a", value: "\ud83d" }],
      "SLUICE_ERR_VALUE_INVALID",
      /lone surrogate/,
    ],
    [
      "an error with NUL",
      [{ key: "a", value: "", error: "\0" }],
      "SLUICE_ERR_VALUE_INVALID",
      /the error of "a" holds NUL/,
    ],
    [
      "a date that is none",
      [{ key: "a", value: "", collectedAt: new Date(Number.NaN) }],
      "SLUICE_ERR_VERSION_INVALID",
      /collectedAt of "a" must be a time .* Date\(NaN\)/,
    ],
    [
      "text that is no date",
      [{ key: "a", value: "", collectedAt: "yesterday" }],
      "SLUICE_ERR_VERSION_INVALID",
      /"yesterday"/,
    ],
  ];
  it.each(cases)("refuse %s, and all of them with it", (_, given, code, message) => {
    const good = Array.isArray(given) ? [{ key: "good", value: "1" }, ...given] : given;
    expect(() => read(good)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it("take keys of 127 characters, whatever their bytes", () => {
    expect(one({ key: "\u{1F600}".repeat(127), value: "" })?.key).toHaveLength(254);
  });
});
