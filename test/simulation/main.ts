import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import cliProgress from "cli-progress";
import { CELLS, coverageTable } from "./coverage.ts";
import { type ChunkReport, liveAll } from "./pool.ts";
import { keep, known } from "./regressions.ts";
import { simulate } from "./simulation.ts";

const HELP = `Usage: npm run sim -- [options]

Lives simulated worlds, each drawn from its seed, and holds all that was promised in them against what
came true. Same seed, same world.

  --seeds N      how many seeds                       (default 10000, after those that have failed before)
  --from S       the first of them                    (default 1)
  --seed S       one seed, with its history
  --digest       one line that two runs, or two versions of Node, must agree on
  --workers N    processes                            (default: the cores)
  --json         one JSON object on stdout, and nothing else
  --help         this text
`;

/** The command. Resolves to its exit code: 1 where a promise was broken, 2 for wrong use. */
export async function simulateAll(args: readonly string[], worker: string): Promise<number> {
  let options: ReturnType<typeof readOptions>;
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return 2;
  }
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.seed !== undefined) return replay(options.seed, options.json);
  const { from, seeds: count, workers, json } = options;
  const fresh = Array.from({ length: count }, (_, index) => from + index);
  if (options.digest) return digest(fresh);
  const seeds = [...known().map(({ seed }) => seed), ...fresh];
  const bar = createBar(seeds.length);
  const started = performance.now();
  const report = await liveAll(seeds, {
    worker,
    workers,
    onProgress: ({ seeds: done, failed }) => bar.update(done, { failed: failed.length }),
  });
  bar.stop();
  const seconds = (performance.now() - started) / 1_000;
  if (json) process.stdout.write(`${JSON.stringify({ ...report, seconds })}\n`);
  else process.stdout.write(describe(report, seconds));
  if (report.failed.length === 0) return 0;
  const kept = keep(report.failed);
  if (kept !== undefined) process.stderr.write(`The failing seeds are kept in ${kept}.\n`);
  return 1;
}

function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string", default: "10000" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      digest: { type: "boolean", default: false },
      workers: { type: "string", default: String(availableParallelism()) },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const count = (name: string, text: string, least: number): number => {
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= least) return value;
    throw new Error(`--${name} must be a whole number from ${least}; received "${text}"`);
  };
  return {
    seeds: count("seeds", values.seeds, 1),
    from: count("from", values.from, 0),
    seed: values.seed === undefined ? undefined : count("seed", values.seed, 0),
    workers: count("workers", values.workers, 1),
    digest: values.digest,
    json: values.json,
    help: values.help,
  };
}

/** One seed, with all that happened in it. */
async function replay(seed: number, json: boolean): Promise<number> {
  const outcome = await simulate(seed, { history: true });
  const { subject, history, failures, batches, faults } = outcome;
  if (json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
  else {
    const end = failures.length === 0 ? "all that was promised came true" : failures.join("\n  ");
    process.stdout.write(
      `seed ${seed}: ${subject}\n\n${history.join("\n")}\n\n${batches} batches, ${faults} faults:\n  ${end}\n`,
    );
  }
  return failures.length === 0 ? 0 : 1;
}

/** What happened in all of them, in one hash. */
async function digest(seeds: readonly number[]): Promise<number> {
  const hash = createHash("sha256");
  for (const seed of seeds) {
    const { history, failures } = await simulate(seed, { history: true });
    hash.update(`${history.join("\n")}\n${failures.join("\n")}\n`);
  }
  process.stdout.write(`${hash.digest("hex")}\n`);
  return 0;
}

function describe(
  { seeds, batches, faults, coverage, failed }: ChunkReport,
  seconds: number,
): string {
  const text = (n: number): string => n.toLocaleString("en");
  const least = Math.min(...CELLS.map((cell) => coverage[cell] ?? 0));
  const lines = [
    `How often each fault has struck, and where:\n\n${coverageTable(coverage)}\n`,
    `${text(seeds)} seeds, ${text(batches)} batches, ${text(faults)} faults, in ${seconds.toFixed(1)} s;`,
    `every fault at every stage at least ${text(least)} times.`,
  ];
  if (failed.length === 0) lines.push("All that was promised came true.");
  for (const { seed, subject, failures } of failed.slice(0, 20)) {
    lines.push(`\nseed ${seed}: ${subject}`, ...failures.map((failure) => `  ${failure}`));
    lines.push(`  replay it: npm run sim -- --seed ${seed}`);
  }
  if (failed.length > 0) lines.push(`\n${text(failed.length)} seeds broke a promise.`);
  return `${lines.join("\n")}\n`;
}

function createBar(total: number): Pick<cliProgress.SingleBar, "update" | "stop"> {
  if (!process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format:
      "[{bar}] {percentage} % · {value} of {total} seeds · {failed} failed · {duration_formatted}",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    clearOnComplete: true,
  });
  bar.start(total, 0, { failed: 0 });
  return bar;
}

export { liveAll } from "./pool.ts";
export { MUTANTS, mutantsPage } from "./mutants.ts";
