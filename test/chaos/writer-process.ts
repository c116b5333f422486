/** A process that writes and asks until it is ended, and what it says meanwhile. */
import type { CloseReport, CoalescerCloseReport } from "sluice";
import { type End, runChild } from "./child.ts";
import { itemName } from "./delivered-items.js";
import type { Targets } from "./targets.ts";

/** What a process is told. */
export interface Task extends Pick<Targets, "postgres" | "clickhouse" | "api"> {
  readonly driver: "pg" | "postgres";
  /** Part of the names of its items, the first of which is number `from`. */
  readonly round: number;
  readonly from: number;
  /** Whether it waits for each item to land, or to be accepted. */
  readonly how: "deliver" | "add";
  /** Whether it runs out of memory, with a heap that is small. */
  readonly leak?: boolean;
}

/** What processes have said, by the names of items. */
export interface Said {
  /** Items that they were about to give away. */
  readonly given: Set<string>;
  /** Items that were delivered, or accepted, or questions that were answered, by table. */
  readonly acknowledged: ReadonlyMap<string, Set<string>>;
  /** Items that a batcher held when it last acknowledged one, by table. */
  readonly held: Map<string, number>;
}

/** The names of what an item is given to. */
const TABLES = ["usage", "people", "newest", "entries", "visits", "answers"];

/** Enough for a process that writes, if it keeps nothing that it has written. */
export const SMALL_HEAP_MB = 48;

export const nothingSaid = (): Said => ({
  given: new Set(),
  acknowledged: new Map(TABLES.map((table) => [table, new Set()])),
  held: new Map(),
});

/** A signal, sent so many acknowledgements and then milliseconds after the start. */
interface Death {
  readonly signal: "SIGKILL" | "SIGTERM";
  readonly after: number;
  readonly ms: number;
}

/** By table, where it was closed; the coalescer's by the name of `answers`. */
type Closed = Record<string, CloseReport> & { readonly answers?: CoalescerCloseReport };

/** Runs a process to its end. */
export async function runWriter(
  task: Task,
  said: Said,
  death?: Death,
): Promise<End & { readonly closed: Closed }> {
  let [acknowledgements, closed] = [0, {}];
  const heapMb = task.leak === true ? SMALL_HEAP_MB : undefined;
  const end = await runChild("deliverer.js", { task, heapMb }, (line, child) => {
    const [what = "", id = "", held = ""] = line.split(" ");
    const name = itemName(task.round, Number(id));
    if (what === "item") {
      said.given.add(name);
    } else if (what === "closed") {
      closed = JSON.parse(line.slice(what.length));
    } else {
      said.acknowledged.get(what)?.add(name);
      said.held.set(what, Number(held));
      acknowledgements += 1;
      if (acknowledgements !== death?.after) return;
      setTimeout(() => child.kill(death.signal), death.ms);
    }
  });
  return { ...end, closed };
}
