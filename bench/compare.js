/**
 * Compares two pieces of code within one run: in turns, several rounds, and the median of the ratios.
 * Absolute times depend on the machine and its neighbours; ratios of one run hardly do.
 */
import { measure } from "mitata";

const ROUNDS = 7;

/**
 * Prints how the speed of `ours` compares with that of `theirs`, per unit of work.
 * @param {string} title
 * @param {{ name: string, run: () => unknown, units?: number }} ours
 * @param {{ name: string, run: () => unknown, units?: number }} theirs
 * @param {string} goal What this project promises.
 */
export async function compare(title, ours, theirs, goal) {
  /** @type {number[]} */
  const ratios = [];
  const times = { ours: new Array(), theirs: new Array() };
  for (let round = 0; round < ROUNDS; round += 1) {
    const a = await perUnit(ours);
    const b = await perUnit(theirs);
    times.ours.push(a);
    times.theirs.push(b);
    ratios.push(b / a);
  }
  console.log(`${title}
  ${ours.name.padEnd(34)} ${format(median(times.ours))}
  ${theirs.name.padEnd(34)} ${format(median(times.theirs))}
  speed, ours against theirs         ${median(ratios).toFixed(2)}×   (goal: ${goal}; rounds ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")})
`);
}

/** @param {{ run: () => unknown, units?: number }} work */
async function perUnit({ run, units = 1 }) {
  if (run() instanceof Promise) return perUnitAwaited(run, units);
  const { p50 } = await measure(run, { min_cpu_time: 200e6, min_samples: 3, batch_samples: 1 });
  return p50 / units;
}

/**
 * What mitata does, for work that has to be waited for.
 * @param {() => unknown} run
 * @param {number} units
 */
async function perUnitAwaited(run, units) {
  const times = [];
  for (const until = performance.now() + 300; performance.now() < until; ) {
    const startedAt = performance.now();
    await run();
    times.push((performance.now() - startedAt) * 1e6);
  }
  return median(times) / units;
}

/** @param {readonly number[]} values */
export function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** @param {number} ns */
function format(ns) {
  if (ns < 1e3) return `${ns.toFixed(1)} ns`;
  return ns < 1e6 ? `${(ns / 1e3).toFixed(1)} µs` : `${(ns / 1e6).toFixed(2)} ms`;
}
