/**
 * The style rules no linter knows, as functions from files to findings. They read the syntax tree,
 * so a string that looks like a violation is not one.
 */
import { posix } from "node:path";
import { parseSync, Visitor } from "oxc-parser";

/** A file of the repository; `path` is relative to its root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A rule lists its findings, each `path:line: sentence`; an empty list is a pass. */
export type Rule = (files: readonly SourceFile[]) => readonly string[];

const LIBRARY = "packages/sluice/src/";
const SERVER = "packages/server/";
const MAX_LINES = 350;

/** Files that may be longer than the limit, each with the reason. */
const LONG_FILES: ReadonlyMap<string, string> = new Map();

/** Files whose code may read the clock: they are what everything else is given. */
const CLOCK_FILES: ReadonlySet<string> = new Set([`${LIBRARY}clock.ts`]);

const NODE_MODULES_ALLOWED: ReadonlySet<string> = new Set([
  "node:async_hooks",
  "node:buffer",
  "node:crypto",
  "node:stream",
  "node:util",
]);

/** The packages that a file is there to wrap: optional peers, which the application installs. */
const PEERS: ReadonlyMap<string, string> = new Map([
  [`${LIBRARY}coalescer/lru-cache.ts`, "lru-cache"],
]);

const isCode = (path: string): boolean => /\.[cm]?[jt]s$/.test(path);
const isTest = (path: string): boolean => path.endsWith(".test.ts");
const isSource = (path: string): boolean =>
  /^packages\/[^/]+\/src\//.test(path) && isCode(path) && !isTest(path);
const isLibrarySource = (path: string): boolean => path.startsWith(LIBRARY) && isSource(path);

const lineOf = (text: string, offset: number): number => text.slice(0, offset).split("\n").length;

const found = (file: SourceFile, offset: number, sentence: string): string =>
  `${file.path}:${lineOf(file.text, offset)}: ${sentence}`;

type Parsed = ReturnType<typeof parseSync>;
const parsed = new WeakMap<SourceFile, Parsed>();
const parse = (file: SourceFile): Parsed => {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const result = parseSync(file.path, file.text);
  const error = result.errors[0];
  if (error !== undefined) throw new Error(`${file.path} does not parse: ${error.message}`);
  parsed.set(file, result);
  return result;
};

interface Import {
  readonly specifier: string;
  readonly offset: number;
}

/** Every module a file names: static, type-only, re-exported, dynamic and `import("…")` types. */
const importsOf = (file: SourceFile): readonly Import[] => {
  const imports: Import[] = [];
  const add = (source: { readonly type: string; readonly start: number } | null): void => {
    if (source !== null && "value" in source && typeof source.value === "string") {
      imports.push({ specifier: source.value, offset: source.start });
    }
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
  }).visit(parse(file).program);
  return imports;
};

const isRelative = (specifier: string): boolean => /^\.{1,2}\//.test(specifier);
const resolve = (file: SourceFile, specifier: string): string =>
  posix.join(posix.dirname(file.path), specifier);

/** A source file longer than 350 lines is more than one idea. */
export const fileLength: Rule = (files) =>
  files
    .filter(({ path }) => isSource(path) && !LONG_FILES.has(path))
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}:1: ${lines} lines, more than ${MAX_LINES}`);

/** Comments describe what is, for good: no moments and no intentions. */
export const bannedWords: Rule = (files) =>
  files
    .filter(({ path }) => isCode(path))
    .flatMap((file) =>
      parse(file).comments.flatMap(({ value, start }) =>
        [
          ...value.matchAll(/\b(?:currently|for now)\b/gi),
          ...value.matchAll(/\b(?:TODO|FIXME|XXX|HACK)\b/g),
        ].map((match) => found(file, start + 2 + match.index, `"${match[0]}" in a comment`)),
      ),
    );

/** The part of the library a file belongs to; a file at its root is a part of its own. */
const partOf = (path: string): string => {
  const [first = "", second = "", third] = path.slice(LIBRARY.length).split("/");
  if (second === "") return first;
  return first === "sinks" && third !== undefined ? `sinks/${second}` : first;
};

const FOUNDATION: ReadonlySet<string> = new Set(["errors.ts", "clock.ts", "events.ts"]);
const CONTRACTS: ReadonlySet<string> = new Set([
  `${LIBRARY}shapes/shape.ts`,
  `${LIBRARY}sinks/sink.ts`,
]);

/** Whether a file of the part `from` may import `target`, which belongs to the part `to`. */
const mayImport = (from: string, to: string, target: string): boolean => {
  if (from === to || from === "testing") return true;
  if (to === "testing" || to === "index.ts") return false;
  if (from === "systems") return true;
  if (to === "systems") return false;
  if (from === "shapes") return to === "core" || FOUNDATION.has(to);
  if (FOUNDATION.has(to) || CONTRACTS.has(target)) return true;
  if (FOUNDATION.has(from) || from === "core") return false;
  if (from === "index.ts") return !to.startsWith("sinks/");
  if (from === "sinks") return to === "core" || to === "shapes";
  if (from.startsWith("sinks/")) return !to.startsWith("sinks/");
  return true;
};

/** Imports point inward: core ← shapes, sinks ← systems; nothing but `testing` uses `testing`. */
export const importDirection: Rule = (files) =>
  files
    .filter(({ path }) => isLibrarySource(path))
    .flatMap((file) =>
      importsOf(file)
        .filter(({ specifier }) => isRelative(specifier))
        .filter(({ specifier }) => {
          const target = resolve(file, specifier);
          if (!target.startsWith(LIBRARY)) return true;
          return !mayImport(partOf(file.path), partOf(target), target);
        })
        .map(({ specifier, offset }) =>
          found(file, offset, `${partOf(file.path)} may not import "${specifier}"`),
        ),
    );

/** The library depends on nothing: of Node it takes five modules, of npm optional peers, each in a file. */
export const libraryDependencies: Rule = (files) =>
  files
    .filter(({ path }) => isLibrarySource(path))
    .flatMap((file) =>
      importsOf(file)
        .filter(({ specifier }) => !isRelative(specifier) && !NODE_MODULES_ALLOWED.has(specifier))
        .filter(({ specifier }) => PEERS.get(file.path) !== specifier)
        .filter(
          ({ specifier }) =>
            !(specifier.startsWith("node:") && file.path.startsWith(`${LIBRARY}testing/`)),
        )
        .map(({ specifier, offset }) =>
          found(file, offset, `the library may not import "${specifier}"`),
        ),
    );

/** What the unit tests of all packages share. */
const TEST_SUPPORT = "test/support/";

/** The server sees the library as any user does: through its public subpaths. */
export const serverImports =
  (subpaths: readonly string[]): Rule =>
  (files) => {
    const known = new Set(subpaths.map((subpath) => posix.join("sluice", subpath)));
    const isAllowed = (file: SourceFile, specifier: string): boolean => {
      if (isRelative(specifier)) {
        const target = resolve(file, specifier);
        const places = isTest(file.path) ? [SERVER, TEST_SUPPORT] : [SERVER];
        return places.some((place) => target.startsWith(place));
      }
      return !/^sluice(?:\/|$)/.test(specifier) || known.has(specifier);
    };
    return files
      .filter(({ path }) => path.startsWith(SERVER) && isCode(path))
      .flatMap((file) =>
        importsOf(file)
          .filter(({ specifier }) => !isAllowed(file, specifier))
          .map(({ specifier, offset }) =>
            found(file, offset, `"${specifier}" is not public; it may change without notice`),
          ),
      );
  };

/** `new Date()` reads the system clock as `Date.now()` does, which the linter bans. */
export const systemDate: Rule = (files) =>
  files
    .filter(({ path }) => isLibrarySource(path) && !CLOCK_FILES.has(path))
    .flatMap((file) => {
      const findings: string[] = [];
      const check = (node: { callee: object; arguments: readonly unknown[]; start: number }) => {
        const { callee } = node;
        if ("name" in callee && callee.name === "Date" && node.arguments.length === 0) {
          findings.push(found(file, node.start, "Date without a time; use the injected Clock"));
        }
      };
      new Visitor({ NewExpression: check, CallExpression: check }).visit(parse(file).program);
      return findings;
    });

const ERROR_CODE = /\bSLUICE_ERR_[A-Z0-9]+(?:_[A-Z0-9]+)*\b/g;

/** Every error code is documented, and every documented code exists. */
export const errorCodes: Rule = (files) => {
  const registry = files.find(({ path }) => path === `${LIBRARY}errors.ts`);
  const page = files.find(({ path }) => path === "docs/errors.md");
  const declared = new Map<string, number>();
  if (registry !== undefined) {
    const { comments } = parse(registry);
    for (const match of registry.text.matchAll(ERROR_CODE)) {
      const { index } = match;
      if (comments.some(({ start, end }) => start <= index && index < end)) continue;
      if (!declared.has(match[0])) declared.set(match[0], index);
    }
  }
  const documented = new Map<string, number>();
  for (const entry of page?.text.matchAll(/^(?:#|\|).*$/gm) ?? []) {
    for (const match of entry[0].matchAll(/`(SLUICE_ERR_[A-Z0-9_]+)`/g)) {
      const code = match[1] ?? "";
      if (!documented.has(code)) documented.set(code, entry.index);
    }
  }
  const findings: string[] = [];
  for (const [code, offset] of declared) {
    if (registry === undefined || documented.has(code)) continue;
    findings.push(found(registry, offset, `${code} is no heading or table row of docs/errors.md`));
  }
  for (const [code, offset] of documented) {
    if (page === undefined || declared.has(code)) continue;
    findings.push(found(page, offset, `${code} does not exist in ${LIBRARY}errors.ts`));
  }
  return findings;
};

/** A path of somebody's machine means nothing to the next reader. */
export const machinePaths: Rule = (files) =>
  files.flatMap((file) =>
    [...file.text.matchAll(/(?<![\w.~-])\/(?:home|root|Users|work)\/[\w.]|\b[A-Z]:\\Users\\/g)].map(
      ({ index }) => found(file, index, "a path of one machine"),
    ),
  );

const RUNNERS: ReadonlySet<string> = new Set(["bench", "describe", "it", "suite", "test"]);
const SILENCERS: ReadonlySet<string> = new Set(["only", "skip", "todo"]);

/** The name a chain of members and calls starts with: `test` in `test.for(rows).skip`. */
const rootName = (node: object): string | undefined => {
  if ("name" in node && typeof node.name === "string") return node.name;
  for (const key of ["object", "callee", "tag"] as const) {
    const inner = (node as Partial<Record<typeof key, unknown>>)[key];
    if (typeof inner === "object" && inner !== null) return rootName(inner);
  }
  return undefined;
};

/** A test that is written runs: no test is skipped, singled out or left to be written. */
export const silencedTests: Rule = (files) =>
  files
    .filter(({ path }) => isTest(path))
    .flatMap((file) => {
      const findings: string[] = [];
      const silenced = (offset: number, name: string): void => {
        findings.push(found(file, offset, `"${name}" silences tests`));
      };
      new Visitor({
        MemberExpression: ({ object, property, start }) => {
          const name = "name" in property ? property.name : "value" in property && property.value;
          if (typeof name !== "string" || !SILENCERS.has(name)) return;
          if (RUNNERS.has(rootName(object) ?? "")) silenced(start, name);
        },
        CallExpression: (call) => {
          if (!RUNNERS.has(rootName(call.callee) ?? "")) return;
          for (const argument of call.arguments) {
            if (argument.type !== "ObjectExpression") continue;
            for (const property of argument.properties) {
              if (property.type !== "Property" || !("name" in property.key)) continue;
              const { name } = property.key;
              if (typeof name === "string" && SILENCERS.has(name)) silenced(property.start, name);
            }
          }
        },
      }).visit(parse(file).program);
      return findings;
    });

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** README.md numbers its proofs: each number is cited and has a line, and names tests that are there. */
export const proofs: Rule = (files) =>
  files
    .filter(({ path }) => path === "README.md")
    .flatMap((file) => {
      const begin = file.text.indexOf("\n### Proof\n");
      const [claims, list] = [file.text.slice(0, begin), file.text.slice(begin)];
      const cited = [...claims.matchAll(/\[([⁰¹²³⁴⁵⁶⁷⁸⁹]+)\]/g)].map(([, number = ""]) =>
        Array.from(number, (digit) => SUPERSCRIPTS.indexOf(digit)).join(""),
      );
      const lines = [...list.matchAll(/^(\d+)\. (.*)$/gm)];
      const listed = lines.map(([, number = ""]) => number);
      const uncited = listed.filter((number) => !cited.includes(number));
      const unlisted = [...new Set(cited)].filter((number) => !listed.includes(number));
      return [
        ...uncited.map((number) => found(file, begin, `nothing cites proof ${number}`)),
        ...unlisted.map((number) => found(file, begin, `there is no proof ${number}`)),
        ...lines.flatMap(({ index, 2: text = "" }) =>
          [...text.matchAll(/\]\(([^)]+)\)([^[]*)/g)].flatMap(([, path = "", titles = ""]) => {
            const test = files.find((one) => one.path === path);
            if (test === undefined) return [found(file, begin + index, `there is no ${path}`)];
            return [...titles.matchAll(/"([^"]+)"/g)]
              .filter(([, title = ""]) => !test.text.includes(title))
              .map(([title]) => found(file, begin + index, `${path} has no test ${title}`));
          }),
        ),
      ];
    });
