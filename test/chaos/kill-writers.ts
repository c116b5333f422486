/**
 * Processes that write, and die by SIGKILL: what was acknowledged by `deliver` is there, nothing is there
 * twice, and nothing that was never given away.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ledgerDdl, sumsDdl } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { type Eye, openEye } from "../integration/database.ts";
import { openProxy } from "../integration/proxy.ts";
import { findFaults, type Said } from "./delivered.ts";
import { itemName, VERSIONS } from "./delivered-items.js";

const PROGRAM = fileURLToPath(new URL("deliverer.js", import.meta.url));
const DRIVERS = ["pg", "postgres"] as const;
/** Processes that write at one time. */
const AT_A_TIME = 2;
/** More than a process can give away before it has acknowledged what it is killed after. */
const MOST_ITEMS = 2_000;

const TABLES = ["usage", "people", "newest", "entries"];
const DDL = [
  sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }),
  "CREATE TABLE people (k text PRIMARY KEY, seen timestamptz)",
  "CREATE TABLE newest (k text PRIMARY KEY, v text, rev bigint NOT NULL)",
  "CREATE TABLE entries (id text NOT NULL, v text NOT NULL)",
];

export interface KillOptions {
  /** An empty database. */
  readonly url: string;
  readonly seed: number;
  /** How many processes are started and killed. */
  readonly rounds: number;
  readonly onProgress?: (killed: number) => void;
}

export interface KillReport {
  readonly killed: number;
  /** Items that were given away, to each of four tables, and acknowledgements of them. */
  readonly items: number;
  readonly acknowledged: number;
  /** Acknowledgements of the server that were lost, so that writers were killed as they repeated. */
  readonly losses: number;
  readonly drift: readonly string[];
  readonly durationMs: number;
}

export async function killWriters(options: KillOptions): Promise<KillReport> {
  const { url, seed, rounds, onProgress } = options;
  const started = performance.now();
  const eye = await openEye(url);
  await makeTables(eye, rounds);
  const proxy = await openProxy(url);
  const random = seededRandom(seed);
  proxy.fate = ({ from, commit }) =>
    from === "server" && commit && random() < 0.05 ? "cut" : "pass";

  const said = nothingSaid();
  let [next, killed] = [0, 0];
  const kill = async (): Promise<void> => {
    while (next < rounds) {
      const round = next;
      next += 1;
      const moment = seededRandom(seed * 1_000 + round);
      const [after, ms] = [1 + Math.floor(moment() * 400), moment() * 10];
      await killOneWriter(proxy.url, { round, after, ms, said });
      killed += 1;
      onProgress?.(killed);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, kill));
  await proxy.close();
  await untilAlone(eye);
  const drift = await findFaults(eye.query, said);
  await eye.close();
  const acknowledged = [...said.acknowledged.values()].reduce((n, { size }) => n + size, 0);
  return {
    killed,
    items: said.given.size,
    acknowledged,
    losses: proxy.struck.cut,
    drift,
    durationMs: Math.round(performance.now() - started),
  };
}

/** Their keys are those of the rounds: `touch` passes over a key that has no row. */
async function makeTables({ query }: Eye, rounds: number): Promise<void> {
  for (const ddl of [ledgerDdl(), ...DDL]) await query(ddl);
  await query(
    `INSERT INTO people SELECT r || '-' || i
     FROM generate_series(0, $1::int - 1) r, generate_series(0, $2::int) i`,
    [rounds, MOST_ITEMS / VERSIONS],
  );
}

/** What a dead process has sent may still be at work. */
async function untilAlone({ query }: Eye): Promise<void> {
  const others = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()`;
  while ((await query(others)).length > 0) await pause(10);
}

const nothingSaid = (): Said => ({
  given: new Set(),
  acknowledged: new Map(TABLES.map((table) => [table, new Set()])),
});

/** Starts a process and kills it so many acknowledgements and milliseconds later. */
async function killOneWriter(
  url: string,
  { round, after, ms, said }: { round: number; after: number; ms: number; said: Said },
): Promise<void> {
  const driver = DRIVERS[round % DRIVERS.length] ?? "pg";
  const child = spawn(process.execPath, [PROGRAM, url, driver, String(round)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const complaints = text(child.stderr);
  const ended = once(child, "exit");
  let acknowledgements = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [what = "", id = ""] = line.split(" ");
    const name = itemName(round, Number(id));
    if (what === "item") {
      said.given.add(name);
      continue;
    }
    said.acknowledged.get(what)?.add(name);
    acknowledgements += 1;
    if (acknowledgements === after) setTimeout(() => child.kill("SIGKILL"), ms);
  }
  const [, signal] = await ended;
  if (signal === "SIGKILL") return;
  throw new Error(`the writer of round ${round} ended by itself:\n${await complaints}`);
}
