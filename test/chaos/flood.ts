/** A process with a small heap that adds far more than it may hold while every store is away. */
import type { CoalescerStats, Stats } from "sluice";
import { openProxy } from "../integration/proxy.ts";
import { type End, runChild } from "./child.ts";
import type { Targets } from "./targets.ts";
import { SMALL_HEAP_MB } from "./writer-process.ts";

/** What the process is told. */
export interface FloodTask extends Pick<Targets, "postgres" | "clickhouse" | "api"> {
  /** How often it counts; it adds to the other batchers, and asks, less often. */
  readonly adds: number;
  readonly keys: number;
  /** Entries that those may hold which have no keys, and questions. */
  readonly room: number;
}

interface FloodReport extends Readonly<Record<"usage" | "newest" | "entries" | "visits", Stats>> {
  readonly answers: CoalescerStats;
  /** Questions that found no room. */
  readonly full: number;
}

/** Runs it to its end. The stores are back once it has added everything. */
export async function flood(
  task: FloodTask,
): Promise<End & { readonly bufferBytes: number; readonly closed: FloodReport | undefined }> {
  const { postgres, clickhouse, api } = task;
  const proxies = await Promise.all([postgres, clickhouse, api].map(openProxy));
  const away = (refusing: boolean): void => {
    for (const proxy of proxies) proxy.refusing = refusing;
  };
  away(true);
  const [throughPostgres, throughClickhouse, throughApi] = proxies.map(({ url }) => url);
  const told = {
    ...task,
    postgres: throughPostgres,
    clickhouse: throughClickhouse,
    api: throughApi,
  };
  let bufferBytes = Number.NaN;
  let closed: FloodReport | undefined;
  const end = await runChild("flooder.js", { task: told, heapMb: SMALL_HEAP_MB }, (line) => {
    const space = line.indexOf(" ");
    const rest = line.slice(space);
    if (line.startsWith("closed")) closed = JSON.parse(rest);
    else bufferBytes = Number(rest);
    away(false);
  });
  await Promise.all(proxies.map((proxy) => proxy.close()));
  return { ...end, bufferBytes, closed };
}
