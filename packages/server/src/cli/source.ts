import { readAccessLog } from "../traffic/access-log.ts";
import { generateTraffic, type GenerateOptions } from "../traffic/generate.ts";
import { LogReadError, openLog } from "../traffic/open-log.ts";
import type { TrafficEntry } from "../traffic/request.ts";
import { EXIT, Failure, quote } from "./failure.ts";
import type { Io } from "./io.ts";
import type { TrafficChoice } from "./options.ts";

/** The traffic of a run. */
export interface Source {
  /** For people. */
  readonly label: string;
  /** Ends early once the signal is aborted. */
  readonly entries: AsyncIterable<TrafficEntry>;
  /** How much there is, in the unit of {@link position}; undefined where nobody knows. */
  readonly total: number | undefined;
  /** How far the reading is, after so many requests. */
  position(requests: number): number;
}

/** Opens the chosen traffic. What cannot be opened is a failure that quotes the path. */
export async function openSource(
  choice: TrafficChoice,
  stdin: Io["stdin"],
  signal: AbortSignal,
): Promise<Source> {
  if (!("log" in choice)) {
    return {
      label: `generated traffic (seed ${choice.seed})`,
      entries: generatedEntries(choice, signal),
      total: choice.events,
      position: (requests) => requests,
    };
  }
  try {
    const log = await openLog(choice.log, stdin, signal);
    return {
      label: choice.log === "-" ? "standard input" : quote(choice.log),
      entries: readAccessLog(log.chunks),
      total: log.size,
      position: log.position,
    };
  } catch (error) {
    throw logFailure(error, 0);
  }
}

/**
 * Turns the failure of a log into one for people, which says how many requests had been recorded
 * by then; any other error is handed back as it is.
 */
export function logFailure(error: unknown, recorded: number): unknown {
  if (!(error instanceof LogReadError)) return error;
  const after = recorded === 0 ? "" : `, after ${recorded.toLocaleString("en")} requests`;
  const words = `cannot read the log ${quote(error.path)}: ${error.message}${after}`;
  return new Failure(words, EXIT.usage, error);
}

async function* generatedEntries(
  options: GenerateOptions,
  signal: AbortSignal,
): AsyncGenerator<TrafficEntry, void, undefined> {
  let line = 0;
  for (const request of generateTraffic(options)) {
    if (signal.aborted) return;
    line += 1;
    yield { line, request };
  }
}
