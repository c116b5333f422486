import type { TrafficRequest } from "./request.ts";

/** One thing that a request says about its client. */
export interface MetadataValue {
  readonly agentId: string;
  readonly key: string;
  readonly value: string;
  /** When the request was made, in milliseconds since the epoch. */
  readonly at: number;
}

/** A row of `agent_metadata`, but for its key. */
export interface MetadataRow {
  readonly value: string;
  readonly error: string;
  /** In microseconds since the epoch; null where it is no time. */
  readonly at: bigint | null;
}

/** The rows of an agent by key. */
export type AgentRows = ReadonlyMap<string, MetadataRow>;

/**
 * Keeps the newest value of every agent and key, by none of the library's code; of equal times the
 * one that came last.
 */
export interface MetadataTally {
  add(value: MetadataValue): void;
  readonly values: number;
  readonly agents: ReadonlySet<string>;
  /** The rows that an agent has of it. */
  rowsOf(agentId: string): AgentRows;
}

/** The table that the values go to. */
export const AGENT_METADATA = "agent_metadata";

/** What a request says about its client, whose id is known. */
export function metadataOf(request: TrafficRequest, agentId: string): readonly MetadataValue[] {
  const { at, target, status, userAgent } = request;
  return [
    { agentId, key: "path", value: target, at },
    { agentId, key: "status", value: String(status), at },
    { agentId, key: "user_agent", value: userAgent, at },
  ];
}

/** Creates the tally of no values. */
export function createMetadataTally(): MetadataTally {
  const newest = new Map<string, Map<string, MetadataValue>>();
  let values = 0;

  return {
    add(value) {
      values += 1;
      let ofAgent = newest.get(value.agentId);
      if (ofAgent === undefined) newest.set(value.agentId, (ofAgent = new Map()));
      const before = ofAgent.get(value.key);
      if (before === undefined || before.at <= value.at) ofAgent.set(value.key, value);
    },
    get values() {
      return values;
    },
    get agents() {
      return new Set(newest.keys());
    },
    rowsOf: (agentId) =>
      new Map(Array.from(newest.get(agentId) ?? [], ([key, value]) => [key, asStored(value)])),
  };
}

const MAX_VALUE_BYTES = 2_048;

/** A value with as many whole characters as fit, and what is said where not all did. */
function asStored({ value, at }: MetadataValue): MetadataRow {
  const micros = BigInt(at) * 1_000n;
  const bytes = Buffer.byteLength(value);
  if (bytes <= MAX_VALUE_BYTES) return { value, error: "", at: micros };
  let [kept, length] = [0, 0];
  for (const character of value) {
    kept += Buffer.byteLength(character);
    if (kept > MAX_VALUE_BYTES) break;
    length += character.length;
  }
  const error = `value of ${bytes} bytes exceeded ${MAX_VALUE_BYTES} bytes`;
  return { value: value.slice(0, length), error, at: micros };
}
