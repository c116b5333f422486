/** Replicas that write the newest value of the same keys, all the time. */
import { describe, expect, it } from "vitest";
import { createBatcher, latest, type SluiceEvent, type Stats } from "sluice";
import { migrate, sqlstateOf, writeLatest } from "sluice/postgres";
import { seededRandom } from "sluice/testing";
import { connectors, type Eye, freshDatabase, openEye } from "./database.ts";
import { openProxy, startKilling } from "./proxy.ts";

const KEYS = 1_000;
const shape = latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" });

/** A table that refuses to go back: no older version gets past its trigger. */
const TABLE = `CREATE TABLE newest (k text PRIMARY KEY, v text, rev bigint NOT NULL) WITH (fillfactor = 50);
CREATE FUNCTION refuse_older() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.rev < OLD.rev THEN RAISE EXCEPTION 'back from % to %', OLD.rev, NEW.rev; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER forward BEFORE UPDATE ON newest FOR EACH ROW EXECUTE FUNCTION refuse_older();`;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The newest version of each key, and what it came with: every version is written by one writer. */
const expectNewest = async (eye: Eye, expected: ReadonlyMap<string, number>): Promise<void> => {
  const rows = await eye.query("SELECT k, v, rev::int FROM newest");
  expect(new Map(rows.map(({ k, rev }) => [k, rev]))).toEqual(expected);
  for (const { v, rev } of rows) expect(v).toBe(`value of ${String(rev)}`);
};

const deadlocks = async (url: string): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, 300)); // statistics come when sessions end
  const eye = await openEye(url);
  const [row] = await eye.query(
    "SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()",
  );
  await eye.close();
  return Number(row?.["deadlocks"]);
};

describe.each(["ignore", "insert"] as const)("with onMissing %j", (onMissing) => {
  it("four replicas on the same 1,000 keys never deadlock, and send one data statement per flush", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    await eye.query(TABLE);
    if (onMissing === "ignore") {
      await eye.query(`INSERT INTO newest SELECT 'key-' || i, 'none', -1
        FROM generate_series(0, ${KEYS - 1}) i ORDER BY random()`);
    }
    const expected = new Map<string, number>();
    const events: SluiceEvent[] = [];
    let [changed, stale] = [0, 0];
    const run = async (replica: number): Promise<Stats> => {
      const { driver, end } = connectors.pg(url, 1);
      await migrate(driver);
      const random = seededRandom(replica + 1);
      const batcher = createBatcher({
        shape,
        sink: writeLatest(driver, { table: "newest", onMissing }),
        maxEntries: 500,
        maxDelayMs: 0,
        observe: (event) => {
          events.push(event);
          if (event.type !== "committed") return;
          const details = event.details as { changed: number; stale: readonly unknown[] };
          changed += details.changed;
          stale += details.stale.length;
        },
      });
      const until = performance.now() + 4_000;
      const busy = (): boolean => performance.now() < until || batcher.stats().batches < 25;
      for (let turns = 0; busy(); turns += 1) {
        for (let i = 0; i < 300; i += 1) {
          const k = `key-${Math.floor(random() * KEYS)}`;
          // Versions of all replicas mingle; no two are equal.
          const rev = 4 * (turns * 100 + Math.floor(random() * 5_000)) + replica;
          if (!batcher.tryAdd({ k, v: `value of ${rev}`, rev })) continue;
          expected.set(k, Math.max(expected.get(k) ?? -1, rev));
        }
        await turn();
      }
      const { stats } = await batcher.close();
      await end();
      return stats;
    };
    const all = await Promise.all([0, 1, 2, 3].map((replica) => run(replica)));
    for (const stats of all) {
      expect(stats).toMatchObject({
        committed: stats.accepted,
        statements: stats.batches,
        retries: 0,
      });
      expect(stats.batches).toBeGreaterThan(20);
    }
    await expectNewest(eye, expected);
    expect([changed > 0, stale > 0]).toEqual([true, true]);
    await eye.close();
    const failures = events.flatMap((event) =>
      event.type === "retried" && event.error instanceof Error
        ? [sqlstateOf(event.error.cause)]
        : [],
    );
    expect(failures).not.toContain("40P01");
    expect(await deadlocks(url)).toBe(0);
  });
});

describe.each(["ignore", "insert"] as const)(
  "where keys are spelled in two ways, %j",
  (onMissing) => {
    it("two writers lock their rows in the order of the type, and never deadlock", async () => {
      const url = await freshDatabase();
      const eye = await openEye(url);
      await eye.query("CREATE EXTENSION citext");
      await eye.query("CREATE TABLE words (k citext PRIMARY KEY, v text, rev bigint)");
      await eye.query("INSERT INTO words SELECT 'k' || i, 'x', 0 FROM generate_series(0, 299) i");
      // Each in capitals where the other is not: in the order of bytes they would meet head-on.
      const run = async (writer: number): Promise<Stats> => {
        const keys = Array.from({ length: 300 }, (_, i) => (i % 2 === writer ? `K${i}` : `k${i}`));
        const { driver, end } = connectors.pg(url, 1);
        await migrate(driver);
        const batcher = createBatcher({
          shape,
          sink: writeLatest(driver, { table: "words", types: { k: "citext" }, onMissing }),
        });
        for (let rev = 1 + writer; rev < 200; rev += 2) {
          for (const k of keys) batcher.tryAdd({ k, v: "y", rev });
          await batcher.flush();
        }
        const { stats } = await batcher.close();
        await end();
        return stats;
      };
      const all = await Promise.all([run(0), run(1)]);
      await eye.close();
      for (const { retries, deadLettered } of all) expect([retries, deadLettered]).toEqual([0, 0]);
      expect(await deadlocks(url)).toBe(0);
    });
  },
);

describe.each(["pg", "postgres"] as const)("with %s, under kills", (connector) => {
  it("two writers never take a row back, whatever is lost, repeated or late", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    await eye.query(TABLE);
    const direct = connectors[connector](url, 1);
    await migrate(direct.driver);
    await direct.end();
    const proxy = await openProxy(url);
    const random = seededRandom(7);
    proxy.fate = ({ from, commit }) => {
      const chance = random();
      if (!commit) return chance < 0.01 ? "cut" : "pass";
      if (from === "server") return chance < 0.1 ? "cut" : "pass";
      // Held back, the server gets it when the client has long tried again.
      return chance < 0.05 ? "deafen" : chance < 0.08 ? "hold" : "pass";
    };
    const releasing = setInterval(() => proxy.release(), 700);
    const stopKilling = startKilling(eye.query, random, 40);
    const expected = new Map<string, number>();
    const run = async (writer: number): Promise<Stats> => {
      const { driver, end } = connectors[connector](proxy.url, 2);
      const pick = seededRandom(writer + 100);
      const batcher = createBatcher({
        shape,
        // Without a ledger: whatever comes twice or late, the guard alone is what keeps rows.
        sink: writeLatest(driver, { table: "newest", onMissing: "insert", ledger: false }),
        lanes: 2,
        maxEntries: 10,
        maxDelayMs: 0,
        maxBufferedEntries: 40,
        writeTimeoutMs: 500,
        retry: { baseDelayMs: 1, maxDelayMs: 20, circuitAfter: 1_000 },
      });
      for (let added = 0; batcher.stats().batches < 150; added += 1) {
        const k = `key-${Math.floor(pick() * 50)}`;
        const rev = 2 * Math.floor(added + pick() * 200) + writer;
        await batcher.add({ k, v: `value of ${rev}`, rev });
        expected.set(k, Math.max(expected.get(k) ?? -1, rev));
      }
      const { stats } = await batcher.close({ timeoutMs: 30_000 });
      await end();
      return stats;
    };
    const all = await Promise.all([0, 1].map((writer) => run(writer)));
    const killed = await stopKilling();
    clearInterval(releasing);
    proxy.release();
    for (const stats of all) expect(stats).toMatchObject({ committed: stats.accepted, held: 0 });
    // The trigger refuses what would go back; such an entry would be a dead letter.
    expect(all.map(({ deadLettered }) => deadLettered)).toEqual([0, 0]);
    expect(all.reduce((sum, { retries }) => sum + retries, 0)).toBeGreaterThan(20);
    expect(killed + proxy.struck.cut + proxy.struck.deafen + proxy.struck.hold).toBeGreaterThan(50);
    await expectNewest(eye, expected);
    await proxy.close();
    await eye.close();
  });
});
