/** Many writers into one PostgreSQL while everything around it fails, as a plan drawn from a seed says. */
import { setTimeout as pause } from "node:timers/promises";
import type { SluiceEvent, Stats } from "sluice";
import { sqlstateOf } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import {
  SLOWNESS_DDL,
  slowableDdl,
  STATEMENT_TIMEOUT,
  strike,
  TOO_MANY_CONNECTIONS,
} from "./faults.ts";
import { drawPlan, type FaultKind, KINDS } from "./plan.ts";
import { openServers, type Servers } from "./servers.ts";
import { emptyTally, findDrift } from "./tally.ts";
import { TRAFFIC, type Traffic } from "./traffic.ts";
import { LANES, openWriters, write } from "./writers.ts";

export interface StormOptions {
  readonly seed: number;
  /** Faults are spread over so many batches, and writers go on until all have struck. */
  readonly batches: number;
  /** False does without the ledger, and sends only what counts: that this can fail shows then. */
  readonly ledger?: boolean;
  readonly onProgress?: (progress: StormProgress) => void;
}

interface StormProgress {
  readonly batches: number;
  /** How often each kind of fault has struck. */
  readonly struck: Readonly<Record<FaultKind, number>>;
}

export interface StormReport extends StormProgress {
  readonly writers: number;
  readonly items: number;
  readonly retries: number;
  /** Attempts that found their batch applied already. */
  readonly duplicates: number;
  /** Attempts that a statement timeout ended, and those that found no connection left. */
  readonly timeouts: number;
  readonly refusals: number;
  /** What is not as it was counted. */
  readonly drift: readonly string[];
  readonly durationMs: number;
}

export async function storm(options: StormOptions): Promise<StormReport> {
  const started = performance.now();
  // What comes out the same, however often it comes, can show nothing.
  const traffic = options.ledger === false ? TRAFFIC.filter(({ counts }) => counts) : TRAFFIC;
  const tables = TRAFFIC.flatMap((kind) => kind.tables);
  const ddl = [...TRAFFIC.map((kind) => kind.ddl), SLOWNESS_DDL, ...tables.map(slowableDdl)];
  const servers = await openServers(ddl);
  try {
    const report = await storming(servers, traffic, options);
    return { ...report, durationMs: Math.round(performance.now() - started) };
  } finally {
    await servers.close();
  }
}

async function storming(
  servers: Servers,
  traffic: readonly Traffic[],
  { seed, batches, ledger = true, onProgress }: StormOptions,
): Promise<Omit<StormReport, "durationMs">> {
  const plan = drawPlan(batches, seededRandom(seed));
  const tables = traffic.flatMap((kind) => kind.tables);
  const tally = emptyTally();
  const struck = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  const { observe, landed, met } = openWitness();
  const { writers, end } = openWriters(servers, { seed, traffic, ledger, tally, observe });
  let over = false;
  const writing = Promise.all(writers.map((writer, n) => write(writer, seed + n, () => over)));
  const striking = KINDS.map(async (kind) => {
    for (const fault of plan[kind]) {
      while (landed() < fault.at) await pause(2);
      await strike(fault, { servers, tables, met });
      struck[kind] += 1;
      onProgress?.({ batches: landed(), struck });
    }
  });
  // Writers end when they are told to, or because they fail.
  await Promise.race([writing, Promise.all(striking)]);
  while (landed() < batches) await pause(2);
  over = true;
  const all = await writing;
  await end();
  await untilIdle(servers);

  const sum = (pick: (stats: Stats) => number): number => all.reduce((n, s) => n + pick(s), 0);
  const settled = sum((stats) => stats.batches);
  return {
    writers: writers.length,
    batches: settled,
    items: sum((stats) => stats.accepted),
    retries: sum((stats) => stats.retries),
    duplicates: sum((stats) => stats.duplicates),
    timeouts: met(STATEMENT_TIMEOUT),
    refusals: met(TOO_MANY_CONNECTIONS),
    struck: { ...struck, ...harm(servers) },
    drift: [
      ...all.flatMap((stats, n) => booksFault(`writer ${n}`, stats)),
      ...(await findDrift(servers.query, tally)),
      ...(ledger ? await ledgerFaults(servers, LANES * writers.length, settled) : []),
    ],
  };
}

/** Counts the batches that have landed, and the failures that writers have met, by SQLSTATE. */
function openWitness() {
  const failures = new Map<string, number>();
  const met = (state: string): number => failures.get(state) ?? 0;
  let landed = 0;
  return {
    observe: (event: SluiceEvent): void => {
      if (event.type === "committed") landed += 1;
      if (event.type !== "retried") return;
      const state = stateOf(event.error);
      failures.set(state, met(state) + 1);
    },
    landed: () => landed,
    met,
  };
}

/** What was on its way when its writer gave it up may still be at work. */
async function untilIdle({ query }: Servers): Promise<void> {
  const working = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
    AND state <> 'idle' AND pid <> pg_backend_pid()`;
  while ((await query(working)).length > 0) await pause(10);
}

/** What the proxies did, by their own count. */
function harm({ proxies }: Servers): Pick<Record<FaultKind, number>, "cut" | "loss" | "delay"> {
  const sum = (fate: "torn" | "cut" | "hold"): number =>
    Object.values(proxies).reduce((n, { struck }) => n + struck[fate], 0);
  return { cut: sum("torn"), loss: sum("cut"), delay: sum("hold") };
}

/** What the server said, also where the pooler passes it on without its SQLSTATE. */
function stateOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const text = cause instanceof Error ? cause.message : "";
  return /connection slots|too many clients/.test(text)
    ? TOO_MANY_CONNECTIONS
    : (sqlstateOf(cause) ?? "none");
}

/** Whatever was accepted is committed. */
function booksFault(name: string, { accepted, committed, deadLettered, unknown }: Stats): string[] {
  if (accepted === committed) return [];
  const rest = `${deadLettered} dead letters, ${unknown} unknown`;
  return [`${name}: ${accepted} items accepted, ${committed} committed, ${rest}`];
}

/** One row per lane, whatever happened, and its seq is the number of its batches. */
async function ledgerFaults(
  { query }: Servers,
  lanes: number,
  batches: number,
): Promise<readonly string[]> {
  const [row] = await query("SELECT count(*)::int AS lanes, sum(seq)::int AS n FROM sluice_ledger");
  if (row?.["lanes"] === lanes && row["n"] === batches) return [];
  return [`the ledger has ${String(row?.["n"])} batches of ${String(row?.["lanes"])} lanes`];
}
