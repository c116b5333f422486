/** Ten thousand simulated worlds, as `npm run sim` lives them, and what makes them worth believing. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { CELLS } from "./coverage.ts";
import { MUTANTS } from "./mutants.ts";
import type { ChunkReport } from "./pool.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const run = (script: string, ...args: readonly string[]) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [`scripts/${script}.js`, ...args],
    {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 64 * 1_048_576,
      env: { ...process.env, CI: "true" }, // nothing is kept
    },
  );
  return { status, stdout, stderr };
};

describe("10,000 seeds", { timeout: 600_000 }, () => {
  it("keep every promise, through every fault at every stage", () => {
    const { status, stdout, stderr } = run("sim", "--seeds", "10000", "--json");
    expect(stderr).toBe("");
    const report = JSON.parse(stdout) as ChunkReport;
    expect(report.failed).toEqual([]);
    expect(status).toBe(0);
    expect(report.seeds).toBeGreaterThanOrEqual(10_000);
    expect(report.batches).toBeGreaterThanOrEqual(100_000);
    expect(report.faults).toBeGreaterThanOrEqual(30_000);
    const rare = CELLS.filter((cell) => (report.coverage[cell] ?? 0) < 100);
    expect(rare).toEqual([]);
  });
});

describe("a seed", { timeout: 60_000 }, () => {
  it("is the same world each time, to the last event", () => {
    const [first, second] = [
      run("sim", "--digest", "--seeds", "150"),
      run("sim", "--digest", "--seeds", "150"),
    ];
    expect(first.stdout).toMatch(/^[\da-f]{64}\n$/);
    expect(second.stdout).toBe(first.stdout);
    expect(run("sim", "--digest", "--seeds", "150", "--from", "2").stdout).not.toBe(first.stdout);
  });

  it("can be replayed, with its history", () => {
    const { status, stdout } = run("sim", "--seed", "3");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^seed 3: /);
    expect(stdout).toContain("fault: ");
    expect(stdout).toContain("all that was promised came true");
  });
});

describe("wrong use", { timeout: 60_000 }, () => {
  it.each([
    [["--seeds", "many"], '--seeds must be a whole number from 1; received "many"'],
    [["--seed", "-1"], "--seed"],
    [["--workers", "0"], '--workers must be a whole number from 1; received "0"'],
    [["--sedes", "1"], "--sedes"],
  ])("%j is refused, with what was received", (args, message) => {
    const { status, stdout, stderr } = run("sim", ...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
    expect(stdout).toBe("");
  });
});

describe("planted bugs", { timeout: 300_000 }, () => {
  it("have names and harms of their own, and there are many", () => {
    expect(MUTANTS.length).toBeGreaterThanOrEqual(16);
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });

  // All of them: npm run sim:mutants.
  it("of three kinds are found, and a failing seed is told with what broke", () => {
    for (const only of [
      "a new id per retry",
      "a drop is not counted",
      "the ledger does not look",
    ]) {
      const { status, stdout, stderr } = run("sim-mutants", "--only", only, "--json");
      expect(stderr).toMatch(/seed \d+/);
      expect(JSON.parse(stdout)).toMatchObject({ mutants: 1, missed: [] });
      expect(status).toBe(0);
    }
  });
});
