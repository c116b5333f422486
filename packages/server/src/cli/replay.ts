import { setImmediate } from "node:timers/promises";
import { agentIdOf } from "../traffic/agent-id.ts";
import { type MetadataTally, type MetadataValue, metadataOf } from "../traffic/metadata-tally.ts";
import { type TrafficEntry, type TrafficRequest, tableOf } from "../traffic/request.ts";
import { type AccessRow, accessRowOf, type RowTally } from "../traffic/row-tally.ts";
import type { Tally } from "../traffic/tally.ts";

/** One request as the client statistics take it. */
export interface Activity {
  readonly client: string;
  readonly status: number;
  readonly cached: boolean;
  readonly table: string;
  readonly operation: string;
  readonly isError: boolean;
  readonly at: number;
}

/** Where the traffic goes. */
export interface ReplayTarget {
  /** Registers clients nobody has seen yet; resolves once they are in the database. */
  register(clients: readonly string[]): Promise<void>;
  /** Accepts a request; rejects with `disposition: "usage"` where a name is not acceptable. */
  record(activity: Activity): Promise<void>;
  /** Asks what a request that was recorded makes one ask; resolves when the next one may. */
  ask(request: TrafficRequest): Promise<void>;
  /** Accepts something that a request which was recorded says about its client. */
  describe(value: MetadataValue): Promise<void>;
  /** Accepts a request that was recorded as a row of the access log; undefined where there is none. */
  readonly log: ((row: AccessRow) => Promise<void>) | undefined;
}

/** What a replay has done so far. */
export interface ReplayCounts {
  /** Lines that were no request, or one that was refused. */
  skipped: number;
  /** The first few of them. */
  readonly examples: { readonly line: number; readonly reason: string }[];
}

/** What a replay works with. */
export interface ReplayOptions {
  readonly entries: AsyncIterable<TrafficEntry>;
  readonly target: ReplayTarget;
  /** Is told about exactly the requests that were accepted. */
  readonly tally: Tally;
  /** Is told about exactly the values that were accepted. */
  readonly metadataTally: MetadataTally;
  /** Is told about exactly the rows that were accepted. */
  readonly rowTally: RowTally;
  /** Filled in as the replay goes, so that it can be read after a failure too. */
  readonly counts: ReplayCounts;
  /** Called after each chunk. */
  readonly onProgress: () => void;
}

const CHUNK_ENTRIES = 1_000;
const MAX_EXAMPLES = 5;

/** Creates the counts of a replay that has not begun. */
export function createReplayCounts(): ReplayCounts {
  return { skipped: 0, examples: [] };
}

/** Replays all entries in order, in chunks, each of which registers its new clients first. */
export async function replay(options: ReplayOptions): Promise<void> {
  let chunk: TrafficEntry[] = [];
  for await (const entry of options.entries) {
    chunk.push(entry);
    if (chunk.length === CHUNK_ENTRIES) {
      await replayChunk(chunk, options);
      chunk = [];
    }
  }
  await replayChunk(chunk, options);
}

async function replayChunk(chunk: readonly TrafficEntry[], options: ReplayOptions): Promise<void> {
  const { target, tally, metadataTally, rowTally, counts } = options;
  const names = new Set(
    chunk.flatMap((entry) => ("request" in entry ? [entry.request.client] : [])),
  );
  const strangers = [...names].filter((client) => !tally.isRegistered(client));
  if (strangers.length > 0) {
    await target.register(strangers);
    for (const client of strangers) tally.register(client);
  }
  const agentIds = new Map(Array.from(names, (client) => [client, agentIdOf(client)]));
  for (const entry of chunk) {
    if ("malformed" in entry) {
      skip(counts, entry.line, entry.malformed);
      continue;
    }
    try {
      await target.record(activityOf(entry.request));
      tally.add(entry.request);
      await target.ask(entry.request);
      for (const value of metadataOf(
        entry.request,
        agentIds.get(entry.request.client) ?? agentIdOf(entry.request.client),
      )) {
        await target.describe(value);
        metadataTally.add(value);
      }
      if (target.log === undefined) continue;
      const row = accessRowOf(entry.request);
      await target.log(row);
      rowTally.add(row);
    } catch (error) {
      if (!isUsageError(error)) throw error;
      skip(counts, entry.line, `was refused: ${error.message}`);
    }
  }
  options.onProgress();
  // Accepting takes no I/O. Without a pause, timers and signals would starve until the end.
  await setImmediate();
}

function activityOf(request: TrafficRequest): Activity {
  const { client, status, method, at } = request;
  return {
    client,
    status,
    cached: status === 304,
    table: tableOf(request),
    operation: method,
    isError: status >= 400,
    at,
  };
}

function skip(counts: ReplayCounts, line: number, reason: string): void {
  counts.skipped += 1;
  if (counts.examples.length < MAX_EXAMPLES) counts.examples.push({ line, reason });
}

function isUsageError(error: unknown): error is Error {
  return error instanceof Error && "disposition" in error && error.disposition === "usage";
}
