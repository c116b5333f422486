/** The gates of `sluice demo`: what its checks come to, and that a wrong answer is found. */
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { runDemo } from "../../packages/server/src/cli/demo.ts";
import type { StartFlagApi } from "../../packages/server/src/cli/flags.ts";
import { parseDemoOptions } from "../../packages/server/src/cli/options.ts";
import { startFlagApi } from "../../packages/server/src/flags/flag-api.ts";
import { gateValue } from "../../packages/server/src/flags/rules.ts";
import {
  type ChooseTrouble,
  randomTrouble,
  type Switches,
} from "../../packages/server/src/flags/trouble.ts";
import { copyPglite } from "../support/pglite.ts";

copyPglite();

/** Starts the demo, on a flag API of its own or on another. */
function start(argv: readonly string[], startAnother?: StartFlagApi) {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const urls: string[] = [];
  let interrupt = (): void => undefined;
  const running = runDemo(
    parseDemoOptions(["--json", ...argv]),
    {
      stdin: () => stdin,
      stdout,
      stderr,
      now: () => 0,
      onInterrupt: (callback) => {
        interrupt = callback;
        return () => undefined;
      },
    },
    {
      startFlagApi: async (options) => {
        const api = await (startAnother ?? startFlagApi)(options);
        urls.push(api.url);
        return api;
      },
    },
  );
  const ended = running.then(async (exitCode) => {
    const report: unknown = JSON.parse(String(stdout.read()));
    return { exitCode, report, stderr: String(stderr.read() ?? "") };
  });
  return { stdin, interrupt: () => interrupt(), running, ended, urls };
}

/** Runs the demo on a log to its end. */
function demo(log: string, startAnother?: StartFlagApi) {
  const run = start(["--log", "-"], startAnother);
  run.stdin.end(log);
  return run.ended;
}

const line = (host: string, request: string, agent = "é"): string =>
  `${host} - - [17/May/2015:10:05:03 +0000] "${request} HTTP/1.1" 200 7 "-" "${agent}"\n`;

const figures = (checks: number) => ({
  checks,
  apiCalls: expect.any(Number),
  cacheHits: expect.any(Number),
  failures: 0,
});

const gatesOf = (report: unknown): ReturnType<typeof figures> =>
  (report as { readonly systems: { readonly gates: ReturnType<typeof figures> } }).systems.gates;

/** Says the opposite of what the rules of a seed say. */
const lying =
  (seed: number): ChooseTrouble =>
  ({ names, user = {} }) => {
    const lies = names.map((name) => [name, { value: !gateValue(seed, name, user).value }]);
    return { kind: "text", text: JSON.stringify(Object.fromEntries(lies)) };
  };

const withSwitches =
  (switches: Switches): StartFlagApi =>
  (options) =>
    startFlagApi({ ...options, switches });

const isGone = async (url: string | undefined): Promise<void> => {
  await expect(fetch(`${url}/v1/check_gate`)).rejects.toThrow("fetch failed");
};

describe("a run", () => {
  it("asks twice per request, and much less than that of the API, which is gone afterwards", async () => {
    const run = start(["--events", "12000"]);
    const { exitCode, report, stderr } = await run.ended;
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(report).toMatchObject({ events: 12_000, verified: true });
    expect(report).toHaveProperty("systems.gates", figures(24_000));
    const { apiCalls, cacheHits } = gatesOf(report);
    expect(apiCalls).toBeGreaterThan(0);
    expect(apiCalls).toBeLessThan(3_000);
    expect(cacheHits).toBeGreaterThan(0);
    await isGone(run.urls[0]);
  });

  it.each([
    ["no line", "", 0],
    ["one request", line("one", "GET /"), 2],
    ["nothing but malformed lines", "nonsense\n".repeat(1_500), 0],
    [
      "odd clients",
      [
        "2001:db8::1",
        "::1",
        "fe80::1%eth0",
        "é黄🦥",
        "x".repeat(255),
        `${"é".repeat(127)}`,
        "__proto__",
      ]
        .flatMap((host) => [line(host, "GET /é?ü"), line(host, "DELETE /", "x".repeat(60_000))])
        .join(""),
      28,
    ],
  ])("takes a log with %s", async (_, log, checks) => {
    const { exitCode, report } = await demo(log);
    expect(exitCode).toBe(0);
    expect(report).toHaveProperty("systems.gates", figures(checks));
  });
});

describe("an API", () => {
  it("whose answers are wrong is found out, and nothing else is", async () => {
    const { exitCode, report, stderr } = await demo(line("one", "GET /").repeat(40), (options) =>
      startFlagApi({ ...options, switches: { trouble: lying(options.seed) } }),
    );
    expect(exitCode).toBe(1);
    expect(report).toMatchObject({ events: 40, verified: false });
    expect(report).toHaveProperty("systems.gates", figures(80));
    expect(stderr).toMatch(/✗ gates +80 differences in 80 answers\n/);
    const lie =
      / +[a-z_]+ of a request by tool "one": is (?:true, should be false|false, should be true)\n/g;
    expect(stderr.match(lie)).toHaveLength(2);
    expect(stderr).toMatch(/ +and 78 more\n/);
    expect(stderr.match(/✗/g)).toHaveLength(1);
  });

  it("with other rules is found out", async () => {
    const run = start(["--events", "500"], (options) =>
      startFlagApi({ ...options, seed: options.seed + 1 }),
    );
    const { exitCode, report, stderr } = await run.ended;
    expect([exitCode, report]).toEqual([1, expect.objectContaining({ verified: false })]);
    expect(stderr).toMatch(
      /✗ gates +\d+ differences in 1,000 answers\n(?: .*\n){3} +and \d+ more\n/,
    );
  });

  it("that refuses leaves checks without an answer, and each is told", async () => {
    const { exitCode, report, stderr } = await demo(
      line("one", "GET /"),
      withSwitches({ trouble: { kind: "error", status: 403 } }),
    );
    expect(exitCode).toBe(1);
    expect(report).toHaveProperty("systems.gates", { ...figures(2), cacheHits: 0, failures: 2 });
    expect(stderr).toMatch(/✗ gates +2 differences in 0 answers\n/);
    expect(stderr).toContain('"one": no answer: ');
  });

  it("that fails now and then fails no check", async () => {
    const troubles = [{ kind: "error", status: 503 }, { kind: "cut-off" }] as const;
    const run = start(
      ["--events", "2000"],
      withSwitches({ trouble: randomTrouble(1, { share: 0.05, troubles }) }),
    );
    const { exitCode, report, stderr } = await run.ended;
    expect(exitCode).toBe(0);
    expect(report).toHaveProperty("systems.gates", figures(4_000));
    expect(stderr).toMatch(/^sluice: the flag API fails, trying again: .*\n$/);
  });
});

describe("SIGINT", () => {
  const interrupted = async (startAnother?: StartFlagApi) => {
    const run = start(["--log", "-"], startAnother);
    run.stdin.write(line("one", "GET /") + line("two", "GET /"));
    // The second line of input is only asked for once the first has been taken.
    await new Promise((resolve) =>
      run.stdin.once("drain", resolve).write(Buffer.alloc(70_000, "\n")),
    );
    run.interrupt();
    const outcome = await run.ended;
    await isGone(run.urls[0]);
    return outcome;
  };

  it("drains the checks of what was read", async () => {
    const { exitCode, report } = await interrupted();
    expect(exitCode).toBe(130);
    expect(report).toMatchObject({ events: 2, verified: true });
    expect(report).toHaveProperty("systems.gates", figures(4));
  });

  it("waits for no answer that does not come, and says which", async () => {
    const { exitCode, report, stderr } = await interrupted(
      withSwitches({ trouble: { kind: "hang" } }),
    );
    expect(exitCode).toBe(130);
    expect(report).toMatchObject({ events: 2, verified: false });
    expect(report).toHaveProperty("systems.gates", { ...figures(4), apiCalls: 2, failures: 4 });
    expect(stderr).toMatch(/✗ gates +4 differences in 0 answers\n/);
    expect(stderr.match(/✗/g)).toHaveLength(1);
  });
});

it("stops the API also where the log cannot be read", async () => {
  const run = start(["--log", "-"]);
  run.stdin.write(line("one", "GET /"));
  run.stdin.destroy(new Error("gone"));
  await expect(run.ended).rejects.toThrow("cannot read the log");
  await isGone(run.urls[0]);
});
