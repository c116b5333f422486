/** How each fault is done to PostgreSQL. */
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { sqlstateOf } from "sluice/postgres";
import { killOne } from "../integration/proxy.ts";
import type { Fault } from "./plan.ts";
import type { Servers } from "./servers.ts";

/** Statements on a table sleep before they write, for as long as its row here says. */
export const SLOWNESS_DDL = `CREATE TABLE slowness (tab text PRIMARY KEY, ms int NOT NULL);
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_sleep(ms / 1000.0) FROM slowness WHERE tab = TG_TABLE_NAME;
  RETURN NULL;
END $$;`;

/** Makes statements on a table obey `slowness`. */
export const slowableDdl = (table: string): string =>
  `CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION be_slow();`;

/** Does one fault and returns once it is over, or will happen by itself. */
export async function strike(
  fault: Fault,
  { url, proxies, ambushes, query, restart }: Servers,
  tables: readonly string[],
): Promise<void> {
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
      const table = tables[fault.traffic % tables.length];
      await query("INSERT INTO slowness VALUES ($1, 60000)", [table]);
      await pause(fault.ms);
      await query("DELETE FROM slowness WHERE tab = $1", [table]);
      return;
    }
    case "full": {
      const release = await fillConnections(url, query);
      await pause(fault.ms);
      await release();
      return;
    }
    case "restart":
      await restart();
      return;
  }
}

export const TOO_MANY_CONNECTIONS = "53300";

/**
 * Takes every connection that the writers' role may have, those of the writers included; what it
 * answers gives them back.
 */
async function fillConnections(
  url: string,
  query: Servers["query"],
): Promise<() => Promise<unknown>> {
  const hogs: pg.Client[] = [];
  await query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND usename = $1`,
    [new URL(url).username],
  );
  for (let full = false; !full; ) {
    const hog = new pg.Client({ connectionString: url });
    hog.on("error", () => undefined); // others end connections as well
    await hog.connect().then(
      () => hogs.push(hog),
      async (error: unknown) => {
        full = sqlstateOf(error) === TOO_MANY_CONNECTIONS;
        if (!full) await pause(20); // the server is being started again
      },
    );
  }
  return () => Promise.all(hogs.map((hog) => hog.end()));
}
