import type { Compared, TableVerdict } from "../traffic/verdict.ts";
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

/** What the values of the agents came to. */
export interface MetadataFigures {
  /** Values that were accepted. */
  readonly items: number;
  /** Those of them that were sent: the newest of each key, per batch. */
  readonly entries: number;
  /** Those that a newer one replaced before. */
  readonly superseded: number;
  readonly batches: number;
  readonly notifications: number;
  readonly committed: number;
  /** Rows that were written, those that had been `missing` included. */
  readonly changed: number;
  /** Entries whose row was newer. */
  readonly stale: number;
  readonly missing: number;
  /** How often a watcher saw a client differ. */
  readonly views: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly unknown: number;
}

/** What the rows of the access log came to. */
export interface RowFigures {
  readonly items: number;
  readonly batches: number;
  /** Of the rows that landed, as they were sent. */
  readonly bytes: number;
  readonly committed: number;
  readonly deadLettered: number;
  readonly dropped: number;
  readonly unknown: number;
  /** Why there were none, and what to do about it. */
  readonly skipped?: string;
}

/** What the checks of gates came to. */
export interface GateFigures {
  readonly checks: number;
  /** Calls that the flag API has had, those that repeat one included. */
  readonly apiCalls: number;
  /** Checks whose answer was there already. */
  readonly cacheHits: number;
  /** Checks without an answer. */
  readonly failures: number;
}

/** The JSON form of a summary: a published format, so fields are only ever added. */
interface DemoReport {
  /** Requests that were accepted. */
  readonly events: number;
  readonly skipped: number;
  readonly clients: number;
  readonly systems: {
    readonly clientStats: SystemFigures;
    readonly agentMetadata: MetadataFigures;
    readonly accessRows: RowFigures;
    readonly gates: GateFigures;
  };
  /** What landed is what happened, in every system that was not skipped, and all answers were right. */
  readonly verified: boolean;
  readonly elapsedMs: number;
}

/** A report and what only people want to know. */
export interface Summary {
  readonly report: DemoReport;
  readonly source: string;
  /** Where it landed. */
  readonly databases: readonly string[];
  readonly interrupted: boolean;
  /** The client that a watcher followed in the end. */
  readonly watched: string | undefined;
  readonly skippedExamples: ReplayCounts["examples"];
  readonly verdicts: readonly TableVerdict[];
}

/** A line of the figures. */
type Figure = readonly [name: string, figure: string, note: string];

/** What a gateway without a batcher sends per request: request, operation, table, last seen. */
const NAIVE_STATEMENTS = 4;

/** Lays a summary out for people. */
export function formatSummary(summary: Summary): string {
  const { report, source, databases, interrupted } = summary;
  const heading = interrupted ? "Interrupted. Replayed what was read of" : "Replayed";
  return [
    printable(`${heading} ${source} into ${databases.join(" and ")}`),
    "",
    ...formatFigures(report, summary.watched),
    "",
    ...formatVerdicts(summary.verdicts),
    "",
    ...formatSkipped(report.skipped, summary.skippedExamples),
    ...formatLeftOut(report.systems.accessRows),
    formatConclusion(report, summary.verdicts),
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

function formatLeftOut({ skipped }: RowFigures): readonly string[] {
  return skipped === undefined ? [] : [printable(`Note: ${skipped}.`), ""];
}

function formatFigures(report: DemoReport, watched: string | undefined): readonly string[] {
  const { events, elapsedMs, systems } = report;
  const { clientStats, agentMetadata, accessRows, gates } = systems;
  const { entries, batches, statements } = clientStats;
  const saved = events - statements;
  const naive = NAIVE_STATEMENTS * events;
  const share = events === 0 ? "" : ` (${percent(saved, events)})`;
  const perSecond = elapsedMs === 0 ? 0 : Math.round((1_000 * events) / elapsedMs);
  const figures: Figure[] = [
    ["requests", count(events), `of ${plural(report.clients, "client")}`],
    ["skipped", count(report.skipped), "malformed or refused lines"],
    ["entries", count(entries), "rows written, after folding"],
    ["batches", count(batches), ""],
    ["statements", count(statements), ""],
    ["saved", count(saved), `statements against one per request${share};`],
    ["", "", `request, operation, table and last seen one by one: ${count(naive)}`],
    ["metadata", count(agentMetadata.changed), describeMetadata(agentMetadata)],
    ...describeStale(agentMetadata),
    ...(watched === undefined ? [] : [describeWatch(agentMetadata, watched)]),
    ["log rows", count(accessRows.committed), describeRows(accessRows)],
    ["gates", count(gates.checks), describeGates(gates)],
    ["time", `${(elapsedMs / 1_000).toFixed(2)} s`, `${count(perSecond)} requests/s`],
    ...troubles(clientStats, "items"),
    ...troubles(agentMetadata, "values"),
    ...troubles(accessRows, "log rows"),
    ...describeFailures(gates),
  ];
  return alignRows(figures);
}

function describeMetadata({ items, batches, notifications }: MetadataFigures): string {
  const sent = `${plural(batches, "batch")}, ${plural(notifications, "notification")}`;
  return `rows written, the newest of ${plural(items, "value")}: ${sent}`;
}

function describeStale({ stale }: MetadataFigures): readonly Figure[] {
  return stale === 0 ? [] : [["stale", count(stale), "values that were older than their row"]];
}

function describeWatch({ views }: MetadataFigures, watched: string): Figure {
  const last = `the last of ${printable(watched)}, the busiest client`;
  return ["watched", count(views), `${views === 1 ? "view" : "views"}, ${last}`];
}

function describeRows({ batches, bytes, skipped }: RowFigures): string {
  if (skipped !== undefined) return "left out";
  return `written as they came: ${plural(batches, "batch")}, ${plural(bytes, "byte")}`;
}

function describeGates({ checks, apiCalls, cacheHits }: GateFigures): string {
  const share = checks === 0 ? "" : ` (${percent(cacheHits, checks)})`;
  const kept = `${count(cacheHits)} answered from the cache${share}`;
  return `checks, two per request, in ${plural(apiCalls, "call")}; ${kept}`;
}

function describeFailures({ failures }: GateFigures): readonly Figure[] {
  return failures === 0 ? [] : [["unanswered", count(failures), "checks that failed"]];
}

function troubles(
  { deadLettered, dropped, unknown }: SystemFigures | MetadataFigures | RowFigures,
  noun: string,
): readonly Figure[] {
  return Object.entries({ "dead-lettered": deadLettered, dropped, unknown })
    .filter(([, items]) => items > 0)
    .map(([name, items]) => [name, count(items), `${noun} that are not known to have landed`]);
}

function alignRows(rows: readonly Figure[]): readonly string[] {
  const nameWidth = Math.max(...rows.map(([name]) => name.length));
  const figureWidth = Math.max(...rows.map(([, figure]) => figure.length));
  return rows.map(([name, figure, note]) =>
    `  ${name.padEnd(nameWidth)}  ${figure.padStart(figureWidth)}  ${note}`.trimEnd(),
  );
}

const AS_IT_SHOULD_BE: Readonly<Record<Compared, string>> = {
  row: "as counted",
  answer: "as the rules say",
};

/** One line per table, and one of the answers, and below it the first differences. */
export function formatVerdicts(verdicts: readonly TableVerdict[]): readonly string[] {
  const names = verdicts.map(({ table }) => printable(table));
  const width = Math.max(0, ...names.map((name) => name.length));
  return verdicts.flatMap(({ verified, rows, differences, examples, ...rest }, index) => {
    const { compared = "row" } = rest;
    const result = verified
      ? `${plural(rows, compared)} ${AS_IT_SHOULD_BE[compared]}`
      : `${plural(differences, "difference")} in ${plural(rows, compared)}`;
    const lines = [`  ${verified ? "✓" : "✗"} ${(names[index] ?? "").padEnd(width)}  ${result}`];
    for (const example of examples) lines.push(`      ${printable(example)}`);
    const more = differences - examples.length;
    if (more > 0) lines.push(`      and ${count(more)} more`);
    return lines;
  });
}

function formatConclusion(
  { events, verified, systems }: DemoReport,
  verdicts: readonly TableVerdict[],
): string {
  if (verified && events === 0) return "Nothing was replayed, and nothing landed.";
  const wrong = verdicts.filter((verdict) => !verdict.verified);
  if (!verified && wrong.every(({ compared }) => compared === "answer")) {
    return "NOT verified: what was answered is not what the rules say.";
  }
  if (!verified) return "NOT verified: what landed is not what happened.";
  return systems.accessRows.skipped === undefined
    ? "Verified: what landed is what happened."
    : "Verified, but for the access log: what landed is what happened.";
}

/** Rounded down: 100 % would be all of them. */
function percent(part: number, whole: number): string {
  return `${(Math.floor((1_000 * part) / whole) / 10).toFixed(1)} %`;
}

function count(value: number): string {
  return value.toLocaleString("en");
}

function plural(value: number, noun: string): string {
  const ending = value === 1 ? "" : noun.endsWith("h") ? "es" : "s";
  return `${count(value)} ${noun}${ending}`;
}
