import type { PGlite } from "@electric-sql/pglite";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openPglite } from "../../../../test/support/pglite.ts";
import { agentIdOf } from "./agent-id.ts";
import { createMetadataTally } from "./metadata-tally.ts";
import type { TableVerdict } from "./verdict.ts";
import {
  type AgentView,
  expectedOf,
  type MetadataSnapshot,
  readMetadata,
  verifyMetadata,
  verifyView,
} from "./verify-metadata.ts";
import type { Query } from "./verify.ts";

const [C, D] = [agentIdOf("c"), agentIdOf("d")];

function added(...values: (readonly [agentId: string, key: string, value: string, at: number])[]) {
  const tally = createMetadataTally();
  for (const [agentId, key, value, at] of values) tally.add({ agentId, key, value, at });
  return tally;
}

describe("the check of the metadata", () => {
  let db: PGlite;
  const query: Query = async (sql, params) => {
    const result = await db.query<Record<string, unknown>>(sql, [...params]);
    return result.rows;
  };

  beforeAll(async () => {
    db = await openPglite();
    await db.exec(`create table agent_metadata (
      agent_id uuid, key varchar(127), value text, error text, collected_at timestamptz,
      primary key (agent_id, key))`);
  });
  afterAll(() => db.close());
  beforeEach(() => db.exec("truncate agent_metadata"));

  /** Rows that are older than the run, as old, newer by a microsecond, and not of the run. */
  const BEFORE = `insert into agent_metadata values
    ('${C}', 'old', 'was', 'bad', '1970-01-01T00:00:00.999999Z'),
    ('${C}', 'equal', 'was', '', '1970-01-01T00:00:01Z'),
    ('${C}', 'newer', 'was', '', '1970-01-01T00:00:01.000001Z'),
    ('${C}', 'forever', 'was', '', 'infinity'),
    ('${C}', 'never', 'was', '', '-infinity'),
    ('${D}', 'untouched', 'was', '', '0001-01-01T00:00:00Z')`;
  const RUN = added(
    ...["old", "equal", "newer", "forever", "never"].map((key) => [C, key, "is", 1_000] as const),
    [D, "new", "is", 1_500],
  );
  const AFTER = `
    update agent_metadata set value = 'is', error = '', collected_at = to_timestamp(1)
      where key in ('old', 'equal', 'never');
    insert into agent_metadata values ('${D}', 'new', 'is', '', to_timestamp(1.5))`;

  async function verdictAfter(sql: string): Promise<TableVerdict> {
    await db.exec(BEFORE);
    const before = await readMetadata(query);
    await db.exec(AFTER);
    await db.exec(sql);
    return verifyMetadata(query, before, RUN);
  }

  test("is passed by what happened", async () => {
    expect(await verdictAfter("")).toEqual({
      table: "agent_metadata",
      verified: true,
      rows: 7,
      differences: 0,
      examples: [],
    });
  });

  test.each([
    ["delete from agent_metadata where key = 'new'", [`${D}, "new": the row is missing`]],
    [
      "delete from agent_metadata where key = 'untouched'",
      [`${D}, "untouched": the row is missing`],
    ],
    [
      "insert into agent_metadata values (gen_random_uuid(), 'stray', '', '', 'epoch')",
      [expect.stringMatching(/, "stray": nothing that happened explains this row$/)],
    ],
    [
      `insert into agent_metadata values ('${C}', 'NEW', '', '', 'epoch')`,
      [`${C}, "NEW": nothing that happened explains this row`],
    ],
    [
      "update agent_metadata set value = 'IS', error = 'e' where key = 'old'",
      [`${C}, "old": value is "IS", should be "is"`, `${C}, "old": error is "e", should be ""`],
    ],
    [
      "update agent_metadata set value = 'is' where key = 'newer'",
      [`${C}, "newer": value is "is", should be "was"`],
    ],
    [
      "update agent_metadata set collected_at = '1970-01-01T00:00:01.000001Z' where key = 'old'",
      [
        `${C}, "old": collected_at is 1970-01-01T00:00:01.000001Z, ` +
          "should be 1970-01-01T00:00:01.000000Z",
      ],
    ],
    [
      "update agent_metadata set collected_at = 'infinity' where key = 'untouched'",
      [
        `${D}, "untouched": collected_at is 9223372036854775807, ` +
          "should be 0001-01-01T00:00:00.000000Z",
      ],
    ],
  ])("notices: %s", async (sql, examples) => {
    const verdict = await verdictAfter(sql);
    expect(verdict).toMatchObject({ verified: false, differences: examples.length, examples });
  });

  test("names three differences, counts them all, and shows the start of a long value", async () => {
    const verdict = await verdictAfter("update agent_metadata set value = repeat('é', 70)");
    expect(verdict).toMatchObject({ verified: false, rows: 7, differences: 7 });
    expect(verdict.examples).toHaveLength(3);
    expect(verdict.examples[0]).toContain(`value is "${"é".repeat(60)}"… of 140 bytes, should be`);
  });

  test("reads more rows than fit a page, before and after", async () => {
    await db.exec(`insert into agent_metadata
      select lpad(to_hex(v), 32, '0')::uuid, k, v, '', 'epoch'
      from generate_series(1, 3334) v, (values ('a'), ('b'), ('c')) as keys(k)`);
    const before = await readMetadata(query);
    expect([before.size, [...before.values()].every(({ size }) => size === 3)]).toEqual([
      3_334,
      true,
    ]);
    const verdict = await verifyMetadata(query, before, added());
    expect(verdict).toMatchObject({ verified: true, rows: 10_002 });
  });
});

describe("the check of a view", () => {
  const before: MetadataSnapshot = new Map([
    [
      C,
      new Map([
        ["other", { value: "o", error: "e", at: 1_000_999n }],
        ["path", { value: "was", error: "", at: 999n }],
        ["early", { value: "", error: "", at: -1n }],
      ]),
    ],
  ]);
  const expected = expectedOf(C, before, added([C, "path", "/", 1], [D, "path", "/d", 1]));
  const entry = (key: string, value: string, error: string, at: number) => ({
    key,
    value,
    error,
    collectedAt: new Date(at),
  });
  const right = {
    agentId: C,
    entries: [
      entry("early", "", "", -1),
      entry("other", "o", "e", 1_000),
      entry("path", "/", "", 1),
    ],
  };

  test("is passed by what the client has, to the millisecond", () => {
    expect(verifyView("c", right, expected)).toEqual({
      table: "watch of c",
      verified: true,
      rows: 3,
      differences: 0,
      examples: [],
    });
    expect(verifyView("x", { agentId: agentIdOf("x"), entries: [] }, new Map()).verified).toBe(
      true,
    );
  });

  test.each<[what: string, view: AgentView | undefined, examples: readonly string[]]>([
    ["no view", undefined, ['"c": the watcher has seen nothing']],
    ["the view of another", { ...right, agentId: D }, [`"c": the view is of ${D}`]],
    [
      "a key that is missing",
      { ...right, entries: right.entries.slice(1) },
      ['"early": it is missing'],
    ],
    [
      "a key that is there twice",
      { ...right, entries: [...right.entries, entry("path", "/", "", 1)] },
      ['"path": nothing that happened explains this row'],
    ],
    [
      "an earlier value",
      { ...right, entries: [...right.entries.slice(0, 2), entry("path", "was", "", 0)] },
      [
        '"path": value is "was", should be "/"',
        '"path": collected_at is 1970-01-01T00:00:00.000000Z, should be 1970-01-01T00:00:00.001000Z',
      ],
    ],
    [
      "a time that is none",
      { ...right, entries: [...right.entries.slice(0, 2), entry("path", "/", "", Number.NaN)] },
      ['"path": collected_at is null, should be 1970-01-01T00:00:00.001000Z'],
    ],
  ])("notices %s", (_, view, examples) => {
    const verdict = verifyView("c", view, expected);
    expect(verdict).toMatchObject({ verified: false, differences: examples.length, examples });
  });
});
