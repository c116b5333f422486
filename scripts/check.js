// Builds, then runs the `check:*` scripts of package.json, or those named: `npm run check lint`.
// A check that passes prints one line; a check that fails prints what it said.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

const PREFIX = "check:";

/** @type {{ scripts: Record<string, string> }} */
const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
const checks = Object.entries(scripts)
  .filter(([name]) => name.startsWith(PREFIX))
  .map(([name, command]) => ({ name: name.slice(PREFIX.length), command }));
const names = checks.map(({ name }) => name);

const named = process.argv.slice(2);
const unknown = named.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(", ")}; there are ${names.join(", ")}`);
  process.exit(2);
}

/** @type {string[]} */
const failed = [];
const chosen = checks.filter(({ name }) => named.length === 0 || named.includes(name));
for (const { name, command } of [{ name: "build", command: "npm run build --silent" }, ...chosen]) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, {
    shell: true,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name.padEnd(8)} ${seconds} s`);
  if (status === 0) continue;
  failed.push(name);
  process.stdout.write(stdout + stderr);
}

if (failed.length > 0) {
  console.error(`failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
