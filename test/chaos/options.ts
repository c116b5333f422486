import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

const PARTS = ["postgres", "kill", "clickhouse"] as const;
export type Part = (typeof PARTS)[number];

/** The options of `npm run chaos`, checked. */
export interface ChaosOptions {
  readonly help: boolean;
  readonly json: boolean;
  readonly parts: readonly Part[];
  readonly seed: number;
  readonly batches: number;
  readonly rounds: number;
  readonly inserts: number;
}

/** What is wrong with how the command was called. */
export class UsageError extends Error {}

const DEFAULTS = { batches: 10_000, rounds: 100, inserts: 1_000 } as const;

export const HELP = `npm run chaos -- [options]

Writes into real servers while they fail, and compares what landed with what was accepted.

  --only PART    one part: postgres, kill (writing processes, by SIGKILL) or clickhouse
  --seed N       draws the same plan of faults again; by default a new one, which is printed
  --batches N    batches into PostgreSQL that the faults are spread over (default ${DEFAULTS.batches})
  --rounds N     writing processes that are killed (default ${DEFAULTS.rounds})
  --inserts N    batches into ClickHouse (default ${DEFAULTS.inserts})
  --json         one JSON object on stdout, and nothing else there
  --help         this

Exit code 1: something is not as it was accepted. 2: it could not start.
`;

/** Reads the command line. Throws a `UsageError` that quotes what is wrong. */
export function parseChaosOptions(argv: readonly string[]): ChaosOptions {
  const { only, ...values } = parse(argv);
  const part = PARTS.find((name) => name === only);
  if (only !== undefined && part === undefined) {
    throw new UsageError(`--only takes ${PARTS.join(", ")}; received "${only}"`);
  }
  return {
    help: values.help ?? false,
    json: values.json ?? false,
    parts: part === undefined ? PARTS : [part],
    seed: wholeNumber("seed", values.seed, randomInt(1_000_000)),
    batches: wholeNumber("batches", values.batches, DEFAULTS.batches),
    rounds: wholeNumber("rounds", values.rounds, DEFAULTS.rounds),
    inserts: wholeNumber("inserts", values.inserts, DEFAULTS.inserts),
  };
}

function parse(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        help: { type: "boolean" },
        json: { type: "boolean" },
        only: { type: "string" },
        seed: { type: "string" },
        batches: { type: "string" },
        rounds: { type: "string" },
        inserts: { type: "string" },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`--${name} takes a whole number from 1 on; received "${text}"`);
}
