import { describe, expect, test } from "vitest";
import { Failure } from "./failure.ts";
import { parseDemoOptions } from "./options.ts";

function failureOf(argv: readonly string[]): Failure {
  try {
    parseDemoOptions(argv);
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

const generated = { events: 20_000, seed: 1 };
const plain = {
  help: false,
  json: false,
  postgres: undefined,
  clickhouse: undefined,
  traffic: generated,
};

test.each([
  [[], plain],
  [["--help"], { ...plain, help: true }],
  [["-h"], { ...plain, help: true }],
  [["--json"], { ...plain, json: true }],
  [["--events", "5"], { ...plain, traffic: { ...generated, events: 5 } }],
  [["--seed=0"], { ...plain, traffic: { ...generated, seed: 0 } }],
  [["--log", "-"], { ...plain, traffic: { log: "-" } }],
  [["--log=--odd"], { ...plain, traffic: { log: "--odd" } }],
  [["--postgres", "postgres://h/d"], { ...plain, postgres: "postgres://h/d" }],
  [["--clickhouse", "http://h:8123/d"], { ...plain, clickhouse: "http://h:8123/d" }],
])("accepts %j", (argv, expected) => {
  expect(parseDemoOptions(argv)).toEqual(expected);
});

describe("refuses and quotes", () => {
  test.each([
    [["--events", "-3"], '"-3"'],
    [["--events=0"], '"0"'],
    [["--events", "1e3"], '"1e3"'],
    [["--events", "9007199254740992"], '"9007199254740992"'],
    [["--seed", "x"], '"x"'],
    [["--seed", "1.5"], '"1.5"'],
    [["--seed", "\u001b[2J"], '"\\u001b[2J"'],
    [["--log", "a", "--events", "3"], '--log "a" and --events "3"'],
    [["--log", "a", "--seed", "3"], '--log "a" and --seed "3"'],
    [["--log"], "--log needs a value"],
    [["--log", ""], "--log needs a value"],
    [["--clickhouse"], "--clickhouse needs a value"],
    [["--clickhouse", "--json"], "--clickhouse needs a value"],
    [["--log", "--json"], "--log needs a value"],
    [["--json=yes"], '"yes"'],
    [["--colour"], '"--colour"'],
    [["-x"], '"-x"'],
    [["extra"], '"extra"'],
    [["--", "--json"], '"--json"'],
    [["--__proto__"], '"--__proto__"'],
  ])("%j", (argv, quoted) => {
    const failure = failureOf(argv);
    expect(failure.message).toContain(quoted);
    expect(failure.message).toContain("sluice demo --help");
    expect(failure.message).not.toMatch(/\n/);
    expect(failure.exitCode).toBe(2);
  });
});
