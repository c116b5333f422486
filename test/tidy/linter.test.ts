/** What the linter is told to refuse is only configuration: planted, each of it is found. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Report {
  readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
}

/** Which of the files, by path, the linter's restrictions refuse. */
function refused(files: ReadonlyMap<string, string>): ReadonlySet<string> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-linter-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const config = JSON.parse(readFileSync(`${root}.oxlintrc.json`, "utf8"));
  const untyped = { ...config, options: { ...config.options, typeAware: false } };
  writeFileSync(join(folder, ".oxlintrc.json"), JSON.stringify(untyped));
  for (const [path, text] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${text}\n`);
  }
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
  const args = [oxlint, "--format=json"];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  const { diagnostics } = JSON.parse(stdout) as Report;
  const restrictions = diagnostics.filter(({ code }) => code.startsWith("eslint(no-restricted-"));
  return new Set(restrictions.map(({ filename }) => filename));
}

/** The texts as files, the number of each in its path where a star is. */
const planted = (path: string, texts: readonly string[]): ReadonlyMap<string, string> =>
  new Map(texts.map((text, index) => [path.replace("*", String(index)), text]));

const LIBRARY = "packages/sluice/src";

/** What reads the clock, waits for it or draws by chance. */
const AMBIENT = [
  "export const a = setTimeout;",
  "export const a = setInterval(() => {}, 1);",
  "export const a = setImmediate;",
  "export const a = performance.now();",
  "export const a = crypto.randomUUID();",
  "export const a = global.setTimeout;",
  "export const a = globalThis.setTimeout;",
  'export const a = globalThis["performance"];',
  "export const { setInterval: a } = globalThis;",
  "export const a = globalThis.crypto.getRandomValues;",
  "export const a = Date.now();",
  'export const a = Date["now"]();',
  "export const { now: a } = Date;",
  "export const a = [1].map(Date.now);",
  "export const a = Math.random();",
  "export const { random: a } = Math;",
  "export const a = process.hrtime.bigint();",
  "export const a = process.uptime();",
  "export const a = process.nextTick;",
  "export const a = AbortSignal.timeout(1);",
  "export const a = Atomics.wait;",
  "export const a = Atomics.waitAsync;",
  'export { setTimeout as a } from "node:timers/promises";',
  'export { setTimeout as a } from "node:timers";',
  'export { performance as a } from "node:perf_hooks";',
  'export { hrtime as a } from "node:process";',
  'export { randomUUID as a } from "node:crypto";',
  'export { randomBytes, createHash } from "node:crypto";',
  'export * from "node:crypto";',
  'import a from "node:crypto"; export const b = a;',
];

describe("the linter, in the library", () => {
  it("finds every way to the ambient clock, its timers and chance, and what writes to the console", () => {
    const files = planted(`${LIBRARY}/core/a*.ts`, [...AMBIENT, "console.log(1);"]);
    expect(refused(files)).toEqual(new Set(files.keys()));
  });

  it("lets what is injected pass, and the file that the real ones come from", () => {
    const clean = planted(`${LIBRARY}/core/a*.ts`, [
      "export const a = (clock: { now(): number }): number => clock.now();",
      "export const a = (crypto: { random(): number }): number => crypto.random();",
      'export const a = "setTimeout(Date.now)"; // Math.random()',
      "export const a = Math.max(1, Date.UTC(2026, 0));",
      'export { createHash } from "node:crypto";',
      "export const a = globalThis.fetch;",
    ]);
    const clock = planted(`${LIBRARY}/clock.ts`, ["export const a = Date.now;"]);
    expect(refused(new Map([...clean, ...clock]))).toEqual(new Set());
  });
});

describe("the linter, in unit tests", () => {
  it.each(["sluice", "server"])("finds what sleeps, polls or measures speed, in %s", (name) => {
    const files = planted(`packages/${name}/src/any/a*.test.ts`, [
      "setTimeout(() => undefined, 1);",
      "setInterval(() => undefined, 1);",
      "globalThis.setTimeout(() => undefined, 1);",
      'import { setTimeout as sleep } from "node:timers/promises"; await sleep(1);',
      'import { setInterval } from "node:timers"; setInterval(() => undefined);',
      "export const a = Date.now();",
      "export const a = performance.now();",
      'export { performance as a } from "node:perf_hooks";',
      "export const a = process.hrtime();",
      "await vi.waitFor(() => undefined);",
      "await vi.waitUntil(() => true);",
      "await expect.poll(() => 1).toBe(1);",
      "export const a = AbortSignal.timeout(1);",
      "export const a = Atomics.wait;",
    ]);
    expect(refused(files)).toEqual(new Set(files.keys()));
  });

  it("lets a manual clock pass, and a turn of the event loop; integration tests wait for servers", () => {
    const clean = planted(`${LIBRARY}/core/a*.test.ts`, [
      'vi.useFakeTimers({ toFake: ["setTimeout"] });',
      "await clock.advance(1_000);",
      "setImmediate(() => undefined);",
    ]);
    const integration = planted("test/integration/a.test.ts", ["await vi.waitFor(() => true);"]);
    expect(refused(new Map([...clean, ...integration]))).toEqual(new Set());
  });
});
