/** The agent metadata of `sluice demo` on a server: on top of what is there, and behind a pooler. */
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { agentMetadataDdl } from "sluice/agent-metadata";
import { main } from "../../packages/server/src/cli/main.ts";
import { agentIdOf } from "../../packages/server/src/traffic/agent-id.ts";
import { startPgbouncer } from "../../scripts/pgbouncer-server.js";
import { type Eye, freshDatabase, openEye } from "./database.ts";
import { describePgbouncer } from "./pgbouncer.ts";

const line = (host: string, second: number, target: string, status: number): string =>
  `${host} - - [17/May/2015:10:05:${String(second).padStart(2, "0")} +0000] ` +
  `"GET ${target} HTTP/1.1" ${status} 7 "-" "é"\n`;

/** Out of order, with equal times, and two clients that are equally busy. */
const LOG =
  line("one", 3, "/newest", 200) +
  line("two", 1, "/a", 200) +
  line("one", 1, "/late", 500) +
  line("two", 1, "/b", 404) +
  line("three", 2, `/?${"é".repeat(1_100)}`, 200);

/** Starts the demo on a log that a test writes. */
function start(...argv: string[]) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  let interrupt = (): void => undefined;
  const running = main(["demo", "--json", ...argv], {
    stdin: () => stdin,
    stdout,
    stderr,
    now: () => 0,
    onInterrupt: (callback) => {
      interrupt = callback;
      return () => undefined;
    },
  });
  const ended = running.then((exitCode) => {
    const report: unknown = JSON.parse(String(stdout.read()));
    return { exitCode, report, stderr: String(stderr.read() ?? "") };
  });
  return { stdin, stderr, interrupt: () => interrupt(), ended };
}

/** Runs the demo on a server to its end. */
function demo(url: string, log: string) {
  const { stdin, ended } = start("--postgres", url, "--log", "-");
  stdin.end(log);
  return ended;
}

describe("on a server", () => {
  let url: string;
  let eye: Eye;
  beforeAll(async () => {
    url = await freshDatabase();
    eye = await openEye(url);
    await eye.query(agentMetadataDdl());
  });
  afterAll(() => eye.close());

  const rowsOf = (client: string) =>
    eye.query(
      `SELECT key, value, error, to_char(collected_at AT TIME ZONE 'UTC', 'SS.US') AS at
       FROM agent_metadata WHERE agent_id = $1 ORDER BY key`,
      [agentIdOf(client)],
    );

  /** From now on, what lands is not what was sent. */
  const spoil = () =>
    eye.query(`CREATE OR REPLACE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.value = NEW.value || '!'; RETURN NEW; END $$;
      CREATE OR REPLACE TRIGGER spoil BEFORE INSERT OR UPDATE ON agent_metadata
        FOR EACH ROW EXECUTE FUNCTION spoil()`);

  it("keeps the newest values of each client, and says what came of the others", async () => {
    const { exitCode, report, stderr } = await demo(url, LOG);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(report).toMatchObject({
      events: 5,
      systems: {
        agentMetadata: {
          items: 15,
          entries: 9,
          superseded: 6,
          batches: 1,
          committed: 15,
          changed: 9,
          stale: 0,
          missing: 9,
        },
      },
      verified: true,
    });
    const [error, at] = ["", "03.000000"];
    expect(await rowsOf("one")).toEqual([
      { key: "path", value: "/newest", error, at },
      { key: "status", value: "200", error, at },
      { key: "user_agent", value: "é", error, at },
    ]);
    expect(await rowsOf("two")).toMatchObject([
      { value: "/b", at: "01.000000" },
      { value: "404" },
      { value: "é" },
    ]);
    const [path] = await rowsOf("three");
    expect(path).toEqual({
      key: "path",
      value: `/?${"é".repeat(1_023)}`,
      error: "value of 2202 bytes exceeded 2048 bytes",
      at: "02.000000",
    });
  });

  it("is verified again on its own rows, on newer ones, and beside those of others", async () => {
    const [one, two] = [agentIdOf("one"), agentIdOf("two")];
    const newer = "2015-05-17 10:05:03.000001+00";
    await eye.query(
      "UPDATE agent_metadata SET value = 'mine', collected_at = $2 WHERE agent_id = $1 AND key = 'path'",
      [one, newer],
    );
    await eye.query("INSERT INTO agent_metadata VALUES ($1, 'load', '0.7', 'e', $2)", [one, newer]);
    await eye.query("INSERT INTO agent_metadata VALUES (gen_random_uuid(), 'load', '1')");
    await eye.query("UPDATE agent_metadata SET value = 'other' WHERE agent_id = $1", [two]);
    const { exitCode, report, stderr } = await demo(url, LOG);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(report).toMatchObject({
      systems: { agentMetadata: { entries: 9, changed: 8, stale: 1, missing: 0 } },
      verified: true,
    });
    expect(await rowsOf("one")).toMatchObject([
      { key: "load", value: "0.7", error: "e", at: "03.000001" },
      { key: "path", value: "mine", at: "03.000001" },
      { key: "status", value: "200", at: "03.000000" },
      { key: "user_agent", value: "é", at: "03.000000" },
    ]);
    expect(await rowsOf("two")).toMatchObject([{ value: "/b" }, { value: "404" }, { value: "é" }]);
  });

  it("takes a whole run on top of another", async () => {
    for (const seed of ["1", "2", "1"]) {
      const run = start("--postgres", url, "--events", "3000", "--seed", seed);
      const { exitCode, report } = await run.ended;
      expect(exitCode).toBe(0);
      expect(report).toMatchObject({
        systems: { agentMetadata: { items: 9_000, committed: 9_000 } },
        verified: true,
      });
    }
  });

  it("is not verified where something else changes what has landed, as the watcher sees too", async () => {
    await spoil();
    const { exitCode, report, stderr } = await demo(url, line("new", 1, "/", 200));
    expect(exitCode).toBe(1);
    expect(report).toMatchObject({ verified: false });
    expect(stderr).toContain(`${agentIdOf("new")}, "path": value is "/!", should be "/"\n`);
    expect(stderr).toMatch(/✗ watch of new +3 differences in 3 rows\n +"path": value is "\/!"/);
  });

  it("blames no watcher once it is interrupted", async () => {
    await spoil();
    const run = start("--postgres", url, "--log", "-");
    run.stdin.write(line("newer", 1, "/", 200));
    // The second line of input is only asked for once the first has been taken.
    await new Promise((resolve) =>
      run.stdin.once("drain", resolve).write(Buffer.alloc(70_000, "\n")),
    );
    run.interrupt();
    const { exitCode, report, stderr } = await run.ended;
    expect(exitCode).toBe(130);
    expect(report).toMatchObject({ events: 1, verified: false });
    expect(stderr).toContain("✗ agent_metadata");
    expect(stderr).not.toContain("watch of");
  });
});

describePgbouncer("behind a pooler that swallows what it is to hear", () => {
  it("is verified by reading every few seconds, and says so", async () => {
    const pooler = await startPgbouncer(await freshDatabase());
    onTestFinished(pooler.stop);
    const run = start("--postgres", pooler.url, "--log", "-");
    run.stdin.write(LOG.repeat(200)); // a thousand lines are taken at once
    const [warning] = await once(run.stderr, "data");
    run.stdin.end(line("one", 9, "/last", 200));
    const { exitCode, report } = await run.ended;
    expect(String(warning)).toMatch(/^sluice: .*readers poll\.\n$/);
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({
      events: 1_001,
      systems: { agentMetadata: { batches: 2, views: expect.any(Number) } },
      verified: true,
    });
  });
});
