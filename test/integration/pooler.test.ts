/** What a transaction pooler does to a session: prepared statements are gone, or not one's own. */
import { describe, expect, it, onTestFinished } from "vitest";
import postgres from "postgres";
import { createBatcher, sums } from "sluice";
import { ledgerDdl, migrate, sumsDdl, upsertSums } from "sluice/postgres";
import { transactor } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { startPgbouncer } from "../../scripts/pgbouncer-server.js";
import { connectors, freshDatabase, openEye } from "./database.ts";
import { describePgbouncer } from "./pgbouncer.ts";

describe("with postgres, when prepared statements vanish between transactions", () => {
  it.each([true, false])("what is called committed is committed (prepare: %s)", async (prepare) => {
    const url = await freshDatabase();
    const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => undefined });
    await migrate(sql, sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }));
    const usage = createBatcher({
      shape: sums({ key: ["k"], sum: ["n"] }),
      sink: upsertSums(sql, { table: "usage", prepare }),
      retry: { baseDelayMs: 1, maxDelayMs: 5 },
      maxDelayMs: 60_000,
    });
    for (let round = 0; round < 5; round += 1) {
      usage.tryAdd({ k: "a", n: 1 });
      await usage.flush();
      // As behind a pooler that hands the next transaction another server connection.
      await sql.unsafe("DEALLOCATE ALL");
    }
    expect(usage.stats()).toMatchObject({ committed: 5, held: 0 });
    const eye = await openEye(url);
    expect(await eye.query("SELECT n::int FROM usage")).toEqual([{ n: 5 }]);
    await usage.close();
    await eye.close();
    await sql.end();
  });
});

describePgbouncer("through pgbouncer, which lends its connections by the transaction", () => {
  it.each(["pg", "postgres"] as const)(
    "what prepares statements all the same lands, and says so (%s)",
    async (connector) => {
      const url = await freshDatabase();
      const eye = await openEye(url);
      await eye.query(sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }));
      await eye.query(ledgerDdl());
      const pooler = await startPgbouncer(url, { poolSize: 1 });
      onTestFinished(() => pooler.stop());
      const warnings: unknown[] = [];
      // Each writer is new to the statement, which its predecessors have left on every connection.
      for (let writer = 0; writer < 6; writer += 1) {
        const { driver, end } = connectors[connector](pooler.url, 1);
        const usage = createBatcher({
          shape: sums({ key: ["k"], sum: ["n"] }),
          sink: upsertSums(driver, { table: "usage" }),
          retry: { baseDelayMs: 1, maxDelayMs: 5 },
          observe: (event) => event.type === "warning" && warnings.push(event.error),
        });
        usage.tryAdd({ k: "a", n: 1 });
        expect(await usage.close()).toMatchObject({ committed: 1 });
        await end();
      }
      expect(await eye.query("SELECT n::int FROM usage")).toEqual([{ n: 6 }]);
      expect(warnings.length).toBeLessThanOrEqual(6);
      for (const warning of warnings) expect(String(warning)).toMatch(/prepare: false/);
      if (connector === "pg") expect(warnings.length).toBeGreaterThan(0);
      await eye.close();
    },
  );
});

describe.each(["pg", "postgres"] as const)(
  "with %s, a transaction that had failed",
  (connector) => {
    it("is never reported as committed, although COMMIT itself is no error", async () => {
      const { driver, end } = connectors[connector](await freshDatabase(), 1);
      const failed = transactor(driver)(async (session) => {
        await session.query("SELECT 1 / 0", []).catch(() => undefined);
        return "done";
      });
      await expect(failed).rejects.toThrow(/COMMIT with ROLLBACK|division by zero/);
      await expect(transactor(driver)(async () => "next")).resolves.toBe("next");
      await end();
    });
  },
);
