/** A PostgreSQL of one's own to do harm to, a pooler, and a proxy on each way between the three. */
import pg from "pg";
import { ledgerDdl } from "sluice/postgres";
import { startPgbouncer } from "../../scripts/pgbouncer-server.js";
import { startPostgres } from "../../scripts/postgres-server.js";
import type { Row } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { openProxy, type Proxy } from "../integration/proxy.ts";
import { type Ambush, layAmbushes } from "./ambush.ts";
import type { Place } from "./plan.ts";

/** Few enough for a test to take all of them. */
const CONNECTIONS = 32;
const POOLED = 6;

/** The role of the writers: no superuser, to whom the limit of connections is none. */
const WRITER = "writer";

export interface Servers {
  /** As a writer, past every proxy. */
  readonly url: string;
  /** Where harm is done. */
  readonly proxies: Readonly<Record<Place, Proxy>>;
  readonly ambushes: Readonly<Record<Place, Ambush>>;
  /** Looks, and does harm, by a connection of the superuser; waits for the server where it is away. */
  query(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** Ends the server at once, without a checkpoint, and waits until it has recovered. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Starts them. Writers may write to the tables that `ddl` makes. */
export async function openServers(ddl: readonly string[]): Promise<Servers> {
  const server = await startPostgres({
    // The longest wait for a deadlock to be found is far shorter than an attempt may be.
    settings: { max_connections: CONNECTIONS, deadlock_timeout: "100ms" },
  });
  const admin = new pg.Pool({ connectionString: server.url, max: 1 });
  admin.on("error", () => undefined);
  const query: Servers["query"] = (sql, values = []) =>
    patiently(async () => (await admin.query(sql, [...values])).rows as Row[]);
  for (const statement of [ledgerDdl(), ...ddl]) await query(statement);
  await query(`CREATE ROLE ${WRITER} LOGIN PASSWORD '${WRITER}'`);
  await query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${WRITER}`);
  const url = new URL(server.url);
  url.username = WRITER;
  url.password = WRITER;
  const between = await openProxy(url.href);
  const pooler = await startPgbouncer(between.url, { poolSize: POOLED });
  const proxies = {
    server: await openProxy(url.href),
    between,
    pooler: await openProxy(pooler.url),
  };
  /** Who calls a port where nobody listens may be given that very port to call from. */
  const refuse = (refusing: boolean): void => {
    for (const proxy of [proxies.server, between]) proxy.refusing = refusing;
  };
  return {
    url: url.href,
    proxies,
    ambushes: {
      server: layAmbushes(proxies.server),
      between: layAmbushes(between),
      pooler: layAmbushes(proxies.pooler),
    },
    query,
    restart: async () => {
      refuse(true);
      await server.restart();
      refuse(false);
    },
    close: async () => {
      await proxies.pooler.close();
      await pooler.stop();
      await Promise.all([proxies.server.close(), between.close()]);
      await admin.end();
      await server.stop();
    },
  };
}

const PATIENCE_MS = 60_000;

/** Tries again until the server is back. An error that the server itself reports is one. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (const deadline = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await work();
    } catch (error) {
      const away = !(error instanceof pg.DatabaseError) || error.code?.startsWith("57P") === true;
      if (!away || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
