/**
 * Processes that write, and die by SIGKILL: what was acknowledged by `deliver` is there, nothing is there
 * twice, and nothing that was never given away.
 */
import { seededRandom } from "sluice/testing";
import { openTargets, type TargetOptions, type Targets } from "./targets.ts";
import { nothingSaid, runWriter, type Said } from "./writer-process.ts";

/** The drivers of PostgreSQL, which take turns. */
const DRIVERS = ["pg", "postgres"] as const;
/** Processes that write at one time. */
const AT_A_TIME = 2;

export interface KillOptions extends TargetOptions {
  /** How many processes are started and killed. */
  readonly rounds: number;
  readonly onProgress?: (killed: number) => void;
}

export interface KillReport {
  readonly killed: number;
  /** Items that were given away, to each of five tables, and acknowledgements of them. */
  readonly items: number;
  readonly acknowledged: number;
  /** Acknowledgements of the servers that were lost, so that writers were killed as they repeated. */
  readonly losses: number;
  readonly drift: readonly string[];
  readonly durationMs: number;
}

export async function killWriters(options: KillOptions): Promise<KillReport> {
  const { seed, rounds, onProgress } = options;
  const started = performance.now();
  const targets = await openTargets(options, rounds);
  const said = nothingSaid();
  let [next, killed] = [0, 0];
  const kill = async (): Promise<void> => {
    while (next < rounds) {
      const round = next;
      next += 1;
      await killOneWriter(targets, { round, seed, said });
      killed += 1;
      onProgress?.(killed);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, kill));
  const { lost, wrong } = await targets.compare(said);
  await targets.close();
  const acknowledged = [...said.acknowledged.values()].reduce((n, { size }) => n + size, 0);
  return {
    killed,
    items: said.given.size,
    acknowledged,
    losses: targets.losses(),
    drift: [...lost.map(({ table, name }) => `${table}: ${name} is lost`), ...wrong],
    durationMs: Math.round(performance.now() - started),
  };
}

/** Starts a process and kills it at a moment that its round draws. */
async function killOneWriter(
  { postgres, clickhouse, api }: Targets,
  { round, seed, said }: { round: number; seed: number; said: Said },
): Promise<void> {
  const random = seededRandom(seed * 1_000 + round);
  const [after, ms] = [1 + Math.floor(random() * 600), random() * 10];
  const driver = DRIVERS[round % DRIVERS.length] ?? "pg";
  const task = { postgres, clickhouse, api, driver, round, from: 0, how: "deliver" } as const;
  const { signal, complaints } = await runWriter(task, said, { signal: "SIGKILL", after, ms });
  if (signal === "SIGKILL") return;
  throw new Error(`the writer of round ${round} ended by itself:\n${complaints}`);
}
