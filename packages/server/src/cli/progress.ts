import cliProgress from "cli-progress";
import type { Io } from "./io.ts";

/** Shows how far a run is. */
export interface Progress {
  /** `done` in the unit of the total, and the requests so far. */
  update(done: number, requests: number): void;
  /** Takes the bar away; harmless when repeated. */
  stop(): void;
}

/** Where the bar is drawn, and what it counts. */
export interface ProgressOptions {
  readonly stream: Io["stderr"];
  /** What `done` will be at the end; undefined where nobody knows, as with a pipe. */
  readonly total: number | undefined;
}

/** Creates a bar on a terminal, and nothing at all elsewhere: a log file has no use for one. */
export function createProgress({ stream, total }: ProgressOptions): Progress {
  if (stream.isTTY !== true) return { update: () => undefined, stop: () => undefined };

  const bar = new cliProgress.SingleBar({
    stream,
    format:
      total === undefined
        ? "{requests} requests · {duration_formatted}"
        : "[{bar}] {percentage} % · {requests} requests · {duration_formatted}",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    clearOnComplete: true,
    // The bar's own SIGINT handler would end the process before anything is drained.
    gracefulExit: false,
  });
  bar.start(total ?? 0, 0, { requests: "0" });
  return {
    update: (done, requests) => bar.update(done, { requests: requests.toLocaleString("en") }),
    stop: () => bar.stop(),
  };
}
