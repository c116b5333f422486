import { parseArgs } from "node:util";
import { quote, usageFailure } from "./failure.ts";

/** Where the traffic of a demo comes from. */
export type TrafficChoice =
  | { readonly log: string }
  | { readonly events: number; readonly seed: number };

/** The options of `sluice demo`, checked. */
export interface DemoOptions {
  readonly help: boolean;
  readonly json: boolean;
  /** URL of a real server; undefined for the embedded one. */
  readonly postgres: string | undefined;
  /** The same for the rows of the access log. */
  readonly clickhouse: string | undefined;
  readonly traffic: TrafficChoice;
}

/** The defaults that the help states. */
export const DEMO_DEFAULTS = { events: 20_000, seed: 1 } as const;

const COMMAND = "sluice demo";
const FLAGS = ["help", "json"];
const VALUES = ["log", "events", "seed", "postgres", "clickhouse"];

/** Reads the command line after `sluice demo`. Throws a usage failure that quotes what is wrong. */
export function parseDemoOptions(argv: readonly string[]): DemoOptions {
  const given = readTokens(argv);
  const log = given.get("log");
  for (const other of ["events", "seed"]) {
    if (log !== undefined && given.has(other)) {
      const both = `--log ${quote(log)} and --${other} ${quote(given.get(other) ?? "")}`;
      throw usageFailure(COMMAND, `${both} exclude each other`);
    }
  }
  return {
    help: given.has("help"),
    json: given.has("json"),
    postgres: given.get("postgres"),
    clickhouse: given.get("clickhouse"),
    traffic:
      log === undefined
        ? {
            events: wholeNumber("events", given.get("events"), 1, DEMO_DEFAULTS.events),
            seed: wholeNumber("seed", given.get("seed"), 0, DEMO_DEFAULTS.seed),
          }
        : { log },
  };
}

/** Whether an argument asks for help. */
export function asksForHelp(argument: string | undefined): boolean {
  return argument === "--help" || argument === "-h";
}

// Lenient parsing and our own checks: the strict parser's messages do not quote the values.
function readTokens(argv: readonly string[]): Map<string, string> {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h" },
      json: { type: "boolean" },
      log: { type: "string" },
      events: { type: "string" },
      seed: { type: "string" },
      postgres: { type: "string" },
      clickhouse: { type: "string" },
    },
  });
  const given = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind === "positional") {
      throw usageFailure(COMMAND, `unexpected argument ${quote(token.value)}`);
    }
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (FLAGS.includes(name)) {
      if (value !== undefined) {
        throw usageFailure(COMMAND, `${rawName} takes no value, received ${quote(value)}`);
      }
      given.set(name, "");
    } else if (VALUES.includes(name)) {
      // `--log --json` forgot the file; a value that does start with dashes can be given with `=`.
      const forgotten = value?.startsWith("--") === true && token.inlineValue === false;
      if (value === undefined || value === "" || forgotten) {
        throw usageFailure(COMMAND, `${rawName} needs a value`);
      }
      given.set(name, value);
    } else {
      throw usageFailure(COMMAND, `unknown option ${quote(rawName)}`);
    }
  }
  return given;
}

function wholeNumber(
  name: string,
  text: string | undefined,
  least: number,
  fallback: number,
): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
    throw usageFailure(
      COMMAND,
      `--${name} takes a whole number from ${least} on, received ${quote(text)}`,
    );
  }
  return value;
}
