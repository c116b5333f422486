import { expect, test } from "vitest";
import type { TableVerdict } from "../traffic/verdict.ts";
import { formatSummary, type Summary } from "./summary.ts";

const ANSWERS: TableVerdict = {
  table: "gates",
  verified: true,
  rows: 12_000,
  compared: "answer",
  differences: 0,
  examples: [],
};

const summary: Summary = {
  report: {
    events: 6_000,
    skipped: 0,
    clients: 1_120,
    systems: {
      clientStats: {
        items: 6_000,
        entries: 4_321,
        batches: 6,
        statements: 6,
        committed: 6_000,
        deadLettered: 0,
        dropped: 0,
        unknown: 0,
      },
      agentMetadata: {
        items: 18_000,
        entries: 3_460,
        superseded: 14_540,
        batches: 2,
        notifications: 4,
        committed: 18_000,
        changed: 3_455,
        stale: 0,
        missing: 3_450,
        views: 14,
        deadLettered: 0,
        dropped: 0,
        unknown: 0,
      },
      accessRows: {
        items: 6_000,
        batches: 1,
        bytes: 1_131_937,
        committed: 6_000,
        deadLettered: 0,
        dropped: 0,
        unknown: 0,
      },
      gates: { checks: 12_000, apiCalls: 1_181, cacheHits: 8_999, failures: 0 },
    },
    verified: true,
    elapsedMs: 1_500,
  },
  source: '"access.log"',
  databases: ["embedded PostgreSQL", "embedded ClickHouse"],
  interrupted: false,
  watched: "c\u001b",
  skippedExamples: [],
  verdicts: [
    { table: "client_statistics", verified: true, rows: 1_120, differences: 0, examples: [] },
    { table: "clients", verified: true, rows: 1, differences: 0, examples: [] },
    { table: "watch of c\u001b", verified: true, rows: 3, differences: 0, examples: [] },
    ANSWERS,
  ],
};

test("a verified run", () => {
  expect(
    formatSummary(summary),
  ).toBe(`Replayed "access.log" into embedded PostgreSQL and embedded ClickHouse

  requests     6,000  of 1,120 clients
  skipped          0  malformed or refused lines
  entries      4,321  rows written, after folding
  batches          6
  statements       6
  saved        5,994  statements against one per request (99.9 %);
                      request, operation, table and last seen one by one: 24,000
  metadata     3,455  rows written, the newest of 18,000 values: 2 batches, 4 notifications
  watched         14  views, the last of c\\u{1b}, the busiest client
  log rows     6,000  written as they came: 1 batch, 1,131,937 bytes
  gates       12,000  checks, two per request, in 1,181 calls; 8,999 answered from the cache (74.9 %)
  time        1.50 s  4,000 requests/s

  ✓ client_statistics  1,120 rows as counted
  ✓ clients            1 row as counted
  ✓ watch of c\\u{1b}   3 rows as counted
  ✓ gates              12,000 answers as the rules say

Verified: what landed is what happened.
`);
});

test("an interrupted run that lost something and could not read everything", () => {
  const { report } = summary;
  const clientStats = { ...report.systems.clientStats, unknown: 12 };
  const agentMetadata = { ...report.systems.agentMetadata, dropped: 5, stale: 4, views: 1 };
  const accessRows = { ...report.systems.accessRows, batches: 2, deadLettered: 3 };
  const gates = { ...report.systems.gates, apiCalls: 1, failures: 6 };
  const systems = { clientStats, agentMetadata, accessRows, gates };
  const text = formatSummary({
    ...summary,
    report: { ...report, verified: false, skipped: 7, systems },
    interrupted: true,
    skippedExamples: [{ line: 1_234, reason: "is too long" }],
    verdicts: [
      {
        table: "clients",
        verified: false,
        rows: 3,
        differences: 5,
        examples: ['"a\u001b": the row is missing'],
      },
    ],
  });
  expect(text).toMatch(/^Interrupted\./);
  expect(text).toContain("  unknown            12  items that are not known to have landed\n");
  expect(text).toContain("  dropped             5  values that are not known to have landed\n");
  expect(text).toContain("  stale               4  values that were older than their row\n");
  expect(text).toContain("  watched             1  view, the last of ");
  expect(text).toContain("  dead-lettered       3  log rows that are not known to have landed\n");
  expect(text).toContain("written as they came: 2 batches, ");
  expect(text).toContain("  gates          12,000  checks, two per request, in 1 call; ");
  expect(text).toContain("  unanswered          6  checks that failed\n");
  expect(text).toContain("  ✗ clients  5 differences in 3 rows\n");
  expect(text).toContain('      "a\\u{1b}": the row is missing\n      and 4 more\n');
  expect(text).toContain("Skipped 7 lines:\n  line 1,234 is too long\n  and 6 more\n");
  expect(text).toMatch(/NOT verified: what landed is not what happened\.\n$/);
});

test("a run whose answers alone are wrong", () => {
  const examples = ["edge_cache of x: is true, should be false"];
  const wrong = { ...ANSWERS, verified: false, differences: 2, examples };
  const report = { ...summary.report, verified: false };
  const text = formatSummary({
    ...summary,
    report,
    verdicts: [...summary.verdicts.slice(0, 3), wrong],
  });
  expect(text).toContain("  ✗ gates              2 differences in 12,000 answers\n");
  expect(text).toContain("      edge_cache of x: is true, should be false\n      and 1 more\n");
  expect(text).toMatch(/\nNOT verified: what was answered is not what the rules say\.\n$/);
});

test("a run without chDB says so, and what to do", () => {
  const { report } = summary;
  const accessRows = { ...report.systems.accessRows, items: 0, committed: 0, batches: 0, bytes: 0 };
  const skipped = "the access log is left out; run `x`";
  const systems = { ...report.systems, accessRows: { ...accessRows, skipped } };
  const text = formatSummary({ ...summary, report: { ...report, systems } });
  expect(text).toContain("  log rows         0  left out\n");
  expect(text).toMatch(
    /\n\nNote: the access log is left out; run `x`\.\n\nVerified, but for the access log: .*\n$/,
  );
});

test("a run without requests", () => {
  const gates = { checks: 0, apiCalls: 0, cacheHits: 0, failures: 0 };
  const systems = { ...summary.report.systems, gates };
  const report = { ...summary.report, systems, events: 0, clients: 0, elapsedMs: 0 };
  const text = formatSummary({ ...summary, report, watched: undefined });
  expect(text).not.toMatch(/NaN|Infinity|watched/);
});
