import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const scripts = new URL("../../scripts/postgres-server.js", import.meta.url);

it("a run that has failed says so, whatever servers it had started", () => {
  const script = `
    import { startPostgres } from ${JSON.stringify(scripts.href)};
    const { stop } = await startPostgres();
    await stop();
    process.exitCode = 3;`;
  const { status, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", script],
    { cwd: fileURLToPath(new URL("../../", import.meta.url)), encoding: "utf8" },
  );
  expect(stderr).toBe("");
  expect(status).toBe(3);
});
