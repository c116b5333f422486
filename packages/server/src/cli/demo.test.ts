import { PassThrough } from "node:stream";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { copyPglite } from "../../../../test/support/pglite.ts";
import { runDemo } from "./demo.ts";
import { Failure, messageOf } from "./failure.ts";
import type { Io } from "./io.ts";
import { main } from "./main.ts";

copyPglite();

interface Process {
  readonly stdin: PassThrough;
  /** Sends SIGINT. */
  interrupt(): void;
  readonly exitCode: Promise<number>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** Starts the command line on streams of its own, with the embedded databases. */
function start(...argv: string[]): Process {
  return startWith((io) => main(argv, io));
}

function startWith(run: (io: Io) => Promise<number>): Process {
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
  const exitCode = run(io);
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
  `${host} - - [17/May/2015:10:05:03 +0200] "${request}" ${status} 7 "-" "é"\n`;

const LOG =
  line("one", "GET /a/b HTTP/1.1", 200) +
  line("one", "GET /a/c?d HTTP/1.1", 304) +
  line("__proto__", "POST /__proto__ HTTP/1.1", 500) +
  "\nnonsense\n" +
  line("One", `GET /?${"é".repeat(1_500)} HTTP/1.1`, 101) +
  line("one", `GET /${"x".repeat(20_000)} HTTP/1.1`, 200);

test("a log lands, is verified, and --json is one object", async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.end(gzipSync(LOG));
  expect(await run.exitCode).toBe(0);
  const report: unknown = JSON.parse(run.stdout());
  expect(report).toMatchObject({ events: 4, skipped: 2, clients: 3, verified: true });
  expect(report).toHaveProperty("systems.agentMetadata", {
    items: 12,
    entries: 9,
    superseded: 3,
    batches: 1,
    notifications: expect.any(Number),
    committed: 12,
    changed: 9,
    stale: 0,
    missing: 9,
    views: expect.any(Number),
    deadLettered: 0,
    dropped: 0,
    unknown: 0,
  });
  expect(report).toHaveProperty("systems.accessRows", {
    items: 4,
    batches: 1,
    bytes: expect.any(Number),
    committed: 4,
    deadLettered: 0,
    dropped: 0,
    unknown: 0,
  });
  expect(report).toHaveProperty("systems.gates", {
    checks: 8,
    apiCalls: 3,
    cacheHits: 0,
    failures: 0,
  });
  const stderr = run.stderr();
  expect(stderr).toContain("line 5 does not start with a host");
  expect(stderr).toContain("line 7 was refused");
});

test("generated traffic lands and the summary says so", async () => {
  const run = start("demo", "--events", "1500", "--seed", "3");
  expect(await run.exitCode).toBe(0);
  const summary = run.stdout();
  expect(summary).toContain(
    "Replayed generated traffic (seed 3) into embedded PostgreSQL and embedded",
  );
  expect(summary).toMatch(/requests +1,500 +of /);
  expect(summary).toMatch(/metadata +[\d,]+ +rows written, the newest of 4,500 values: \d+ batch/);
  expect(summary).toMatch(/watched +\d+ +views?, the last of 192\.0\.2\.1, the busiest client\n/);
  expect(summary).toMatch(/✓ agent_metadata +[\d,]+ rows as counted\n/);
  expect(summary).toMatch(/✓ watch of 192\.0\.2\.1 +3 rows as counted\n/);
  expect(summary).toMatch(/log rows +1,500 +written as they came: 1 batch, [\d,]+ bytes\n/);
  expect(summary).toMatch(/✓ access_log +1,500 rows as counted\n/);
  expect(summary).toMatch(/gates +3,000 +checks, two per request, in \d+ calls; [\d,]+ answered/);
  expect(summary).toMatch(/✓ gates +3,000 answers as the rules say\n/);
  expect(summary.match(/✓/g)).toHaveLength(7);
  expect(run.stderr()).toBe("");
});

test("a log without lines lands as nothing", async () => {
  const run = start("demo", "--log", "-");
  run.stdin.end();
  expect(await run.exitCode).toBe(0);
  const summary = run.stdout();
  expect(summary).toMatch(/metadata +0 +rows written, the newest of 0 values: 0 batches/);
  expect(summary).not.toContain("watch");
  expect(summary).toMatch(/gates +0 +checks, two per request, in 0 calls; 0 answered/);
  expect(summary).toContain("Nothing was replayed, and nothing landed.");
});

test("SIGINT drains what was read and sums it up", async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.write(LOG);
  // The second line of input is only asked for once the first has been taken.
  await new Promise((resolve) =>
    run.stdin.once("drain", resolve).write(Buffer.alloc(70_000, "\n")),
  );
  run.interrupt();
  expect(await run.exitCode).toBe(130);
  expect(JSON.parse(run.stdout())).toMatchObject({
    events: 4,
    systems: {
      agentMetadata: { committed: 12 },
      accessRows: { committed: 4 },
      gates: { checks: 8, failures: 0 },
    },
    verified: true,
  });
});

test("without chDB the rest lands, and the demo says so", async () => {
  const absent = Object.assign(new Error("no chdb"), { code: "ERR_MODULE_NOT_FOUND" });
  const options = { help: false, json: true, postgres: undefined, clickhouse: undefined };
  const run = startWith((io) =>
    runDemo({ ...options, traffic: { events: 10, seed: 1 } }, io, {
      loadChdb: () => Promise.reject(absent),
    }),
  );
  expect(await run.exitCode).toBe(0);
  const skipped = expect.stringMatching(/^the access log is left out, .*`npm install chdb`/);
  expect(JSON.parse(run.stdout())).toMatchObject({
    events: 10,
    systems: { clientStats: { committed: 30 }, accessRows: { items: 0, bytes: 0, skipped } },
    verified: true,
  });
  expect(run.stderr()).toMatch(/^sluice: the access log is left out, .*`npm install chdb`.*\n$/);
});

test("a ClickHouse that cannot be used ends in one line", async () => {
  const run = start("demo", "--events", "1", "--clickhouse", "http://u:secret@127.0.0.1:1");
  expect(await run.exitCode).toBe(1);
  expect(run.stdout()).toBe("");
  expect(run.stderr()).toMatch(
    /^sluice: cannot use the database "http:\/\/u:\*\*\*@127\.0\.0\.1:1": .*ECONNREFUSED.*\n$/,
  );
});

test("a flag API that does not start ends in one line", async () => {
  const options = { help: false, json: true, postgres: undefined, clickhouse: undefined };
  const run = startWith((io) =>
    runDemo({ ...options, traffic: { events: 1, seed: 1 } }, io, {
      startFlagApi: () => Promise.reject(new Error("no port")),
    }).catch((error: unknown) => {
      io.stderr.write(messageOf(error));
      return error instanceof Failure ? error.exitCode : -1;
    }),
  );
  expect(await run.exitCode).toBe(1);
  expect(run.stdout()).toBe("");
  expect(run.stderr()).toBe("cannot start the flag API on this machine: no port");
});

test("a corrupt log ends in one line and exit code 2", async () => {
  const run = start("demo", "--log", "-", "--json");
  run.stdin.end(gzipSync(LOG).subarray(0, 60));
  expect(await run.exitCode).toBe(2);
  expect(run.stdout()).toBe("");
  expect(run.stderr()).toBe('sluice: cannot read the log "-": its gzip data ends too early\n');
});
