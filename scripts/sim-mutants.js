// Plants each known bug in a copy of the library and lets the simulation look for it: `npm run sim:mutants`.
// Options: --seeds N (default 10000), --only TEXT (a part of a name), --json, --docs (writes the page).
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { bundleSimulation } from "./bundle-simulation.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "10000" },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    docs: { type: "boolean", default: false },
  },
});
const seeds = Number(values.seeds);
if (!/^\d{1,9}$/.test(values.seeds) || seeds < 1) {
  console.error(`--seeds must be a whole number from 1; received "${values.seeds}"`);
  process.exit(2);
}

const own = await bundleSimulation();
/** @type {typeof import("../test/simulation/main.ts")} */
const { liveAll, MUTANTS, mutantsPage } = await import(own.main);
await own.remove();

const chosen = MUTANTS.filter(({ name }) => name.includes(values.only));
if (chosen.length === 0) {
  console.error(`no mutant has "${values.only}" in its name`);
  process.exit(2);
}
const results = [];
for (const [index, mutant] of chosen.entries()) {
  const { worker, remove } = await bundleSimulation(mutant);
  const started = performance.now();
  try {
    const report = await liveAll(
      Array.from({ length: seeds }, (_, place) => place + 1),
      { worker, workers: availableParallelism(), bail: true },
    );
    const [found] = report.failed;
    const seconds = (performance.now() - started) / 1_000;
    results.push({ ...mutant, seed: found?.seed, failure: found?.failures[0], seconds });
    const verdict =
      found === undefined ? `NOT FOUND in ${report.seeds} seeds` : `seed ${found.seed}`;
    console.error(
      `${String(index + 1).padStart(2)}/${chosen.length}  ${mutant.name.padEnd(58)} ${verdict.padEnd(12)} ${seconds.toFixed(1)} s\n       ${found?.failures[0] ?? ""}`,
    );
  } finally {
    await remove();
  }
}
const missed = results.filter(({ seed }) => seed === undefined);
if (values.docs) await writeFile("docs/planted-bugs.md", mutantsPage(results));
if (values.json) console.log(JSON.stringify({ mutants: results.length, missed, results }));
else console.log(`${results.length - missed.length} of ${results.length} planted bugs were found`);
process.exitCode = missed.length === 0 ? 0 : 1;
