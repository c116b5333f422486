import { fork } from "node:child_process";
import { addCoverage, type Coverage } from "./coverage.ts";

/** Seeds for one worker. */
export interface Chunk {
  readonly seeds: readonly number[];
}

/** A seed that broke promises. */
export interface FailedSeed {
  readonly seed: number;
  readonly subject: string;
  readonly failures: readonly string[];
}

/** What became of a chunk, and of all of them. */
export interface ChunkReport {
  seeds: number;
  batches: number;
  faults: number;
  readonly coverage: Coverage;
  readonly failed: FailedSeed[];
}

const CHUNK = 25;

/** How seeds are spread. */
export interface PoolOptions {
  /** The bundled worker. */
  readonly worker: string;
  readonly workers: number;
  /** Stops at the first seed that fails. */
  readonly bail?: boolean;
  readonly onProgress?: (report: Readonly<ChunkReport>) => void;
}

/** Lives seeds in several processes at a time. */
export async function liveAll(
  seeds: readonly number[],
  { worker, workers, bail = false, onProgress }: PoolOptions,
): Promise<ChunkReport> {
  const total: ChunkReport = { seeds: 0, batches: 0, faults: 0, coverage: {}, failed: [] };
  let next = 0;
  const take = (): Chunk | undefined => {
    if (next >= seeds.length || (bail && total.failed.length > 0)) return undefined;
    const chunk = { seeds: seeds.slice(next, next + CHUNK) };
    next += CHUNK;
    return chunk;
  };
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(worker, [], {
        execArgv: ["--enable-source-maps", "--max-semi-space-size=64"],
      });
      let chunk: Chunk | undefined;
      const feed = (): void => {
        chunk = take();
        if (chunk === undefined) child.disconnect();
        else child.send(chunk);
      };
      child.on("message", (report: ChunkReport) => {
        total.seeds += report.seeds;
        total.batches += report.batches;
        total.faults += report.faults;
        addCoverage(total.coverage, report.coverage);
        total.failed.push(...report.failed);
        onProgress?.(total);
        feed();
      });
      child.on("error", reject);
      child.on("exit", (code, signal) => {
        if (code === 0) resolve();
        else {
          const lived = `seeds ${chunk?.seeds[0]} to ${chunk?.seeds.at(-1)}`;
          reject(new Error(`a worker ended with ${signal ?? code} in ${lived}`));
        }
      });
      feed();
    });
  await Promise.all(Array.from({ length: workers }, one));
  total.failed.sort((a, b) => a.seed - b.seed);
  return total;
}
