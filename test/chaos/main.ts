/** `npm run chaos`: the parts one after the other, with progress on stderr and the outcome on stdout. */
import { Session } from "chdb";
import { pgbouncerMissing } from "../../scripts/pgbouncer-server.js";
import { startPostgres } from "../../scripts/postgres-server.js";
import { chdbOf } from "../integration/chdb.ts";
import { insertThroughFaults } from "./clickhouse.ts";
import { killWriters } from "./kill-writers.ts";
import { type ChaosOptions, HELP, type Part, parseChaosOptions, UsageError } from "./options.ts";
import { openProgress } from "./progress.ts";
import { type ChaosReport, formatReport } from "./report.ts";
import { storm } from "./storm.ts";

/** Runs the command and gives its exit code: 1 where anything drifted, 2 where it could not start. */
export async function main(argv: readonly string[]): Promise<number> {
  try {
    const options = parseChaosOptions(argv);
    if (options.help) {
      process.stdout.write(HELP);
      return 0;
    }
    const missing = options.parts.includes("postgres") ? pgbouncerMissing() : undefined;
    if (missing !== undefined) throw new UsageError(missing);
    const report = await runParts(options);
    const output = options.json ? JSON.stringify(report) : formatReport(report);
    process.stdout.write(`${output}\n`);
    return report.drift === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`chaos: ${error.message}\n`);
    return 2;
  }
}

async function runParts(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, batches, rounds, inserts } = options;
  const started = performance.now();
  const progress = openProgress(process.stderr);
  progress.say(`seed ${seed}`);
  const has = (part: Part): boolean => options.parts.includes(part);

  const postgres = has("postgres")
    ? await storm({
        seed,
        batches,
        onProgress: ({ batches: landed, struck }) => {
          const faults = Object.entries(struck).map(([kind, n]) => `${kind} ${n}`);
          progress.show(`postgres: ${landed} batches of ${batches}; ${faults.join(", ")}`);
        },
      })
    : undefined;
  const killed = has("kill")
    ? await withPostgres((url) =>
        withChdb((session) =>
          killWriters({
            url,
            chdb: chdbOf(session),
            seed,
            rounds,
            onProgress: (n) => progress.show(`kill: ${n} processes of ${rounds}`),
          }),
        ),
      )
    : undefined;
  const clickhouse = has("clickhouse")
    ? await withChdb((session) =>
        insertThroughFaults({
          chdb: chdbOf(session),
          seed,
          batches: inserts,
          onProgress: (n) => progress.show(`clickhouse: ${n} inserts for ${inserts} batches`),
        }),
      )
    : undefined;
  progress.stop();
  const parts = [postgres, killed, clickhouse];
  return {
    seed,
    postgres,
    killed,
    clickhouse,
    drift: parts.reduce((n, part) => n + (part?.drift.length ?? 0), 0),
    durationMs: Math.round(performance.now() - started),
  };
}

async function withPostgres<T>(work: (url: string) => Promise<T>): Promise<T> {
  const server = await startPostgres();
  try {
    return await work(server.url);
  } finally {
    await server.stop();
  }
}

async function withChdb<T>(work: (session: Session) => Promise<T>): Promise<T> {
  const session = new Session();
  try {
    return await work(session);
  } finally {
    session.close();
  }
}
