import { createGateTally } from "../flags/gate-tally.ts";
import { agentIdOf } from "../traffic/agent-id.ts";
import { createMetadataTally } from "../traffic/metadata-tally.ts";
import { createRowTally, type RowSums } from "../traffic/row-tally.ts";
import { createTally } from "../traffic/tally.ts";
import type { TableVerdict } from "../traffic/verdict.ts";
import {
  expectedOf,
  readMetadata,
  verifyMetadata,
  verifyView,
} from "../traffic/verify-metadata.ts";
import { readRowSums, verifyRows } from "../traffic/verify-rows.ts";
import { readSnapshot, verifyTables } from "../traffic/verify.ts";
import { type LoadChdb, type NoRowStore, openRowStore, type RowStore } from "./clickhouse.ts";
import { type Database, openDatabase } from "./database.ts";
import { EXIT, Failure, messageOf } from "./failure.ts";
import { type Flags, openFlags, type StartFlagApi } from "./flags.ts";
import { createFollower, type Follower } from "./follower.ts";
import { type Gates, openGates } from "./gates.ts";
import { type Io, print } from "./io.ts";
import { type Landing, openLanding, prepareRows, prepareTables } from "./landing.ts";
import type { DemoOptions } from "./options.ts";
import { createProgress } from "./progress.ts";
import { createReplayCounts, replay, type ReplayOptions } from "./replay.ts";
import { logFailure, openSource, type Source } from "./source.ts";
import { formatSkipped, formatSummary, formatVerdicts, type Summary } from "./summary.ts";

/** How long an undisturbed run waits for the databases to take the last batches. */
const CLOSE_TIMEOUT_MS = 120_000;
/** The same after SIGINT or a failure, when somebody waits for the prompt. */
const HASTY_TIMEOUT_MS = 5_000;
/** How long a watcher may take to see the last of what landed: two of its polls, and some more. */
const WATCH_TIMEOUT_MS = 12_000;

/** What a run brings along, for tests to bring another. */
export interface DemoParts {
  /** Where the embedded ClickHouse comes from. */
  readonly loadChdb?: LoadChdb;
  readonly startFlagApi?: StartFlagApi;
}

/** Runs `sluice demo` and answers its exit code. */
export async function runDemo(
  options: DemoOptions,
  io: Io,
  { loadChdb, startFlagApi }: DemoParts = {},
): Promise<number> {
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
        const flags = await openFlags(startFlagApi);
        try {
          const { signal } = interrupt;
          const summary = await run({ source, database, rowStore, flags, io, signal });
          await printSummary(summary, options, io);
          if (summary.interrupted) return EXIT.interrupted;
          return summary.report.verified ? EXIT.ok : EXIT.failed;
        } finally {
          await flags.close();
        }
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
  readonly flags: Flags;
  readonly io: Io;
  readonly signal: AbortSignal;
}

async function run({ source, database, rowStore, flags, io, signal }: Run): Promise<Summary> {
  const tallies = {
    tally: createTally(),
    metadataTally: createMetadataTally(),
    rowTally: createRowTally(),
  };
  const { tally, metadataTally, rowTally } = tallies;
  const counts = createReplayCounts();
  const before = await asking(database, async () => {
    await prepareTables(database.pool);
    const tables = await readSnapshot(database.query);
    return { tables, metadata: await readMetadata(database.query) };
  });
  const verifyAccessLog = await openAccessLogCheck(rowStore);

  const skipped = "skipped" in rowStore ? { skipped: rowStore.skipped } : {};
  const warn = (words: string): void => void io.stderr.write(`sluice: ${words}\n`);
  const landing = openLanding({
    pool: database.pool,
    listen: database.listen,
    rowClient: "skipped" in rowStore ? undefined : rowStore.client,
    warn,
  });
  const gateTally = createGateTally(flags.seed);
  const gates = openGates({ flags, tally: gateTally, warn });
  const follower = createFollower(landing.watch, warn);
  const verifyWatch = (): readonly TableVerdict[] => {
    const { client, view } = follower;
    if (client === undefined) return [];
    const expected = expectedOf(agentIdOf(client), before.metadata, metadataTally);
    return [verifyView(client, view, expected)];
  };
  const seen = (): boolean => verifyWatch().every(({ verified }) => verified);
  const startedAt = io.now();
  await land({ source, landing, gates, follower, seen, ...tallies, counts, io, signal });
  const elapsedMs = Math.round(io.now() - startedAt);

  const verdicts = [
    ...(await asking(database, async () => [
      ...(await verifyTables(database.query, before.tables, tally)),
      await verifyMetadata(database.query, before.metadata, metadataTally),
    ])),
    // Whoever interrupts does not wait for a watcher that hears nothing and has to poll.
    ...(signal.aborted && !seen() ? [] : verifyWatch()),
    ...(await verifyAccessLog(rowTally.sums)),
    gateTally.verdict(),
  ];
  const { clientStats, agentMetadata, accessRows } = landing.figures();
  return {
    report: {
      events: tally.requests,
      skipped: counts.skipped,
      clients: tally.clients,
      systems: {
        clientStats,
        agentMetadata: { ...agentMetadata, views: follower.views },
        accessRows: { ...accessRows, ...skipped },
        gates: gates.figures(),
      },
      verified: verdicts.every(({ verified }) => verified),
      elapsedMs,
    },
    source: source.label,
    databases: [database.label, ...("skipped" in rowStore ? [] : [rowStore.label])],
    interrupted: signal.aborted,
    watched: follower.client,
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

interface LandOptions
  extends Omit<Run, "database" | "rowStore" | "flags">,
    Omit<ReplayOptions, "entries" | "target" | "onProgress"> {
  readonly landing: Landing;
  readonly gates: Gates;
  readonly follower: Follower;
  /** Whether the latest view is what it should be by now. */
  readonly seen: () => boolean;
}

/** Replays the source and drains. When this resolves, nothing is under way any more. */
async function land(options: LandOptions): Promise<void> {
  const { source, landing, gates, follower, seen, io, signal, ...replayed } = options;
  const { tally } = replayed;
  const progress = createProgress({ stream: io.stderr, total: source.total });
  const onProgress = (): void => {
    progress.update(source.position(tally.requests), tally.requests);
    const busiest = tally.busiest(follower.client);
    if (busiest !== undefined) follower.follow(busiest);
  };
  let complete = false;
  const target = { ...landing, ask: gates.ask };
  const replaying = replay({ ...replayed, entries: source.entries, target, onProgress });
  try {
    await untilDoneOrInterrupted(replaying, signal);
    complete = !signal.aborted;
  } catch (error) {
    throw logFailure(error, tally.requests);
  } finally {
    const timeoutMs = complete ? CLOSE_TIMEOUT_MS : HASTY_TIMEOUT_MS;
    await Promise.all([
      landing.close(timeoutMs, (leftMs) =>
        follower.settle(seen, Math.min(leftMs, WATCH_TIMEOUT_MS)),
      ),
      gates.close(timeoutMs),
    ]);
    follower.stop();
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
