/** One request of the replayed traffic, whether it was read from a log or generated. */
export interface TrafficRequest {
  /** The host field of the log: whoever asked. */
  readonly client: string;
  /** When the request was made, in milliseconds since the epoch. */
  readonly at: number;
  readonly method: string;
  /** The request target as the client sent it, query included. */
  readonly target: string;
  readonly status: number;
  /** Bytes of the answer's body; 0 where the log has `-`. */
  readonly bytes: number;
  /** Where the client says it came from; empty where the log has `-` or no such field. */
  readonly referrer: string;
  /** What the client says it is; empty likewise. */
  readonly userAgent: string;
}

/** What one line of traffic turned out to be; the reason of a malformed one is meant for people. */
export type ParsedLine = { readonly request: TrafficRequest } | { readonly malformed: string };

/** A parsed line with its number, counted from 1 and including blank lines, as editors count. */
export type TrafficEntry = ParsedLine & { readonly line: number };

const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i;

/**
 * The table a request works on: its first path segment that is not empty, without query or
 * fragment. Where there is none (`/`, `//`, `*`, the `host:port` of a CONNECT) it is `/`.
 */
export function tableOf(request: TrafficRequest): string {
  const { method, target } = request;
  if (target === "*" || method === "CONNECT") return "/";
  const path = target.replace(ORIGIN, "").replace(/[?#].*$/s, "");
  return path.split("/").find((segment) => segment !== "") ?? "/";
}
