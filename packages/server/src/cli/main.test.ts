import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import type { Io } from "./io.ts";
import { main } from "./main.ts";

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(...argv: string[]): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const io: Io = {
    stdin: () => new PassThrough().end(),
    stdout,
    stderr,
    now: () => 0,
    onInterrupt: () => () => undefined,
  };
  const exitCode = await main(argv, io);
  const textOf = (stream: PassThrough): string => String(stream.read() ?? "");
  return { exitCode, stdout: textOf(stdout), stderr: textOf(stderr) };
}

test.each([[[]], [["--help"]], [["-h"]]])("sluice %j prints the help", async (argv) => {
  const { exitCode, stdout, stderr } = await run(...argv);
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("Usage:\n  sluice <command>");
});

test("sluice demo --help documents every option", async () => {
  const { exitCode, stdout } = await run("demo", "--help");
  expect(exitCode).toBe(0);
  const databases = ["--postgres", "--clickhouse"];
  for (const option of ["--log", "--events", "--seed", ...databases, "--json", "--help"]) {
    expect(stdout).toContain(option);
  }
  expect(stdout).toContain("`npm install chdb`");
  expect(stdout).toContain("agent metadata");
  expect(stdout.split("\n").filter((line) => line.length > 95)).toEqual([]);
});

test("sluice --version prints the version alone", async () => {
  expect((await run("--version")).stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
});

describe("a mistake is answered with one line and a pointer to the help", () => {
  test.each([
    [["dmo"], 'sluice: unknown command "dmo"; see `sluice --help`\n'],
    [["--verbose"], 'sluice: unknown option "--verbose"; see `sluice --help`\n'],
    [["demo", "-q"], 'sluice: unknown option "-q"; see `sluice demo --help`\n'],
  ])("%j", async (argv, stderr) => {
    expect(await run(...argv)).toEqual({ exitCode: 2, stdout: "", stderr });
  });
});
