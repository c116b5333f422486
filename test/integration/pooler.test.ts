/** What a transaction pooler does to a session: prepared statements are gone, or not one's own. */
import { describe, expect, it } from "vitest";
import postgres from "postgres";
import { createBatcher, sums } from "sluice";
import { migrate, sumsDdl, upsertSums } from "sluice/postgres";
import { transactor } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { connectors, freshDatabase, openEye } from "./database.ts";

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
