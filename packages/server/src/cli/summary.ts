import type { TableVerdict } from "../traffic/verify.ts";
import { printable } from "./failure.ts";
import type { ReplayCounts } from "./replay.ts";

/** What a system of the library says about its work. */
export interface SystemFigures {
  readonly items: number;
  readonly entries: number;
  readonly batches: number;
  readonly statements: number;
  readonly committed: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly unknown: number;
}

/** The JSON form of a summary: a published format, so fields are only ever added. */
interface DemoReport {
  /** Requests that were accepted. */
  readonly events: number;
  readonly skipped: number;
  readonly clients: number;
  readonly systems: { readonly clientStats: SystemFigures };
  readonly verified: boolean;
  readonly elapsedMs: number;
}

/** A report and what only people want to know. */
export interface Summary {
  readonly report: DemoReport;
  readonly source: string;
  readonly database: string;
  readonly interrupted: boolean;
  readonly skippedExamples: ReplayCounts["examples"];
  readonly verdicts: readonly TableVerdict[];
}

/** What a gateway without a batcher sends per request: request, operation, table, last seen. */
const NAIVE_STATEMENTS = 4;

/** Lays a summary out for people. */
export function formatSummary(summary: Summary): string {
  const { report, source, database, interrupted } = summary;
  const heading = interrupted ? "Interrupted. Replayed what was read of" : "Replayed";
  return [
    printable(`${heading} ${source} into ${database}`),
    "",
    ...formatFigures(report),
    "",
    ...formatVerdicts(summary.verdicts),
    "",
    ...formatSkipped(report.skipped, summary.skippedExamples),
    formatConclusion(report),
    "",
  ].join("\n");
}

/** Names the first lines that were skipped; no line where there were none. */
export function formatSkipped(
  skipped: number,
  examples: ReplayCounts["examples"],
): readonly string[] {
  if (skipped === 0) return [];
  const lines = examples.map(({ line, reason }) => `  line ${count(line)} ${printable(reason)}`);
  const more = skipped - examples.length;
  if (more > 0) lines.push(`  and ${count(more)} more`);
  return [`Skipped ${plural(skipped, "line")}:`, ...lines, ""];
}

function formatFigures(report: DemoReport): readonly string[] {
  const { events, elapsedMs, systems } = report;
  const { entries, batches, statements, deadLettered, dropped, unknown } = systems.clientStats;
  const saved = events - statements;
  const naive = NAIVE_STATEMENTS * events;
  // Rounded down: 100 % would be none at all.
  const share =
    events === 0 ? "" : ` (${(Math.floor((1_000 * saved) / events) / 10).toFixed(1)} %)`;
  const perSecond = elapsedMs === 0 ? 0 : Math.round((1_000 * events) / elapsedMs);
  const figures: (readonly [name: string, figure: string, note: string])[] = [
    ["requests", count(events), `of ${plural(report.clients, "client")}`],
    ["skipped", count(report.skipped), "malformed or refused lines"],
    ["entries", count(entries), "rows written, after folding"],
    ["batches", count(batches), ""],
    ["statements", count(statements), ""],
    ["saved", count(saved), `statements against one per request${share};`],
    ["", "", `request, operation, table and last seen one by one: ${count(naive)}`],
    ["time", `${(elapsedMs / 1_000).toFixed(2)} s`, `${count(perSecond)} requests/s`],
  ];
  const trouble = { "dead-lettered": deadLettered, dropped, unknown };
  for (const [name, items] of Object.entries(trouble)) {
    if (items > 0) figures.push([name, count(items), "items that are not known to have landed"]);
  }
  return alignRows(figures);
}

function alignRows(rows: readonly (readonly [string, string, string])[]): readonly string[] {
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const figureWidth = Math.max(...rows.map(([, figure]) => figure.length));
  return rows.map(([name, figure, note]) =>
    `  ${name.padEnd(nameWidth)}  ${figure.padStart(figureWidth)}  ${note}`.trimEnd(),
  );
}

/** One line per table, and below it the first differences. */
export function formatVerdicts(verdicts: readonly TableVerdict[]): readonly string[] {
  const width = Math.max(0, ...verdicts.map(({ table }) => table.length));
  return verdicts.flatMap(({ table, verified, rows, differences, examples }) => {
    const result = verified
      ? `${plural(rows, "row")} as counted`
      : `${plural(differences, "difference")} in ${plural(rows, "row")}`;
    const lines = [`  ${verified ? "✓" : "✗"} ${table.padEnd(width)}  ${result}`];
    for (const example of examples) lines.push(`      ${printable(example)}`);
    const more = differences - examples.length;
    if (more > 0) lines.push(`      and ${count(more)} more`);
    return lines;
  });
}

function formatConclusion({ events, verified }: DemoReport): string {
  if (verified && events === 0) return "Nothing was replayed, and nothing landed.";
  return verified
    ? "Verified: what landed is what happened."
    : "NOT verified: what landed is not what happened.";
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}
