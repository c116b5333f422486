import { type ChdbSession, chdbTransport } from "./chdb-transport.ts";
import { type ClickHouseClient, clientTransport } from "./client-transport.ts";
import { has, notAWay, type Transport } from "./transport.ts";

/** What a ClickHouse sink may be given: a client, a chDB session, or a transport. */
export type TransportLike = ClickHouseClient | ChdbSession | Transport;

/** Recognises what it is given. Throws `SLUICE_ERR_CLICKHOUSE_TRANSPORT` for anything else. */
export function toTransport(given: TransportLike): Transport {
  if (isClient(given)) return clientTransport(given);
  if (isChdb(given)) return chdbTransport(given);
  if (isTransport(given)) return given;
  const expected = "a client of @clickhouse/client, a Session of chdb, or a Transport";
  throw notAWay(expected, given);
}

const isClient = (given: TransportLike): given is ClickHouseClient => has(given, "exec");
const isChdb = (given: TransportLike): given is ChdbSession => has(given, "queryAsync");
const isTransport = (given: TransportLike): given is Transport =>
  ["query", "command", "insert"].every((method) => has(given, method));
