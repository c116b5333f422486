/** How far a run is, for whoever watches. */
export interface Progress {
  /** Prints a line that stays. */
  say(line: string): void;
  /** Shows where the run is: on a terminal in one line, elsewhere in a line every few seconds. */
  show(line: string): void;
  stop(): void;
}

const EVERY_MS = { terminal: 100, log: 5_000 } as const;

export function openProgress(stream: NodeJS.WriteStream): Progress {
  const started = performance.now();
  let shownAt = -Infinity;
  const clear = stream.isTTY ? "\r\x1b[K" : "";
  return {
    say: (line) => stream.write(`${line}\n`),
    show: (line) => {
      const now = performance.now();
      if (now - shownAt < EVERY_MS[stream.isTTY ? "terminal" : "log"]) return;
      shownAt = now;
      const seconds = ((now - started) / 1_000).toFixed(0);
      stream.write(`${clear}${seconds} s  ${line}${stream.isTTY ? "" : "\n"}`);
    },
    stop: () => stream.write(clear),
  };
}
