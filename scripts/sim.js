// Runs the simulation: `npm run sim -- --help`.
import { bundleSimulation } from "./bundle-simulation.js";

const { main, worker, remove } = await bundleSimulation();
try {
  /** @type {typeof import("../test/simulation/main.ts")} */
  const { simulateAll } = await import(main);
  process.exitCode = await simulateAll(process.argv.slice(2), worker);
} finally {
  await remove();
}
