import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished, vi } from "vitest";

const scripts = new URL("../../scripts/postgres-server.js", import.meta.url);
const programs = new URL("../../scripts/server-process.js", import.meta.url);

/** Runs a module in a process of its own. */
const run = (script: string) =>
  spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    encoding: "utf8",
  });

it("a run that has failed says so, whatever servers it had started", () => {
  const script = `
    import { startPostgres } from ${JSON.stringify(scripts.href)};
    const { stop } = await startPostgres();
    await stop();
    process.exitCode = 3;`;
  const { status, stderr } = run(script);
  expect(stderr).toBe("");
  expect(status).toBe(3);
});

it("a program ends with the process that has started it, also where that one fails", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sluice-program-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const program = `
    const { writeFileSync } = require("node:fs");
    process.once("SIGTERM", () => { writeFileSync("ended", ""); process.exit(); });
    setTimeout(() => undefined, 60_000);
    writeFileSync("started", "");`;
  const script = `
    import { existsSync } from "node:fs";
    import { startProgram } from ${JSON.stringify(programs.href)};
    await startProgram(process.execPath, ["--eval", ${JSON.stringify(program)}], {
      cwd: ${JSON.stringify(folder)},
      answers: async () => existsSync(${JSON.stringify(join(folder, "started"))}),
    });
    throw new Error("it fails");`;
  expect(run(script).stderr).toContain("it fails");
  await vi.waitFor(() => expect(existsSync(join(folder, "ended"))).toBe(true), { timeout: 10_000 });
});
