/** What processes write to and ask, until they are ended: a place where some answers are lost. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { ledgerDdl, sumsDdl } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import type { Chdb } from "../integration/chdb.ts";
import { openClickHouseFace } from "../integration/clickhouse-face.ts";
import { type Eye, openEye } from "../integration/database.ts";
import { openProxy } from "../integration/proxy.ts";
import { type Findings, findFaults } from "./delivered.ts";
import { answerTo, MOST_ITEMS, VERSIONS } from "./delivered-items.js";
import type { Said } from "./writer-process.ts";

const DDL = [
  sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }),
  "CREATE TABLE people (k text PRIMARY KEY, seen timestamptz)",
  "CREATE TABLE newest (k text PRIMARY KEY, v text, rev bigint NOT NULL)",
  "CREATE TABLE entries (id text NOT NULL, v text NOT NULL)",
];
const CLICKHOUSE_DDL = [
  "DROP TABLE IF EXISTS visits",
  `CREATE TABLE visits (id String, v String) ENGINE = MergeTree ORDER BY id
   SETTINGS non_replicated_deduplication_window = 10000`,
];

/** The share of commits and of inserts whose answers are lost. */
const LOST = 0.15;
/** How long the API takes. */
const ANSWER_MS = 5;

export interface Targets {
  /** The URLs for a process. */
  readonly postgres: string;
  readonly clickhouse: string;
  readonly api: string;
  readonly query: Eye["query"];
  /** Answers of the servers that were lost. */
  losses(): number;
  /** Waits until nothing that processes have sent is at work, and compares what they said with the tables. */
  compare(said: Said): Promise<Findings>;
  close(): Promise<void>;
}

export interface TargetOptions {
  /** An empty database. */
  readonly url: string;
  readonly chdb: Chdb;
  readonly seed: number;
}

/** Opens them for processes of so many rounds. */
export async function openTargets(
  { url, chdb, seed }: TargetOptions,
  rounds: number,
): Promise<Targets> {
  const eye = await openEye(url);
  for (const ddl of [ledgerDdl(), ...DDL]) await eye.query(ddl);
  // `touch` passes over a key that has no row.
  await eye.query(
    `INSERT INTO people SELECT r || '-' || i
     FROM generate_series(0, $1::int - 1) r, generate_series(0, $2::int) i`,
    [rounds, MOST_ITEMS / VERSIONS],
  );
  for (const ddl of CLICKHOUSE_DDL) await chdb.query(ddl);
  const random = seededRandom(seed);
  const proxy = await openProxy(url);
  proxy.fate = ({ from, commit }) =>
    from === "server" && commit && random() < LOST ? "cut" : "pass";
  const face = await openClickHouseFace(chdb);
  let unanswered = 0;
  face.fault = ({ query }) => {
    if (!query.startsWith("INSERT") || random() >= LOST) return undefined;
    unanswered += 1;
    return "drop-after";
  };
  const api = await openApi();
  return {
    postgres: proxy.url,
    clickhouse: face.url,
    api: api.url,
    query: eye.query,
    losses: () => proxy.struck.cut + unanswered,
    compare: async (said) => {
      await untilAlone(eye);
      await face.settled();
      return findFaults(eye.query, chdb.query, said);
    },
    close: async () => {
      await Promise.all([proxy.close(), face.close(), api.close()]);
      await eye.close();
    },
  };
}

/** What a dead process has sent may still be at work. */
async function untilAlone({ query }: Eye): Promise<void> {
  const others = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()`;
  while ((await query(others)).length > 0) await pause(10);
}

/** An API that answers a list of questions in their order. */
async function openApi(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = await json(request).catch(() => []); // its client may have died
    await pause(ANSWER_MS);
    response.end(JSON.stringify(Array.isArray(asked) ? asked.map(answerTo) : []));
  };
  const server = createServer((request, response) => void answer(request, response));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the API has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
