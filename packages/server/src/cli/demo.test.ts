import { PassThrough } from "node:stream";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { Io } from "./io.ts";
import { main } from "./main.ts";

const TIMEOUT_MS = 30_000;

interface Process {
  readonly stdin: PassThrough;
  /** Sends SIGINT. */
  interrupt(): void;
  readonly exitCode: Promise<number>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** Starts the command line on streams of its own, with the embedded database. */
function start(...argv: string[]): Process {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let interrupt = (): void => undefined;
  const io: Io = {
    stdin: () => stdin,
    stdout,
    stderr,
    now: () => 0,
    onInterrupt(callback) {
      interrupt = callback;
      return () => undefined;
    },
  };
  const exitCode = main(argv, io);
  const textOf = (stream: PassThrough): string => String(stream.read() ?? "");
  return {
    stdin,
    interrupt: () => interrupt(),
    exitCode,
    stdout: () => textOf(stdout),
    stderr: () => textOf(stderr),
  };
}

const line = (host: string, request: string, status: number): string =>
  `${host} - - [17/May/2015:10:05:03 +0200] "${request}" ${status} 1\n`;

const LOG =
  line("one", "GET /a/b HTTP/1.1", 200) +
  line("one", "GET /a/c?d HTTP/1.1", 304) +
  line("__proto__", "POST /__proto__ HTTP/1.1", 500) +
  "\nnonsense\n" +
  line("One", "GET / HTTP/1.1", 101) +
  line("one", `GET /${"x".repeat(20_000)} HTTP/1.1`, 200);

test("a log lands, is verified, and --json is one object", { timeout: TIMEOUT_MS }, async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.end(gzipSync(LOG));
  expect(await run.exitCode).toBe(0);
  const report: unknown = JSON.parse(run.stdout());
  expect(report).toMatchObject({ events: 4, skipped: 2, clients: 3, verified: true });
  const stderr = run.stderr();
  expect(stderr).toContain("line 5 does not start with a host");
  expect(stderr).toContain("line 7 was refused");
});

test("generated traffic lands and the summary says so", { timeout: TIMEOUT_MS }, async () => {
  const run = start("demo", "--events", "1500", "--seed", "3");
  expect(await run.exitCode).toBe(0);
  const summary = run.stdout();
  expect(summary).toContain("Replayed generated traffic (seed 3) into embedded PostgreSQL");
  expect(summary).toMatch(/requests +1,500 +of /);
  expect(summary.match(/✓/g)).toHaveLength(3);
  expect(run.stderr()).toBe("");
});

test("SIGINT drains what was read and sums it up", { timeout: TIMEOUT_MS }, async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.write(LOG);
  // The second line of input is only asked for once the first has been taken.
  await new Promise((resolve) =>
    run.stdin.once("drain", resolve).write(Buffer.alloc(70_000, "\n")),
  );
  run.interrupt();
  expect(await run.exitCode).toBe(130);
  expect(JSON.parse(run.stdout())).toMatchObject({ events: 4, verified: true });
});

test("a corrupt log ends in one line and exit code 2", { timeout: TIMEOUT_MS }, async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.end(gzipSync(LOG).subarray(0, 60));
  expect(await run.exitCode).toBe(2);
  expect(run.stdout()).toBe("");
  expect(run.stderr()).toBe('sluice: cannot read the log "-": its gzip data ends too early\n');
});
