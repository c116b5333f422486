/** The database goes away and comes back while items keep coming. */
import { describe, expect, it } from "vitest";
import { createBatcher, type SluiceEvent, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";
import { inject } from "vitest";
import { connectors, freshDatabase, openEye } from "./database.ts";
import { openProxy } from "./proxy.ts";

const KEYS = 500;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(["pg", "postgres"] as const)("with %s, through an outage", (connector) => {
  /** Adds items all the time while the database is taken away by `leave` and given back by `back`. */
  const through = async (
    target: string,
    url: string,
    leave: () => Promise<void>,
    back: () => Promise<void>,
  ): Promise<void> => {
    const setup = connectors[connector](url, 1);
    await migrate(setup.driver, sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }));
    await setup.end();
    const { driver, end } = connectors[connector](target, 4);
    const events: SluiceEvent[] = [];
    const batcher = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(driver, { table: "usage" }),
      lanes: 2,
      maxEntries: 100,
      maxDelayMs: 5,
      maxBufferedEntries: 2 * KEYS,
      writeTimeoutMs: 1_000,
      retry: { baseDelayMs: 5, maxDelayMs: 50, circuitAfter: 3 },
      observe: (event) => events.push(event),
    });
    let added = 0;
    let most = 0;
    const add = async (ms: number): Promise<void> => {
      const until = performance.now() + ms;
      while (performance.now() < until) {
        for (let i = 0; i < 200; i += 1) {
          if (batcher.tryAdd({ k: `k${(added * 7) % KEYS}`, n: 1 })) added += 1;
        }
        const { heldEntries } = batcher.stats();
        most = Math.max(most, heldEntries);
        await pause(1);
      }
    };
    await add(200);
    while (batcher.stats().committed === 0) await add(10);
    await leave();
    const attempts = batcher.stats().attempts;
    await add(1_200);
    while (batcher.stats().circuit !== "open") await add(10);
    const during = batcher.stats();
    expect(during.attempts - attempts).toBeLessThan(200);
    await back();
    await add(300);
    const { stats } = await batcher.close();
    expect(stats).toMatchObject({
      accepted: added,
      committed: added,
      held: 0,
      refused: 0,
      circuit: "closed",
    });
    // However many items came, at most each key once waiting and once on its way.
    expect(added).toBeGreaterThan(10 * KEYS);
    expect(most).toBeLessThanOrEqual(2 * KEYS);
    const states = events.flatMap((event) => (event.type === "circuit" ? [event.state] : []));
    expect(states.slice(0, 2)).toEqual(["open", "closed"]);
    expect(states.at(-1)).toBe("closed");
    await end();
    const eye = await openEye(url);
    expect(await eye.query("SELECT sum(n)::int AS n, count(*)::int AS keys FROM usage")).toEqual([
      { n: added, keys: KEYS },
    ]);
    await eye.close();
  };

  it("nothing is lost while connections are refused", async () => {
    const url = await freshDatabase();
    const proxy = await openProxy(url);
    const leave = async (): Promise<void> => {
      proxy.refusing = true;
      proxy.cutAll();
    };
    const back = async (): Promise<void> => {
      proxy.refusing = false;
    };
    await through(proxy.url, url, leave, back);
    await proxy.close();
  });

  it("nothing is lost while the server turns everybody away", async () => {
    const url = await freshDatabase();
    const name = new URL(url).pathname.slice(1);
    const admin = await openEye(inject("postgresUrl"));
    const leave = async (): Promise<void> => {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
        [name],
      );
    };
    const back = async (): Promise<void> => {
      await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
    };
    await through(url, url, leave, back);
    await admin.close();
  });
});
