import { storm } from "./storm.ts";
export async function main(argv: readonly string[]): Promise<number> {
  const t = performance.now();
  const report = await storm({ seed: Number(argv[0]), batches: Number(argv[1]), ledger: argv[2] !== "false",
   onProgress: ({batches, struck}) => process.env['Q'] && process.stderr.write(`\r${((performance.now()-t)/1000).toFixed(1)} ${batches} ${JSON.stringify(struck)}   `) });
  console.log({ ...report, drift: report.drift.slice(0, 10), n: report.drift.length });
  return 0;
}
