import { expect, test } from "vitest";
import { formatSummary, type Summary } from "./summary.ts";

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
    },
    verified: true,
    elapsedMs: 1_500,
  },
  source: '"access.log"',
  database: "embedded PostgreSQL",
  interrupted: false,
  skippedExamples: [],
  verdicts: [
    { table: "client_statistics", verified: true, rows: 1_120, differences: 0, examples: [] },
    { table: "clients", verified: true, rows: 1, differences: 0, examples: [] },
  ],
};

test("a verified run", () => {
  expect(formatSummary(summary)).toBe(`Replayed "access.log" into embedded PostgreSQL

  requests     6,000  of 1,120 clients
  skipped          0  malformed or refused lines
  entries      4,321  rows written, after folding
  batches          6
  statements       6
  saved        5,994  statements against one per request (99.9 %);
                      request, operation, table and last seen one by one: 24,000
  time        1.50 s  4,000 requests/s

  ✓ client_statistics  1,120 rows as counted
  ✓ clients            1 row as counted

Verified: what landed is what happened.
`);
});

test("an interrupted run that lost something and could not read everything", () => {
  const { report } = summary;
  const clientStats = { ...report.systems.clientStats, unknown: 12 };
  const text = formatSummary({
    ...summary,
    report: { ...report, verified: false, skipped: 7, systems: { clientStats } },
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
  expect(text).toContain("  unknown         12  items that are not known to have landed\n");
  expect(text).toContain("  ✗ clients  5 differences in 3 rows\n");
  expect(text).toContain('      "a\\u{1b}": the row is missing\n      and 4 more\n');
  expect(text).toContain("Skipped 7 lines:\n  line 1,234 is too long\n  and 6 more\n");
  expect(text).toMatch(/NOT verified: what landed is not what happened\.\n$/);
});

test("a run without requests", () => {
  const report = { ...summary.report, events: 0, clients: 0, elapsedMs: 0 };
  expect(formatSummary({ ...summary, report })).not.toMatch(/NaN|Infinity/);
});
