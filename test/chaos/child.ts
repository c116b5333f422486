import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** How a process has ended. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it has said on stderr. */
  readonly complaints: string;
}

/** Runs a program of this folder in a process of its own, to its end, and passes on each line that it says. */
export async function runChild(
  program: string,
  { task, heapMb }: { readonly task: object; readonly heapMb?: number | undefined },
  onLine: (line: string, child: ChildProcess) => void,
): Promise<End> {
  const flags = heapMb === undefined ? [] : [`--max-old-space-size=${heapMb}`];
  const path = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn(process.execPath, [...flags, path, JSON.stringify(task)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const complaints = text(child.stderr);
  const ended = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) onLine(line, child);
  const [code, signal] = await ended;
  return { code, signal, complaints: await complaints };
}
