import { agentIdOf } from "./agent-id.ts";
import {
  AGENT_METADATA,
  type AgentRows,
  type MetadataRow,
  type MetadataTally,
} from "./metadata-tally.ts";
import { createDifferences, type TableVerdict } from "./verdict.ts";
import type { Query } from "./verify.ts";

/** The rows of the table by agent, at one moment. */
export type MetadataSnapshot = ReadonlyMap<string, AgentRows>;

/** What a watcher has been told of an agent. */
export interface AgentView {
  readonly agentId: string;
  readonly entries: readonly {
    readonly key: string;
    readonly value: string;
    readonly error: string;
    readonly collectedAt: Date;
  }[];
}

const PAGE_ROWS = 5_000;
/** How much of a value is shown. */
const MAX_SHOWN = 60;

/** Reads what the table holds before the traffic, because newer rows stay as they are. */
export async function readMetadata(query: Query): Promise<MetadataSnapshot> {
  const rows = new Map<string, Map<string, MetadataRow>>();
  for await (const { agentId, key, row } of storedRows(query)) {
    const ofAgent = rows.get(agentId) ?? new Map<string, MetadataRow>();
    rows.set(agentId, ofAgent.set(key, row));
  }
  return rows;
}

/** The rows that an agent has after the traffic: those before, but for keys with a value as new. */
export function expectedOf(
  agentId: string,
  before: MetadataSnapshot,
  tally: MetadataTally,
): AgentRows {
  const rows = new Map(before.get(agentId));
  for (const [key, row] of tally.rowsOf(agentId)) {
    const old = rows.get(key);
    if (old === undefined || !isOlder(row, old)) rows.set(key, row);
  }
  return rows;
}

/** Compares every row of the table with what the row before and the tally make of it. */
export async function verifyMetadata(
  query: Query,
  before: MetadataSnapshot,
  tally: MetadataTally,
): Promise<TableVerdict> {
  const differences = createDifferences(AGENT_METADATA);
  const missing = new Map<string, Map<string, MetadataRow>>();
  for (const agentId of new Set([...before.keys(), ...tally.agents])) {
    missing.set(agentId, new Map(expectedOf(agentId, before, tally)));
  }
  let rows = 0;
  for await (const { agentId, key, row } of storedRows(query)) {
    rows += 1;
    const expected = missing.get(agentId)?.get(key);
    missing.get(agentId)?.delete(key);
    differences.report(describeKey(agentId, key), differencesOf(row, expected));
  }
  for (const [agentId, keys] of missing) {
    for (const key of keys.keys()) {
      differences.report(describeKey(agentId, key), ["the row is missing"]);
    }
  }
  return differences.verdict(rows);
}

/** Compares the last view of a client with the rows that it has. */
export function verifyView(
  client: string,
  view: AgentView | undefined,
  expected: AgentRows,
): TableVerdict {
  const differences = createDifferences(`watch of ${client}`);
  if (view === undefined) {
    differences.report(JSON.stringify(client), ["the watcher has seen nothing"]);
    return differences.verdict(0);
  }
  if (view.agentId !== agentIdOf(client)) {
    differences.report(JSON.stringify(client), [`the view is of ${view.agentId}`]);
  }
  const missing = new Map(expected);
  for (const { key, value, error, collectedAt } of view.entries) {
    const row = { value, error, at: microsOf(collectedAt) };
    const should = missing.get(key);
    missing.delete(key);
    differences.report(
      JSON.stringify(key),
      differencesOf(row, should && { ...should, at: wholeMillis(should.at) }),
    );
  }
  for (const key of missing.keys()) differences.report(JSON.stringify(key), ["it is missing"]);
  return differences.verdict(view.entries.length);
}

function differencesOf(found: MetadataRow, expected: MetadataRow | undefined): readonly string[] {
  if (expected === undefined) return ["nothing that happened explains this row"];
  const differences: string[] = [];
  for (const column of ["value", "error"] as const) {
    const [is, should] = [found[column], expected[column]];
    if (is !== should) {
      differences.push(`${column} is ${describeText(is)}, should be ${describeText(should)}`);
    }
  }
  if (found.at !== expected.at) {
    const [is, should] = [describeTime(found.at), describeTime(expected.at)];
    differences.push(`collected_at is ${is}, should be ${should}`);
  }
  return differences;
}

function isOlder(one: MetadataRow, other: MetadataRow): boolean {
  return one.at === null || (other.at !== null && one.at < other.at);
}

function microsOf(date: Date): bigint | null {
  const millis = date.getTime();
  return Number.isNaN(millis) ? null : BigInt(millis) * 1_000n;
}

/** The microseconds of the millisecond that a time lies in. */
function wholeMillis(at: bigint | null): bigint | null {
  return at === null ? null : at - (((at % 1_000n) + 1_000n) % 1_000n);
}

function describeKey(agentId: string, key: string): string {
  return `${agentId}, ${JSON.stringify(key)}`;
}

function describeText(text: string): string {
  if (text.length <= MAX_SHOWN) return JSON.stringify(text);
  const bytes = Buffer.byteLength(text).toLocaleString("en");
  return `${JSON.stringify(text.slice(0, MAX_SHOWN))}… of ${bytes} bytes`;
}

function describeTime(at: bigint | null): string {
  const date = new Date(Number(wholeMillis(at)) / 1_000);
  if (at === null || Number.isNaN(date.getTime())) return String(at);
  const micros = String(at - (wholeMillis(at) ?? 0n)).padStart(3, "0");
  return date.toISOString().replace("Z", `${micros}Z`);
}

interface Stored {
  readonly agentId: string;
  readonly key: string;
  readonly row: MetadataRow;
}

async function* storedRows(query: Query): AsyncGenerator<Stored, void, undefined> {
  let last: readonly string[] = [];
  for (;;) {
    const page = await query(selectPage(last.length > 0), last);
    for (const { agent_id, key, value, error, micros } of page) {
      last = [String(agent_id), String(key)];
      const row = { value: String(value), error: String(error), at: BigInt(String(micros)) };
      yield { agentId: String(agent_id), key: String(key), row };
    }
    if (page.length < PAGE_ROWS) return;
  }
}

// Infinity is what the server keeps for it. The parts of a time are exact in every version.
const MICROS = `case collected_at
  when 'infinity' then ${2n ** 63n - 1n}
  when '-infinity' then ${-(2n ** 63n)}
  else extract(epoch from date_trunc('second', collected_at))::bigint * 1000000
    + extract(microseconds from collected_at)::bigint % 1000000
  end`;

function selectPage(afterKey: boolean): string {
  const where = afterKey ? "where (agent_id, key) > ($1::uuid, $2) " : "";
  return (
    `select agent_id::text, key, value, error, (${MICROS})::text as micros ` +
    `from ${AGENT_METADATA} ${where}order by ${AGENT_METADATA}.agent_id, key limit ${PAGE_ROWS}`
  );
}
