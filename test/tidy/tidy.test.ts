/** Style that is not checked is not style. Each rule also proves that it finds what it is for. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  bannedWords,
  errorCodes,
  fileLength,
  importDirection,
  libraryDependencies,
  machinePaths,
  proofs,
  type Rule,
  serverImports,
  silencedTests,
  type SourceFile,
  systemDate,
} from "./rules.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Every text file git would commit. Ownership is not checked: a clone may belong to another user. */
const readRepository = (): readonly SourceFile[] =>
  execFileSync(
    "git",
    ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    { cwd: root, encoding: "utf8" },
  )
    .split("\0")
    .filter((path) => path !== "" && path !== "package-lock.json" && existsSync(root + path))
    .map((path) => ({ path, text: readFileSync(root + path, "utf8") }))
    .filter(({ text }) => !text.includes("\0"));

const files = readRepository();

const manifest = JSON.parse(readFileSync(`${root}packages/sluice/package.json`, "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
const subpaths = Object.keys(manifest.exports);

const library = (path: string, text: string): SourceFile => ({
  path: `packages/sluice/src/${path}`,
  text,
});
const imports = (path: string, specifier: string): SourceFile =>
  library(path, `import type { X } from "${specifier}";\nexport type Y = X;\n`);

interface Case {
  readonly name: string;
  readonly rule: Rule;
  /** Each of these file sets holds exactly one violation. */
  readonly planted: readonly (readonly SourceFile[])[];
  /** These hold none, though they come close. */
  readonly clean: readonly SourceFile[];
}

const cases: readonly Case[] = [
  {
    name: "a source file has at most 350 lines",
    rule: fileLength,
    planted: [[library("core/long.ts", "export {};\n".repeat(351))]],
    clean: [
      library("core/full.ts", "export {};\n".repeat(350)),
      library("core/long.test.ts", "export {};\n".repeat(351)),
    ],
  },
  {
    name: "comments hold no moments and no intentions",
    rule: bannedWords,
    planted: ["currently", "For now", "TODO", "FIXME", "XXX", "HACK"].flatMap((word) => [
      [library("core/a.ts", `// ${word}, this is enough\n`)],
      [library("core/a.ts", `const a = 1; /* one\n two ${word} */\n`)],
    ]),
    clean: [library("core/a.ts", 'export const a = "TODO // currently"; // concurrently\n')],
  },
  {
    name: "imports point inward",
    rule: importDirection,
    planted: [
      [imports("events.ts", "./core/batcher.ts")],
      [imports("core/batcher.ts", "../shapes/sums.ts")],
      [imports("core/batcher.ts", "../sinks/postgres/upsert.ts")],
      [imports("core/batcher.ts", "../../../server/src/cli.ts")],
      [imports("shapes/sums.ts", "../sinks/postgres/upsert.ts")],
      [imports("shapes/sums.ts", "../sinks/sink.ts")],
      [imports("sinks/http/http-sink.ts", "../postgres/upsert.ts")],
      [imports("sinks/http/http-sink.ts", "../../systems/statsig.ts")],
      [imports("sinks/function-sink.ts", "./postgres/upsert.ts")],
      [imports("systems/statsig.ts", "../testing/index.ts")],
      [imports("index.ts", "./sinks/postgres/index.ts")],
      [library("core/batcher.ts", 'export * from "../shapes/sums.ts";\n')],
      [library("core/batcher.ts", 'await import("../shapes/sums.ts");\n')],
      [library("core/batcher.ts", 'export type S = import("../shapes/sums.ts").S;\n')],
    ],
    clean: [
      imports("events.ts", "./sinks/sink.ts"),
      imports("core/batcher.ts", "./retry.ts"),
      imports("core/batcher.ts", "../errors.ts"),
      imports("core/batcher.ts", "../shapes/shape.ts"),
      imports("core/batcher.test.ts", "../shapes/sums.ts"),
      imports("shapes/sums.ts", "../core/bytes.ts"),
      imports("sinks/sink.ts", "../shapes/shape.ts"),
      imports("sinks/http/http-sink.ts", "./classify.ts"),
      imports("sinks/http/http-sink.ts", "../sink.ts"),
      imports("systems/statsig.ts", "../sinks/http/http-sink.ts"),
      imports("testing/index.ts", "../systems/statsig.ts"),
      imports("index.ts", "./shapes/sums.ts"),
    ],
  },
  {
    name: "the library depends on nothing",
    rule: libraryDependencies,
    planted: [
      [imports("core/a.ts", "node:fs")],
      [imports("core/a.ts", "fs")],
      [imports("sinks/postgres/a.ts", "pg")],
      [imports("testing/a.ts", "vitest")],
    ],
    clean: [
      imports("core/a.ts", "node:async_hooks"),
      imports("core/a.test.ts", "vitest"),
      imports("testing/a.ts", "node:fs"),
    ],
  },
  {
    name: "the server imports public subpaths only",
    rule: serverImports(subpaths),
    planted: [
      "sluice/dist/index.js",
      "sluice/core/batcher",
      "../../sluice/src/index.ts",
      "../../../test/support/pglite.ts",
    ].map((specifier) => [{ path: "packages/server/src/a.ts", text: `import "${specifier}";\n` }]),
    clean: [
      ...["sluice", "sluice/postgres", "pg", "../bin/b.ts", "sluice-extra"].map((specifier) => ({
        path: "packages/server/src/a.ts",
        text: `import "${specifier}";\n`,
      })),
      {
        path: "packages/server/src/a.test.ts",
        text: 'import "../../../test/support/pglite.ts";\nimport "./a.ts";\n',
      },
    ],
  },
  {
    name: "the library reads the time from its clock",
    rule: systemDate,
    planted: ["new Date()", "Date()"].map((text) => [
      library("core/a.ts", `export const a = ${text};`),
    ]),
    clean: [
      library("core/a.ts", "export const a = new Date(0); // new Date()"),
      library("clock.ts", "export const a = new Date();"),
    ],
  },
  {
    name: "docs/errors.md and errors.ts name the same codes",
    rule: errorCodes,
    planted: [
      [library("errors.ts", 'export const a = "SLUICE_ERR_OPTIONS_INVALID";')],
      [{ path: "docs/errors.md", text: "## `SLUICE_ERR_GONE`\n" }],
      [
        library("errors.ts", 'export const a = "SLUICE_ERR_CLOSED";'),
        { path: "docs/errors.md", text: "Prose about `SLUICE_ERR_CLOSED` documents nothing.\n" },
      ],
    ],
    clean: [
      library(
        "errors.ts",
        '// SLUICE_ERR_AREA_WHAT\nexport const a = ["SLUICE_ERR_A", "SLUICE_ERR_B_C"];',
      ),
      {
        path: "docs/errors.md",
        text: "## `SLUICE_ERR_A`\n\n| code |\n|---|\n| `SLUICE_ERR_B_C` |\n",
      },
    ],
  },
  {
    name: "no file names a path of one machine",
    rule: machinePaths,
    planted: [
      ["", "home", "somebody"].join("/"),
      ["", "root", ".npmrc"].join("/"),
      ["", "Users", "somebody"].join("/"),
      ["C:", "Users", "somebody"].join("\\"),
    ].map((path) => [{ path: "README.md", text: `see ${path}\n` }]),
    clean: [
      { path: "README.md", text: "https://example.com/home/page ../area/items /etc/passwd\n" },
    ],
  },
  {
    name: "README.md cites proofs that are there",
    rule: proofs,
    planted: [
      'true [¹](#proof) [²](#proof)\n### Proof\n\n1. [a](a.test.ts) "holds"\n',
      'true [¹](#proof)\n### Proof\n\n1. [a](a.test.ts) "holds"\n2. [a](a.test.ts)\n',
      'true [¹](#proof)\n### Proof\n\n1. [a](a.test.ts) "held", "holds"\n',
      'true [¹](#proof)\n### Proof\n\n1. [a](b.test.ts) "holds"\n',
    ].map((text) => [
      { path: "README.md", text },
      { path: "a.test.ts", text: 'it("holds", () => {});\n' },
    ]),
    clean: [
      { path: "README.md", text: 'true [¹](#proof)\n### Proof\n\n1. [a](a.test.ts) "holds"\n' },
      { path: "a.test.ts", text: 'it("holds always", () => {});\n' },
    ],
  },
  {
    name: "no test is silenced",
    rule: silencedTests,
    planted: [
      'test.skip("a", () => {});',
      'describe.only("a", () => {});',
      'it.todo("a");',
      'it["skip"]("a", () => {});',
      'test.concurrent.skip("a", () => {});',
      'test.skip.each([1])("a", () => {});',
      'test("a", { skip: true }, () => {});',
    ].map((text) => [library("core/a.test.ts", text)]),
    clean: [
      library("core/a.test.ts", 'test("a", () => { list.skip(1); page.only; }); // test.skip'),
      library("core/skip.ts", "test.skip();"),
    ],
  },
];

describe.each(cases)("tidy: $name", ({ rule, planted, clean }) => {
  it("holds in this repository", () => {
    expect(rule(files)).toEqual([]);
  });

  it("finds each planted violation and nothing else", () => {
    for (const set of planted) expect(rule(set), JSON.stringify(set)).toHaveLength(1);
    expect(rule(clean)).toEqual([]);
  });
});

describe("tidy: the repository", () => {
  it("was read", () => {
    const paths = files.map(({ path }) => path);
    expect(paths).toContain("packages/sluice/src/errors.ts");
    expect(paths).toContain("test/tidy/rules.ts");
  });

  it("ships the same licence in every package", () => {
    const licence = readFileSync(`${root}LICENSE`, "utf8");
    for (const name of ["sluice", "server"]) {
      expect(readFileSync(`${root}packages/${name}/LICENSE`, "utf8")).toBe(licence);
    }
  });
});
