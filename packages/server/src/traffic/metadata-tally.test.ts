import { describe, expect, test } from "vitest";
import { createMetadataTally, metadataOf, type MetadataRow } from "./metadata-tally.ts";
import type { TrafficRequest } from "./request.ts";

const REQUEST: TrafficRequest = {
  client: "c",
  at: 1_431_857_103_999,
  method: "GET",
  target: "/a?b=c#d",
  status: 200,
  bytes: 12,
  referrer: "",
  userAgent: "",
};

function rowOf(...values: (readonly [value: string, at: number])[]): MetadataRow | undefined {
  const tally = createMetadataTally();
  for (const [value, at] of values) tally.add({ agentId: "a", key: "k", value, at });
  expect(tally.values).toBe(values.length);
  return tally.rowsOf("a").get("k");
}

test("a request says its target as it was sent, its status and its user agent", () => {
  const common = { agentId: "a", at: REQUEST.at };
  expect(metadataOf(REQUEST, "a")).toEqual([
    { ...common, key: "path", value: "/a?b=c#d" },
    { ...common, key: "status", value: "200" },
    { ...common, key: "user_agent", value: "" },
  ]);
});

test("rows are told apart by agent and key, whatever their names", () => {
  const tally = createMetadataTally();
  for (const agentId of ["a", "b"]) {
    for (const key of ["__proto__", "k"]) tally.add({ agentId, key, value: agentId + key, at: 0 });
  }
  const rows = [...tally.agents].flatMap((agentId) =>
    Array.from(tally.rowsOf(agentId), ([key, { value }]) => [agentId, key, value]),
  );
  expect(rows).toEqual([
    ["a", "__proto__", "a__proto__"],
    ["a", "k", "ak"],
    ["b", "__proto__", "b__proto__"],
    ["b", "k", "bk"],
  ]);
  expect(tally.rowsOf("c").size).toBe(0);
});

describe("the newest value stays", () => {
  test.each([
    [
      "when it comes last",
      [
        ["old", 1],
        ["new", 2],
      ],
      "new",
      2_000n,
    ],
    [
      "when it comes first",
      [
        ["new", 2],
        ["old", 1],
      ],
      "new",
      2_000n,
    ],
    [
      "and of equal times the last",
      [
        ["old", 2],
        ["new", 2],
      ],
      "new",
      2_000n,
    ],
    [
      "and none comes back",
      [
        ["old", 2],
        ["new", 2],
        ["older", 1],
      ],
      "new",
      2_000n,
    ],
  ] as const)("%s", (_, values, value, at) => {
    expect(rowOf(...values)).toEqual({ value, error: "", at });
  });
});

describe("a value is kept", () => {
  test.each([
    ["whole at 2,048 bytes", "x".repeat(2_048), 2_048, ""],
    ["whole at 2,048 bytes of long characters", "\u{1F600}".repeat(512), 2_048, ""],
    ["cut at 2,049 bytes", "x".repeat(2_049), 2_048, "value of 2049 bytes exceeded 2048 bytes"],
    ["cut before half of 2 bytes", `x${"é".repeat(1_024)}`, 2_047, "value of 2049 bytes exceeded"],
    ["cut before a part of 3 bytes", "€".repeat(683), 2_046, "value of 2049 bytes exceeded"],
    ["cut before a part of 4 bytes", `xx${"\u{1F600}".repeat(512)}`, 2_046, "value of 2050 bytes"],
    ["cut at the first that is too much", `${"x".repeat(2_047)}ézzz`, 2_047, "value of 2052 bytes"],
  ])("%s", (_, value, bytes, error) => {
    const row = rowOf([value, 0]);
    expect(value.startsWith(row?.value ?? "?")).toBe(true);
    expect(Buffer.byteLength(row?.value ?? "")).toBe(bytes);
    expect(row?.value.isWellFormed()).toBe(true);
    expect(row?.error.slice(0, error.length)).toBe(error);
    expect(row?.error === "").toBe(error === "");
  });
});
