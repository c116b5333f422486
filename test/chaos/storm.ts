/** Many writers into one PostgreSQL while everything around it fails, as a plan drawn from a seed says. */
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import type { SluiceEvent, Stats } from "sluice";
import { sqlstateOf } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { connectors } from "../integration/database.ts";
import {
  SLOWNESS_DDL,
  slowableDdl,
  STATEMENT_TIMEOUT,
  strike,
  TOO_MANY_CONNECTIONS,
} from "./faults.ts";
import { drawPlan, type FaultKind, KINDS, type Place } from "./plan.ts";
import { openServers, type Servers } from "./servers.ts";
import { emptyTally, findDrift, type Tally } from "./tally.ts";
import { TRAFFIC, type Writer } from "./traffic.ts";

const LANES = 2;
const WAYS = ["server", "pooler"] as const satisfies readonly Place[];
const DRIVERS = ["pg", "postgres"] as const;
/** How long an attempt may take: four fifths of it on the server. */
const WRITE_TIMEOUT_MS = 1_000;
const DRAIN_MS = 120_000;

export interface StormOptions {
  readonly seed: number;
  /** Faults are spread over so many batches, and writers go on until all have struck. */
  readonly batches: number;
  /** False does without the ledger: then what is counted twice shows that this can fail. */
  readonly ledger?: boolean;
  readonly onProgress?: (progress: StormProgress) => void;
}

export interface StormProgress {
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
  const tables = TRAFFIC.flatMap((traffic) => traffic.tables);
  const ddl = [...TRAFFIC.map((traffic) => traffic.ddl), SLOWNESS_DDL, ...tables.map(slowableDdl)];
  const servers = await openServers(ddl);
  try {
    const report = await storming(servers, tables, options);
    return { ...report, durationMs: Math.round(performance.now() - started) };
  } finally {
    await servers.close();
  }
}

async function storming(
  servers: Servers,
  tables: readonly string[],
  { seed, batches, ledger = true, onProgress }: StormOptions,
): Promise<Omit<StormReport, "durationMs">> {
  const plan = drawPlan(batches, seededRandom(seed));
  const tally = emptyTally();
  const struck = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  const failures = new Map<string, number>();
  const met = (state: string): number => failures.get(state) ?? 0;
  let landed = 0;
  const observe = (event: SluiceEvent): void => {
    if (event.type === "committed") landed += 1;
    if (event.type !== "retried") return;
    const state = stateOf(event.error);
    failures.set(state, met(state) + 1);
  };

  const { writers, end } = openWriters(servers, { seed, tally, observe, ledger });
  let over = false;
  const writing = Promise.all(writers.map((writer, n) => write(writer, seed + n, () => over)));
  const striking = KINDS.map(async (kind) => {
    for (const fault of plan[kind]) {
      while (landed < fault.at) await pause(2);
      await strike(fault, { servers, tables, met });
      struck[kind] += 1;
      onProgress?.({ batches: landed, struck });
    }
  });
  await Promise.all(striking);
  while (landed < batches) await pause(2);
  over = true;
  const all = await writing;
  await end();
  // What was on its way when its writer gave it up may still be at work.
  const working = `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
    AND state <> 'idle' AND pid <> pg_backend_pid()`;
  while ((await servers.query(working)).length > 0) await pause(10);

  const sum = (pick: (stats: Stats) => number): number => all.reduce((n, s) => n + pick(s), 0);
  return {
    writers: writers.length,
    batches: sum((stats) => stats.batches),
    items: sum((stats) => stats.accepted),
    retries: sum((stats) => stats.retries),
    duplicates: sum((stats) => stats.duplicates),
    timeouts: met(STATEMENT_TIMEOUT),
    refusals: met(TOO_MANY_CONNECTIONS),
    struck: { ...struck, ...harm(servers) },
    drift: [
      ...all.flatMap((stats, n) => booksFault(`writer ${n}`, stats)),
      ...(await findDrift(servers.query, tally)),
      ...(ledger
        ? await ledgerFaults(
            servers,
            writers.length,
            sum((stats) => stats.batches),
          )
        : []),
    ],
  };
}

/** What the proxies did, by their own count. */
function harm({ proxies }: Servers): Pick<Record<FaultKind, number>, "cut" | "loss" | "delay"> {
  const sum = (fate: "torn" | "cut" | "hold"): number =>
    Object.values(proxies).reduce((n, { struck }) => n + struck[fate], 0);
  return { cut: sum("torn"), loss: sum("cut"), delay: sum("hold") };
}

/** One of each kind of traffic for each driver, straight to the server and through the pooler. */
function openWriters(
  { proxies }: Servers,
  {
    seed,
    tally,
    observe,
    ledger,
  }: { seed: number; tally: Tally; observe: (event: SluiceEvent) => void; ledger: boolean },
): { readonly writers: readonly Writer[]; readonly end: () => Promise<unknown> } {
  const connections = WAYS.flatMap((place) =>
    DRIVERS.map((name) => {
      const lanes = LANES * TRAFFIC.length;
      const connected = connectors[name](proxies[place].url, lanes, place === "server");
      // One driver is told what the pooler cannot do; the other has to find out.
      const prepare = place === "server" || name === "pg";
      return { name: `${name} ${place}`, prepare, ...connected };
    }),
  );
  const writers = connections.flatMap(({ name, prepare, driver }, number) =>
    TRAFFIC.map((traffic, kind) =>
      traffic.open({
        driver,
        sink: { prepare, ...(ledger ? {} : { ledger: false }) },
        options: {
          name: `${traffic.name} by ${name}`,
          lanes: LANES,
          maxEntries: 8,
          maxDelayMs: 0,
          maxBufferedEntries: 32,
          writeTimeoutMs: WRITE_TIMEOUT_MS,
          deliveryTimeoutMs: Infinity,
          retry: { baseDelayMs: 1, maxDelayMs: 50, circuitAfter: 1_000 },
          observe,
        },
        number,
        writers: connections.length,
        random: seededRandom(seed * 1_000 + number * TRAFFIC.length + kind),
        tally,
      }),
    ),
  );
  return { writers, end: () => Promise.all(connections.map(({ end }) => end())) };
}

/** Adds until it is over, some items at once and then a pause: batches of one entry and of many. */
async function write(
  { batcher, add }: Writer,
  seed: number,
  isOver: () => boolean,
): Promise<Stats> {
  const random = seededRandom(seed);
  while (!isOver()) {
    const wait = random() < 0.25;
    await add(wait);
    if (wait) await turn();
  }
  return (await batcher.close({ timeoutMs: DRAIN_MS })).stats;
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
  writers: number,
  batches: number,
): Promise<readonly string[]> {
  const [row] = await query("SELECT count(*)::int AS lanes, sum(seq)::int AS n FROM sluice_ledger");
  if (row?.["lanes"] === writers * LANES && row["n"] === batches) return [];
  return [`the ledger has ${String(row?.["n"])} batches of ${String(row?.["lanes"])} lanes`];
}
