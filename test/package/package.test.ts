/** What is published, seen as its user sees it: the packed tarball, installed into an empty project. */
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** Far above the real size; a file that does not belong in the tarball is what crosses it. */
const MAX_UNPACKED_BYTES = 3_000_000;

interface Packed {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

interface Manifest {
  readonly name: string;
  readonly type: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string }>>;
}

/** What importing one specifier gave: the names it exports, or the code it failed with. */
type Imported = { readonly names: readonly string[] } | { readonly code: string };

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

describe("the packed library", () => {
  let project: string;
  let packed: Packed;
  let manifest: Manifest;

  const installed = (path: string): string => join(project, "node_modules/sluice", path);

  const importAll = async (
    specifiers: readonly string[],
  ): Promise<Readonly<Record<string, Imported>>> => {
    const program = `
      const results = {};
      for (const specifier of ${JSON.stringify(specifiers)}) {
        results[specifier] = await import(specifier, specifier.endsWith(".json") ? { with: { type: "json" } } : {})
          .then((module) => ({ names: Object.keys(module) }), (error) => ({ code: error.code ?? String(error) }));
      }
      console.log(JSON.stringify(results));`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: project,
      env: { ...process.env, NODE_OPTIONS: "", NODE_NO_WARNINGS: "1" },
    });
    return JSON.parse(stdout) as Record<string, Imported>;
  };

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), "sluice-package-"));
    await run("npx", ["--no-install", "tsc", "--build", "packages/sluice"], { cwd: root });
    const { stdout } = await run(
      "npm",
      ["pack", "--json", "--ignore-scripts", "--pack-destination", project],
      { cwd: join(root, "packages/sluice") },
    );
    const [first] = JSON.parse(stdout) as Packed[];
    if (first === undefined) throw new Error(`npm pack packed nothing: ${stdout}`);
    packed = first;
    writeFileSync(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
    await run(
      "npm",
      [
        "install",
        "--offline",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        `./${packed.filename}`,
      ],
      { cwd: project },
    );
    manifest = JSON.parse(readFileSync(installed("package.json"), "utf8")) as Manifest;
  }, 120_000);

  afterAll(() => {
    rmSync(project, { recursive: true, force: true });
  });

  it("needs nothing else", () => {
    expect(manifest.type).toBe("module");
    for (const field of ["dependencies", "optionalDependencies"]) {
      expect(manifest).not.toHaveProperty(field);
    }
    // Drivers are the user's to bring; npm installs none of these by itself.
    expect(manifest).toMatchObject({
      peerDependencies: { chdb: expect.any(String), "lru-cache": expect.any(String) },
      peerDependenciesMeta: { chdb: { optional: true }, "lru-cache": { optional: true } },
    });
    for (const script of ["preinstall", "install", "postinstall"]) {
      expect(manifest).not.toHaveProperty(["scripts", script]);
    }
  });

  it("carries its manifest, readme, licence and compiled code, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(["package.json", "README.md", "LICENSE"]));
    const strangers = paths.filter(
      (path) =>
        !["package.json", "README.md", "LICENSE"].includes(path) &&
        !/^dist\/.+\.(?:js|js\.map|d\.ts)$/.test(path),
    );
    expect(strangers).toEqual([]);
    expect(paths.filter((path) => /\.test\.|tsbuildinfo/.test(path))).toEqual([]);
  });

  it(`unpacks to at most ${MAX_UNPACKED_BYTES} bytes`, () => {
    console.log(`sluice unpacks to ${packed.unpackedSize} bytes in ${packed.files.length} files`);
    expect(packed.unpackedSize).toBeLessThanOrEqual(MAX_UNPACKED_BYTES);
  });

  it("imports by every subpath it exports, with types", async () => {
    const subpaths = Object.entries(manifest.exports);
    expect(subpaths.length).toBeGreaterThan(1);
    const specifierOf = (subpath: string): string => `sluice${subpath.slice(1)}`;
    const wanting = await importAll(["sluice/statsig", "sluice/lru-cache"]);
    for (const result of Object.values(wanting)) {
      expect(result, "without its peer").toEqual({ code: "ERR_MODULE_NOT_FOUND" });
    }
    cpSync(join(root, "node_modules/lru-cache"), join(project, "node_modules/lru-cache"), {
      recursive: true,
    });
    const results = await importAll(subpaths.map(([subpath]) => specifierOf(subpath)));
    for (const [subpath, target] of subpaths) {
      const result = results[specifierOf(subpath)];
      expect(result, subpath).toHaveProperty("names");
      if (typeof target === "string") continue;
      expect(result, subpath).not.toHaveProperty("names", []);
      expect(existsSync(installed(target.types)), target.types).toBe(true);
    }
  });

  it("blocks every deep import", async () => {
    const inner = packed.files.map(({ path }) => path).filter((path) => path.endsWith(".js"));
    expect(inner.length).toBeGreaterThan(0);
    const specifiers = inner.flatMap((path) => [
      `sluice/${path}`,
      `sluice/${path.replace(/^dist\//, "").replace(/\.js$/, "")}`,
    ]);
    const open = new Set(
      Object.keys(manifest.exports).map((subpath) => `sluice${subpath.slice(1)}`),
    );
    const results = await importAll(specifiers.filter((specifier) => !open.has(specifier)));
    for (const [specifier, result] of Object.entries(results)) {
      expect(result, specifier).toEqual({ code: "ERR_PACKAGE_PATH_NOT_EXPORTED" });
    }
  });
});
