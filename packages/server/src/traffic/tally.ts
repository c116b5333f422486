import { type TrafficRequest, tableOf } from "./request.ts";
import {
  type CheckedTable,
  CLIENT_STATISTICS,
  CLIENT_TABLE_STATISTICS,
  CLIENTS,
} from "./tables.ts";

/** What the traffic adds to one row, in the order of the table's columns. */
export interface TallyRow {
  readonly counters: number[];
  /** The newest event time in milliseconds since the epoch; null where there was no event. */
  readonly times: (number | null)[];
}

/**
 * Counts the traffic a second time, one request after the other and by none of the library's
 * code, so that the two can be compared. Memory grows with the distinct keys only.
 */
export interface Tally {
  /** Notes a client as registered; its row must exist even if all of its requests are refused. */
  register(client: string): void;
  isRegistered(client: string): boolean;
  add(request: TrafficRequest): void;
  readonly requests: number;
  /** How many clients made a request. */
  readonly clients: number;
  /** The client with the most requests; of several such, `current` if it is one. */
  busiest(current?: string): string | undefined;
  /** The rows of a table by {@link rowKey}. */
  rows(table: CheckedTable): ReadonlyMap<string, TallyRow>;
}

/** One string per key, different for different keys whatever characters they hold. */
export function rowKey(values: readonly string[]): string {
  return JSON.stringify(values);
}

/** Creates an empty tally. */
export function createTally(): Tally {
  const perClient = new Map<string, TallyRow>();
  const perTable = new Map<string, TallyRow>();
  const registered = new Map<string, TallyRow>();
  const rowsByTable = new Map<CheckedTable["name"], ReadonlyMap<string, TallyRow>>([
    [CLIENT_STATISTICS.name, perClient],
    [CLIENT_TABLE_STATISTICS.name, perTable],
    [CLIENTS.name, registered],
  ]);
  let requests = 0;
  let top: { readonly client: string; readonly requests: number } | undefined;
  const requestsOf = (client: string): number => perClient.get(rowKey([client]))?.counters[0] ?? 0;

  return {
    register(client) {
      bump(registered, CLIENTS, [client], [], null);
    },
    isRegistered: (client) => registered.has(rowKey([client])),
    add(request) {
      const { client, method, status, at } = request;
      const succeeded = status >= 200 && status <= 399;
      const failed = status >= 400;
      const cached = status === 304;
      requests += 1;
      bump(perClient, CLIENT_STATISTICS, [client], [true, succeeded, failed, cached, true], at);
      bump(
        perTable,
        CLIENT_TABLE_STATISTICS,
        [client, tableOf(request), method],
        [true, failed],
        at,
      );
      bump(registered, CLIENTS, [client], [], at);
      const made = requestsOf(client);
      if (top === undefined || made > top.requests) top = { client, requests: made };
    },
    get requests() {
      return requests;
    },
    get clients() {
      return perClient.size;
    },
    busiest: (current) =>
      current !== undefined && requestsOf(current) === top?.requests ? current : top?.client,
    rows: (table) => rowsByTable.get(table.name) ?? new Map(),
  };
}

function bump(
  rows: Map<string, TallyRow>,
  table: CheckedTable,
  keyValues: readonly string[],
  counted: readonly boolean[],
  at: number | null,
): void {
  const key = rowKey(keyValues);
  const row = rows.get(key);
  if (row === undefined) {
    rows.set(key, { counters: counted.map(Number), times: table.times.map(() => at) });
    return;
  }
  for (const [index, yes] of counted.entries()) {
    if (yes) row.counters[index] = (row.counters[index] ?? 0) + 1;
  }
  for (const [index, time] of row.times.entries()) row.times[index] = newest(time, at);
}

/** The later of two times, where null is before all of them. */
export function newest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.max(one, other);
}
