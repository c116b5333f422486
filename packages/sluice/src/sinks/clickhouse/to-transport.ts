import { quote, SluiceError } from "../../errors.ts";
import { type ChdbSession, chdbTransport } from "./chdb-transport.ts";
import { type ClickHouseClient, clientTransport } from "./client-transport.ts";
import type { Transport } from "./transport.ts";

/** What a ClickHouse sink may be given: a client, a chDB session, or a transport. */
export type TransportLike = ClickHouseClient | ChdbSession | Transport;

/** Recognises what it is given. Throws `SLUICE_ERR_CLICKHOUSE_TRANSPORT` for anything else. */
export function toTransport(given: TransportLike): Transport {
  if (isClient(given)) return clientTransport(given);
  if (isChdb(given)) return chdbTransport(given);
  if (isTransport(given)) return given;
  throw new SluiceError(
    "SLUICE_ERR_CLICKHOUSE_TRANSPORT",
    `expected a client of @clickhouse/client, a Session of chdb, or a Transport; received ${describe(given)}`,
  );
}

const has = (value: unknown, method: string): boolean =>
  (typeof value === "object" || typeof value === "function") &&
  value !== null &&
  method in value &&
  typeof (value as Readonly<Record<string, unknown>>)[method] === "function";

const isClient = (given: TransportLike): given is ClickHouseClient => has(given, "exec");
const isChdb = (given: TransportLike): given is ChdbSession => has(given, "queryAsync");
const isTransport = (given: TransportLike): given is Transport =>
  ["query", "command", "insert"].every((method) => has(given, method));

/** By the name of its class: a driver's own fields may hold what no message should. */
function describe(received: unknown): string {
  if (typeof received !== "object" || received === null) return quote(received);
  return `an object of class ${received.constructor?.name ?? "none"}`;
}
