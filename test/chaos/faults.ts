/** How each fault is done to PostgreSQL. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { sqlstateOf } from "sluice/postgres";
import { killOne } from "../integration/proxy.ts";
import type { Fault } from "./plan.ts";
import type { Servers } from "./servers.ts";

/** Statements on a table that is named here sleep before they write. */
export const SLOWNESS_DDL = `CREATE TABLE slowness (tab text PRIMARY KEY);
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_sleep(60) FROM slowness WHERE tab = TG_TABLE_NAME;
  RETURN NULL;
END $$;`;

/** Makes statements on a table obey `slowness`. */
export const slowableDdl = (table: string): string =>
  `CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION be_slow();`;

export const STATEMENT_TIMEOUT = "57014";
export const TOO_MANY_CONNECTIONS = "53300";

/** What faults strike. */
export interface Field {
  readonly servers: Servers;
  readonly tables: readonly string[];
  /** How often writers have met this SQLSTATE. */
  met(state: string): number;
}

/** Does one fault and returns once it is over, or will happen by itself. */
export async function strike(fault: Fault, { servers, tables, met }: Field): Promise<void> {
  const { proxies, ambushes, query, restart } = servers;
  const meeting = (state: string): (() => boolean) => {
    const before = met(state);
    return () => met(state) > before;
  };
  switch (fault.kind) {
    case "kill":
      while ((await killOne(query)) === 0) await pause(1);
      return;
    case "cut":
      proxies[fault.place].tear(fault.from, fault.bytes);
      return;
    case "loss":
      await ambushes[fault.place]("cut", ({ from, commit }) => from === "server" && commit);
      return;
    case "delay":
      await ambushes[fault.place]("hold", ({ from, commit }) => from === "client" && commit);
      await pause(fault.ms);
      proxies[fault.place].release();
      return;
    case "timeout": {
      const table = tables[fault.table % tables.length];
      const timedOut = meeting(STATEMENT_TIMEOUT);
      await query("INSERT INTO slowness VALUES ($1) ON CONFLICT DO NOTHING", [table]);
      while (!timedOut()) await pause(5);
      await query("DELETE FROM slowness WHERE tab = $1", [table]);
      return;
    }
    case "full":
      await takeConnections(servers, fault.ms, meeting(TOO_MANY_CONNECTIONS));
      return;
    case "restart":
      await restart();
      return;
  }
}

const HOG = "hog";
const HOGS_AT_A_TIME = 8;

/**
 * Takes the connections that the writers' role may have, those of the writers themselves as well, and
 * gives them back when none has been left for so long, and a writer has been refused one.
 */
async function takeConnections(
  { url, query }: Servers,
  ms: number,
  refused: () => boolean,
): Promise<void> {
  const hogs: pg.Client[] = [];
  /** Takes one more, and says whether the limit of connections kept it from that. */
  const take = async (): Promise<boolean> => {
    const hog = new pg.Client({ connectionString: url, application_name: HOG });
    hog.on("error", () => undefined); // others end connections as well
    try {
      await hog.connect();
      hogs.push(hog);
      return false;
    } catch (error) {
      // Others restart the server meanwhile: that keeps one from it as well.
      return sqlstateOf(error) === TOO_MANY_CONNECTIONS;
    }
  };
  for (let deadline = Infinity; Date.now() < deadline || !refused(); await pause(5)) {
    const others = await query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND usename = $1 AND application_name <> $2`,
      [new URL(url).username, HOG],
    );
    const full = await Promise.all(Array.from({ length: HOGS_AT_A_TIME }, take));
    if (others.length > 0 || full.includes(false)) continue;
    deadline = Math.min(deadline, Date.now() + ms);
  }
  await Promise.all(hogs.map((hog) => hog.end()));
}
