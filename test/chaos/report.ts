import type { InsertReport } from "./clickhouse.ts";
import type { KillReport } from "./kill-writers.ts";
import type { StormReport } from "./storm.ts";

/** What `npm run chaos` found; undefined are the parts that it was not asked for. */
export interface ChaosReport {
  readonly seed: number;
  readonly postgres: StormReport | undefined;
  readonly killed: KillReport | undefined;
  readonly clickhouse: InsertReport | undefined;
  /** Everything that is not as it was accepted. */
  readonly drift: number;
  readonly durationMs: number;
}

type Line = readonly [name: string, figure: number];

/** How many findings a person is shown of each part. */
const SHOWN = 10;

/** Lays a report out for people. */
export function formatReport(report: ChaosReport): string {
  const { seed, postgres, killed, clickhouse, drift, durationMs } = report;
  return [
    ...part("PostgreSQL, with pgbouncer", postgres, postgresLines),
    ...part("Both, from processes that are killed", killed, killedLines),
    ...part("ClickHouse over HTTP", clickhouse, clickhouseLines),
    `seed ${seed}, ${seconds(durationMs)}: ${drift === 0 ? "no drift" : `drift ${drift}`}`,
  ].join("\n");
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

function part<T extends { readonly drift: readonly string[]; readonly durationMs: number }>(
  title: string,
  report: T | undefined,
  linesOf: (report: T) => readonly Line[],
): readonly string[] {
  if (report === undefined) return [];
  const lines: readonly Line[] = [...linesOf(report), ["drift", report.drift.length]];
  return [
    `${title}, ${seconds(report.durationMs)}`,
    ...lines.map(([name, n]) => `  ${name.padEnd(32)}${n.toLocaleString("en").padStart(9)}`),
    ...report.drift.slice(0, SHOWN).map((finding) => `    ${finding}`),
    "",
  ];
}

const postgresLines = (report: StormReport): readonly Line[] => [
  ["writers", report.writers],
  ["batches", report.batches],
  ["items", report.items],
  ["backends killed", report.struck.kill],
  ["connections cut at a random byte", report.struck.cut],
  ["answers to COMMIT lost", report.struck.loss],
  ["COMMITs delayed", report.struck.delay],
  ["immediate restarts", report.struck.restart],
  ["attempts that timed out", report.timeouts],
  ["times without connections", report.struck.full],
  ["attempts refused a connection", report.refusals],
  ["retries", report.retries],
  ["duplicates recognised", report.duplicates],
];

const killedLines = (report: KillReport): readonly Line[] => [
  ["processes killed", report.killed],
  ["items given to five tables", report.items],
  ["acknowledged", report.acknowledged],
  ["answers lost", report.losses],
];

const clickhouseLines = (report: InsertReport): readonly Line[] => [
  ["writers", report.writers],
  ["batches", report.batches],
  ["rows", report.rows],
  ["answers lost", report.struck.lost],
  ["inserts that never arrived", report.struck.never],
  ["inserts done too late", report.struck.late],
  ["answers and requests cut", report.cuts],
  ["retries", report.retries],
];
