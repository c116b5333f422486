import { createRowTally, type RowSums, type RowTally } from "../traffic/row-tally.ts";
import { createTally, type Tally } from "../traffic/tally.ts";
import { readRowSums, verifyRows } from "../traffic/verify-rows.ts";
import { readSnapshot, type TableVerdict, verifyTables } from "../traffic/verify.ts";
import { type LoadChdb, type NoRowStore, openRowStore, type RowStore } from "./clickhouse.ts";
import { type Database, openDatabase } from "./database.ts";
import { EXIT, Failure, messageOf } from "./failure.ts";
import { type Io, print } from "./io.ts";
import { type Landing, openLanding, prepareRows, prepareTables } from "./landing.ts";
import type { DemoOptions } from "./options.ts";
import { createProgress } from "./progress.ts";
import { createReplayCounts, replay, type ReplayCounts } from "./replay.ts";
import { logFailure, openSource, type Source } from "./source.ts";
import { formatSkipped, formatSummary, formatVerdicts, type Summary } from "./summary.ts";

/** How long an undisturbed run waits for the databases to take the last batches. */
const CLOSE_TIMEOUT_MS = 120_000;
/** The same after SIGINT or a failure, when somebody waits for the prompt. */
const HASTY_TIMEOUT_MS = 5_000;

/** Runs `sluice demo` and answers its exit code. `loadChdb` is where the embedded ClickHouse comes from. */
export async function runDemo(options: DemoOptions, io: Io, loadChdb?: LoadChdb): Promise<number> {
  const interrupt = new AbortController();
  const ignoreInterrupt = io.onInterrupt(() => interrupt.abort());
  try {
    // The source comes first: a missing file should not have to wait for a database.
    const source = await openSource(options.traffic, io.stdin, interrupt.signal);
    const database = await openDatabase(options.postgres);
    try {
      const rowStore = await openRowStore(options.clickhouse, loadChdb);
      if ("skipped" in rowStore) io.stderr.write(`sluice: ${rowStore.skipped}\n`);
      try {
        const summary = await run({ source, database, rowStore, io, signal: interrupt.signal });
        await printSummary(summary, options, io);
        if (summary.interrupted) return EXIT.interrupted;
        return summary.report.verified ? EXIT.ok : EXIT.failed;
      } finally {
        await rowStore.close();
      }
    } finally {
      await database.close();
    }
  } finally {
    ignoreInterrupt();
    // Closes a source that nobody came to read: an open pipe would keep the process alive.
    interrupt.abort();
  }
}

interface Run {
  readonly source: Source;
  readonly database: Database;
  readonly rowStore: RowStore | NoRowStore;
  readonly io: Io;
  readonly signal: AbortSignal;
}

async function run({ source, database, rowStore, io, signal }: Run): Promise<Summary> {
  const [tally, rowTally, counts] = [createTally(), createRowTally(), createReplayCounts()];
  const before = await asking(database, async () => {
    await prepareTables(database.pool);
    return readSnapshot(database.query);
  });
  const verifyAccessLog = await openAccessLogCheck(rowStore);

  const skipped = "skipped" in rowStore ? { skipped: rowStore.skipped } : {};
  const landing = openLanding({
    pool: database.pool,
    rowClient: "skipped" in rowStore ? undefined : rowStore.client,
    warn: (words) => io.stderr.write(`sluice: ${words}\n`),
  });
  const startedAt = io.now();
  await land({ source, landing, tally, rowTally, counts, io, signal });
  const elapsedMs = Math.round(io.now() - startedAt);

  const verdicts = [
    ...(await asking(database, () => verifyTables(database.query, before, tally))),
    ...(await verifyAccessLog(rowTally.sums)),
  ];
  const { clientStats, accessRows } = landing.figures();
  return {
    report: {
      events: tally.requests,
      skipped: counts.skipped,
      clients: tally.clients,
      systems: {
        clientStats,
        accessRows: { ...accessRows, ...skipped },
      },
      verified: verdicts.every(({ verified }) => verified),
      elapsedMs,
    },
    source: source.label,
    databases: [database.label, ...("skipped" in rowStore ? [] : [rowStore.label])],
    interrupted: signal.aborted,
    skippedExamples: counts.examples,
    verdicts,
  };
}

/** Prepares the access log, and answers what compares it afterwards. */
async function openAccessLogCheck(
  store: RowStore | NoRowStore,
): Promise<(added: RowSums) => Promise<readonly TableVerdict[]>> {
  if ("skipped" in store) return async () => [];
  const before = await asking(store, async () => {
    await prepareRows(store.client);
    return readRowSums(store.query);
  });
  return (added) => asking(store, async () => [await verifyRows(store.query, before, added)]);
}

interface LandOptions extends Omit<Run, "database" | "rowStore"> {
  readonly landing: Landing;
  readonly tally: Tally;
  readonly rowTally: RowTally;
  readonly counts: ReplayCounts;
}

/** Replays the source and drains. When this resolves, nothing is under way any more. */
async function land(options: LandOptions): Promise<void> {
  const { source, landing, tally, rowTally, counts, io, signal } = options;
  const progress = createProgress({ stream: io.stderr, total: source.total });
  const onProgress = (): void => {
    progress.update(source.position(tally.requests), tally.requests);
  };
  let complete = false;
  const { entries } = source;
  const replaying = replay({ entries, target: landing, tally, rowTally, counts, onProgress });
  try {
    await untilDoneOrInterrupted(replaying, signal);
    complete = !signal.aborted;
  } catch (error) {
    throw logFailure(error, tally.requests);
  } finally {
    await landing.close(complete ? CLOSE_TIMEOUT_MS : HASTY_TIMEOUT_MS);
    progress.stop();
  }
  // After an interruption the closing has ended whatever the replay still waited for.
  await replaying.catch((error: unknown) => {
    if (!isCutOff(error)) throw error;
  });
}

/** An interrupted source ends by itself; only a database that hangs makes this give up waiting. */
function untilDoneOrInterrupted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => {
      timer = setTimeout(resolve, HASTY_TIMEOUT_MS);
    };
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.finally(finish).then(resolve, reject);
  });
}

function isCutOff(error: unknown): boolean {
  if (!(error instanceof Error) || !("disposition" in error)) return false;
  return error.disposition === "closed" || error.disposition === "incomplete";
}

async function asking<T>(
  database: { readonly label: string },
  question: () => Promise<T>,
): Promise<T> {
  try {
    return await question();
  } catch (error) {
    const words = `the database ${database.label} failed: ${messageOf(error)}`;
    throw new Failure(words, EXIT.failed, error);
  }
}

async function printSummary(summary: Summary, options: DemoOptions, io: Io): Promise<void> {
  if (!options.json) {
    await print(io.stdout, formatSummary(summary));
    return;
  }
  await print(io.stdout, `${JSON.stringify(summary.report)}\n`);
  const { report, skippedExamples, verdicts } = summary;
  const details = [
    ...formatSkipped(report.skipped, skippedExamples),
    ...formatVerdicts(verdicts.filter(({ verified }) => !verified)),
  ];
  for (const line of details) io.stderr.write(`${line}\n`);
}
