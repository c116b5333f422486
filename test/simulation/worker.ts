// Lives the seeds that its parent sends.
import { addCoverage } from "./coverage.ts";
import type { Chunk, ChunkReport } from "./pool.ts";
import { simulate } from "./simulation.ts";

Error.stackTraceLimit = 0; // errors are made by the thousand, and nobody looks at where

process.on("message", ({ seeds }: Chunk) => {
  void live(seeds).then((report) => process.send?.(report));
});

async function live(seeds: readonly number[]): Promise<ChunkReport> {
  const report: ChunkReport = {
    seeds: seeds.length,
    batches: 0,
    faults: 0,
    coverage: {},
    failed: [],
  };
  for (const seed of seeds) {
    const { subject, failures, coverage, batches, faults } = await simulate(seed);
    report.batches += batches;
    report.faults += faults;
    addCoverage(report.coverage, coverage);
    if (failures.length > 0) report.failed.push({ seed, subject, failures });
  }
  return report;
}
