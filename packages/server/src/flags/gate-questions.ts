import { agentIdOf } from "../traffic/agent-id.ts";
import { tableOf, type TrafficRequest } from "../traffic/request.ts";

/** The user that a gateway asks about: who makes a request, and what it can tell of them. */
export interface GateUser {
  readonly userID: string;
  readonly custom: { readonly agent: AgentKind; readonly deletes: boolean };
}

type AgentKind = "none" | "bot" | "mobile" | "desktop" | "tool";

/** What there is to ask, for every request two of them. */
export const GATES = [
  "edge_cache",
  "fast_search",
  "image_proxy",
  "new_checkout",
  "read_replica",
  "strict_limits",
] as const;
const MAX_ID_LENGTH = 100;

/**
 * Whom a request is asked about. Kinds stand for what clients say of themselves, so that a client is
 * at most ten users. A name that is no id of the flag API becomes the id of its agent.
 */
export function gateUserOf({ client, method, userAgent }: TrafficRequest): GateUser {
  const isId = client !== "" && client.length <= MAX_ID_LENGTH;
  return {
    userID: isId ? client : agentIdOf(client),
    custom: { agent: agentKindOf(userAgent), deletes: method === "DELETE" },
  };
}

/** The two gates of a request, by its table and its method; never the same one twice. */
export function gatesOf(request: TrafficRequest): readonly [string, string] {
  const first = hashOf(tableOf(request));
  const second = first + 1 + (hashOf(request.method) % (GATES.length - 1));
  return [gateAt(first), gateAt(second)];
}

function agentKindOf(userAgent: string): AgentKind {
  if (userAgent === "") return "none";
  if (/bot|crawl|spider|slurp/i.test(userAgent)) return "bot";
  if (!/^(?:Mozilla|Opera)\//.test(userAgent)) return "tool";
  return /mobi/i.test(userAgent) ? "mobile" : "desktop";
}

function gateAt(index: number): string {
  return GATES[index % GATES.length] ?? GATES[0];
}

function hashOf(text: string): number {
  let hash = 7;
  for (let index = 0; index < text.length; index += 1) {
    hash = (hash * 31 + text.charCodeAt(index)) >>> 0;
  }
  return hash;
}
