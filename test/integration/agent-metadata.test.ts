/** Agent metadata on real databases: what lands, who hears of it, and what failure costs. */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { createBatcher, latest, type SluiceEvent } from "sluice";
import {
  type AgentMetadata,
  agentMetadataDdl,
  type AgentMetadataOptions,
  createAgentMetadataBatcher,
} from "sluice/agent-metadata";
import { ledgerDdl, migrate, postgresPubsub, publishing, writeLatest } from "sluice/postgres";
import { createPublisher, localPubsub, packUuids, type Pubsub, unpackUuids } from "sluice/pubsub";
import { type Database, databases, freshDatabase, openEye } from "./database.ts";
import type { Grants } from "./privileges.ts";

const A = "aaaaaaaa-0000-4000-8000-000000000001";
const B = "bbbbbbbb-0000-4000-8000-000000000002";
const CHANNEL = "agent_metadata_batch";

const openPg = databases["pg"] as (grants?: Grants) => Promise<Database>;
const INSERTING: Grants = {
  'writeLatest with onMissing: "insert"': ["agent_metadata", "facts"],
};

/** A pubsub that keeps what is published, and fails on request. */
function recordingPubsub() {
  const inner = localPubsub();
  const calls: (readonly string[])[] = [];
  const faults = { failing: false };
  const pubsub: Pubsub = {
    ...inner,
    publish: async (channel, payloads, options) => {
      if (faults.failing) throw new Error("nobody answers");
      expect(channel).toBe(CHANNEL);
      calls.push(payloads);
      await inner.publish(channel, payloads, options);
    },
  };
  return { pubsub, calls, faults };
}

describe.each(Object.entries(databases))("with %s", (_, open) => {
  async function setup(options: AgentMetadataOptions = {}, ddl = agentMetadataDdl()) {
    const { driver, owner, query, close } = await open(INSERTING);
    await migrate(owner, ddl);
    const events: SluiceEvent[] = [];
    const metadata = createAgentMetadataBatcher(driver, {
      onMissing: "insert",
      observe: (event) => events.push(event),
      ...options,
    });
    const rows = () =>
      query(
        `SELECT agent_id::text AS agent, key, value, error,
         to_char(collected_at AT TIME ZONE 'UTC', 'HH24:MI:SS.US') AS at
         FROM agent_metadata ORDER BY agent_id, key COLLATE "C"`,
      );
    return { metadata, events, query, rows, close };
  }

  it("keeps the newest value of each key, in one statement, and tells of the agents", async () => {
    const { pubsub, calls } = recordingPubsub();
    const { metadata, rows, close } = await setup({ pubsub });
    await metadata.add(A.toUpperCase(), [
      { key: "load", value: "1", collectedAt: "2026-01-01T00:00:02.000001Z" },
      { key: "disk", value: "", error: "no such disk", collectedAt: 1_000 },
    ]);
    await metadata.add(A, [{ key: "load", value: "older", collectedAt: "2026-01-01T00:00:02Z" }]);
    expect(metadata.tryAdd(B, [{ key: "load", value: "2", collectedAt: new Date(5) }])).toBe(true);
    await metadata.flush();
    expect(await rows()).toEqual([
      { agent: A, key: "disk", value: "", error: "no such disk", at: "00:00:01.000000" },
      { agent: A, key: "load", value: "1", error: "", at: "00:00:02.000001" },
      { agent: B, key: "load", value: "2", error: "", at: "00:00:00.005000" },
    ]);
    expect(calls.map((payloads) => payloads.map(unpackUuids))).toEqual([[[A, B]]]);
    expect(metadata.stats()).toMatchObject({
      accepted: 4,
      committed: 4,
      entries: 3,
      superseded: 1,
      changed: 3,
      missing: 3,
      stale: 0,
      statements: 1,
      notifications: 1,
    });
    await metadata.close();
    await close();
  });

  it("reads rows that somebody else left empty", async () => {
    const { metadata, query, close } = await setup(
      {},
      "CREATE TABLE agent_metadata (agent_id uuid, key text, value text, error text, collected_at timestamptz)",
    );
    await query("INSERT INTO agent_metadata (agent_id, key) VALUES ($1, 'load')", [A]);
    const { value } = await metadata.watch(A).next();
    expect(value?.entries).toEqual([
      { key: "load", value: "", error: "", collectedAt: new Date("0001-01-01T00:00:00Z") },
    ]);
    await metadata.close();
    await close();
  });

  it("buries an entry whose key makes no payload where publishing is atomic, and no other", async () => {
    const { driver, owner, query, close } = await open(INSERTING);
    await migrate(owner, "CREATE TABLE facts (k text PRIMARY KEY, v text, at timestamptz)");
    const letters: unknown[] = [];
    const batcher = createBatcher({
      shape: latest({ key: ["k"], value: ["v"], version: "at" }),
      sink: publishing(writeLatest(driver, { table: "facts", onMissing: "insert" }), {
        publisher: createPublisher(localPubsub(), { channel: "facts", pack: packUuids }),
        keys: ({ entries }) => entries.map(({ key }) => key[0] ?? ""),
        atomic: true,
      }),
      deadLetter: ({ entry }) => letters.push(entry),
    });
    for (const k of [A, "no uuid", B]) batcher.tryAdd({ k, v: "x", at: 1 });
    expect(await batcher.close()).toMatchObject({ committed: 2, rejected: 1 });
    expect(letters).toMatchObject([{ k: "no uuid" }]);
    expect(await query("SELECT k FROM facts ORDER BY k")).toEqual([{ k: A }, { k: B }]);
    await close();
  });

  it("passes over agents without rows, unless it is asked to insert", async () => {
    const { metadata, query, rows, close } = await setup(
      { onMissing: undefined },
      agentMetadataDdl({ unlogged: true }),
    );
    await query("INSERT INTO agent_metadata (agent_id, key) VALUES ($1, 'load')", [A]);
    await metadata.add(A, [
      { key: "load", value: "1", collectedAt: 0 },
      { key: "unknown", value: "1" },
    ]);
    await metadata.close();
    expect(await rows()).toEqual([
      { agent: A, key: "load", value: "1", error: "", at: "00:00:00.000000" },
    ]);
    expect(metadata.stats()).toMatchObject({ committed: 2, changed: 1, missing: 1 });
    const [table] = await query(
      "SELECT relpersistence::text AS kind FROM pg_class WHERE relname = 'agent_metadata'",
    );
    expect(table).toEqual({ kind: "u" });
    await close();
  });

  it("names its reasons as the reference does", async () => {
    const { metadata, close } = await setup({ maxEntries: 2, maxDelayMs: 20 });
    await metadata.add(
      A,
      ["a", "b", "c"].map((key) => ({ key, value: "" })),
    );
    while (metadata.stats().held > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await metadata.add(A, [{ key: "d", value: "" }]);
    await metadata.close();
    expect(metadata.stats().flushes).toEqual({ capacity: 1, scheduled: 1, shutdown: 1 });
    await close();
  });

  it("refuses what would cost others their entries, and takes nothing of it", async () => {
    const { metadata, rows, close } = await setup();
    await metadata.add(A, [{ key: "good", value: "1", collectedAt: 0 }]);
    const bad = [
      { key: "fine", value: "1" },
      { key: "bad", value: "x\0" },
    ];
    await expect(metadata.add(B, bad)).rejects.toMatchObject({ code: "SLUICE_ERR_VALUE_INVALID" });
    expect(() => metadata.tryAdd(B, bad)).toThrow(/the value of "bad" holds NUL/);
    await expect(metadata.add("no uuid", [])).rejects.toMatchObject({
      code: "SLUICE_ERR_KEY_INVALID",
      message: expect.stringContaining('"no uuid"'),
    });
    await metadata.close();
    expect(await rows()).toEqual([
      { agent: A, key: "good", value: "1", error: "", at: "00:00:00.000000" },
    ]);
    await close();
  });

  it("takes the first keys of too many, and says that the rest was left out", async () => {
    const { metadata, rows, close } = await setup();
    const entries = Array.from({ length: 60 }, (_, index) => ({
      key: `${String(index).padStart(2, "0")}${"k".repeat(120)}`,
      value: "1",
    }));
    await expect(metadata.add(A, entries)).rejects.toMatchObject({
      code: "SLUICE_ERR_ADD_INCOMPLETE",
      message: expect.stringContaining("metadata keys of 6222 bytes exceeded 6144 bytes"),
      report: { accepted: 50 },
    });
    await metadata.close();
    expect(await rows()).toHaveLength(50);
    await expect(metadata.add(A, entries.slice(0, 1))).rejects.toMatchObject({
      code: "SLUICE_ERR_BATCHER_CLOSED",
    });
    await expect(metadata.add(A, [])).rejects.toThrow(/closed/);
    expect(() => metadata.tryAdd(A, entries.slice(0, 1))).toThrow(/closed/);
    await close();
  });

  it("publishes in the transaction of the data where it is asked to, in the same statement", async () => {
    const { driver, owner, query, close } = await open(INSERTING);
    await migrate(owner, agentMetadataDdl());
    const listening = "listen" in driver;
    const url = "options" in driver ? String((driver as pg.Pool).options.connectionString) : "";
    const pubsub = postgresPubsub(driver, listening ? {} : { listen: () => new pg.Client(url) });
    const heard: string[] = [];
    const subscription = pubsub.subscribe(CHANNEL, {
      onPayload: (payload) => heard.push(...unpackUuids(payload)),
      onGap: () => undefined,
    });
    await subscription.ready;
    const metadata = createAgentMetadataBatcher(driver, {
      pubsub,
      atomic: true,
      onMissing: "insert",
    });
    for (const id of [A, B]) await metadata.add(id, [{ key: "load", value: "1" }]);
    await metadata.flush();
    while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(heard).toEqual([A, B]);
    expect(metadata.stats()).toMatchObject({ statements: 1, notifications: 1 });
    await query("DROP TABLE agent_metadata");
    await metadata.close();
    await pubsub.close();
    await close();
  });
});

describe("notifications", () => {
  async function setup(options: AgentMetadataOptions) {
    const { driver, owner, query, close } = await openPg(INSERTING);
    await migrate(owner, agentMetadataDdl());
    const metadata = createAgentMetadataBatcher(driver, { onMissing: "insert", ...options });
    return { metadata, query, close };
  }

  it("of 600 agents in one flush are two payloads, of 363 and 237", async () => {
    const { pubsub, calls } = recordingPubsub();
    const { metadata, close } = await setup({ pubsub, maxEntries: 1_000 });
    const ids = Array.from({ length: 600 }, () => randomUUID());
    for (const id of ids) await metadata.add(id, [{ key: "load", value: "1" }]);
    await metadata.flush();
    expect(calls).toHaveLength(1);
    expect(calls[0]?.map((payload) => unpackUuids(payload).length)).toEqual([363, 237]);
    expect(calls.flat().flatMap(unpackUuids)).toEqual(ids.toSorted());
    await metadata.close();
    await close();
  });

  it("that fail do not fail the flush: they are tried again, and counted", async () => {
    const { pubsub, calls, faults } = recordingPubsub();
    const events: SluiceEvent[] = [];
    const { metadata, close } = await setup({ pubsub, observe: (event) => events.push(event) });
    faults.failing = true;
    await metadata.add(A, [{ key: "load", value: "1" }]);
    expect(await metadata.flush()).toMatchObject({ committed: 1, attempts: 1 });
    expect(metadata.stats()).toMatchObject({ notifications: 0, published: { held: 1 } });
    expect(metadata.stats().published.attempts).toBeGreaterThan(1);
    expect(events).toContainEqual(
      expect.objectContaining({ type: "retried", name: "agent-metadata:publisher" }),
    );
    faults.failing = false;
    while (calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls.flat().flatMap(unpackUuids)).toEqual([A]);
    await metadata.close();
    expect(metadata.stats()).toMatchObject({ notifications: 1, published: { held: 0 } });
    await close();
  });

  it("leave within a close that cannot publish, and what landed is reported as landed", async () => {
    const { pubsub, faults } = recordingPubsub();
    const { metadata, close } = await setup({ pubsub, observe: () => undefined });
    faults.failing = true;
    await metadata.add(A, [{ key: "load", value: "1" }]);
    const startedAt = performance.now();
    const report = await metadata.close({ timeoutMs: 300 });
    expect(performance.now() - startedAt).toBeLessThan(1_500); // within its time, not beyond
    expect(report).toMatchObject({ items: 1, committed: 1 });
    expect(metadata.stats().published).toMatchObject({ accepted: 1, held: 0, committed: 0 });
    await close();
  });
});

describe("privileges", () => {
  it("that the guide names are enough: one role writes, another watches", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    await eye.query(agentMetadataDdl());
    await eye.query(ledgerDdl());
    const suffix = randomUUID().slice(0, 8);
    const as = async (role: string, ...grants: readonly string[]): Promise<pg.Pool> => {
      const user = `${role}_${suffix}`;
      await eye.query(`CREATE ROLE ${user} LOGIN PASSWORD 'secret'`);
      for (const grant of grants) await eye.query(`GRANT ${grant} TO ${user}`);
      const own = new URL(url);
      own.username = user;
      own.password = "secret";
      return new pg.Pool({ connectionString: own.href });
    };
    const writer = await as(
      "writer",
      "SELECT, INSERT, UPDATE ON agent_metadata",
      "SELECT, INSERT, UPDATE, DELETE ON sluice_ledger",
    );
    const reader = await as("reader", "SELECT ON agent_metadata");
    const warnings: unknown[] = [];
    const observe = (event: SluiceEvent): void => {
      if (event.type === "warning" || event.type === "retried") warnings.push(event.error);
    };
    const metadata = createAgentMetadataBatcher(writer, {
      onMissing: "insert",
      pubsub: postgresPubsub(writer),
      observe,
    });
    await metadata.add(A, [{ key: "load", value: "1" }]);
    await metadata.close();
    const { connectionString } = reader.options;
    const pubsub = postgresPubsub(reader, {
      listen: () => new pg.Client({ connectionString }),
      observe,
    });
    const watching = createAgentMetadataBatcher(reader, { pubsub, observe });
    const { value } = await watching.watch(A).next();
    expect(value?.entries).toMatchObject([{ key: "load", value: "1" }]);
    expect(metadata.stats()).toMatchObject({ committed: 1, notifications: 1 });
    expect(warnings).toEqual([]);
    await watching.close();
    await pubsub.close();
    await Promise.all([writer.end(), reader.end()]);
    await eye.close();
  });
});

describe("options", () => {
  const loosely = createAgentMetadataBatcher as (driver: unknown, options?: unknown) => unknown;
  const cases: [string, unknown, RegExp][] = [
    ["an unknown one", { interval: 5 }, /no option "createAgentMetadataBatcher: interval"/],
    ["a shape of its own", { shape: 5 }, /no option "createAgentMetadataBatcher: shape"/],
    ["a table that is no name", { table: "a;b" }, /table must be .* "a;b"/],
    ["a pubsub that is none", { pubsub: {} }, /pubsub must be a pubsub/],
    ["onMissing of another kind", { onMissing: "fail" }, /onMissing must be .* "fail"/],
    ["atomic without a pubsub", { atomic: true }, /pass a pubsub/],
    ["a channel that is no name", { channel: "x".repeat(64) }, /channel must be .* "xxx/],
    ["polling that is no time", { pollIntervalMs: "5s" }, /pollIntervalMs must be .* "5s"/],
    ["reading less often than polling", { readIntervalMs: 9_000 }, /readIntervalMs \(9000\)/],
    ["no entries at all", { maxEntries: 0 }, /maxEntries must be .* 0/],
  ];
  it.each(cases)("that are wrong are refused at once: %s", async (_, options, message) => {
    const pool = new pg.Pool();
    expect(() => loosely(pool, options)).toThrow(message);
    await pool.end();
  });

  it("are refused without a driver", () => {
    expect(() => loosely(undefined)).toThrow(/expected a Pool of pg.*undefined/);
  });
});

describe("close", () => {
  it("drains what is in flight, what waits behind it and what was never sent", async () => {
    const { driver, owner, query, close } = await openPg(INSERTING);
    await migrate(owner, agentMetadataDdl());
    const eye = await openEye(String((owner as pg.Pool).options.connectionString));
    const metadata = createAgentMetadataBatcher(driver, { onMissing: "insert", maxEntries: 10 });
    await eye.query("BEGIN; LOCK TABLE agent_metadata");
    const ids = Array.from({ length: 25 }, () => randomUUID());
    for (const id of ids) await metadata.add(id, [{ key: "load", value: "1" }]);
    const closing = metadata.close(); // ten in flight, ten full, five gathering
    expect(metadata.stats().held).toBe(25);
    await eye.query("COMMIT");
    // The first ten left before `close`, and count for it as well.
    expect(await closing).toMatchObject({ items: 25, committed: 25, abandoned: 0, unknown: 0 });
    expect(await query("SELECT count(*)::int AS n FROM agent_metadata")).toEqual([{ n: 25 }]);
    await eye.close();
    await close();
  });
});

describe("watch", () => {
  async function replica(url: string, options: AgentMetadataOptions = {}) {
    const pool = new pg.Pool({ connectionString: url, max: 4 });
    pool.on("error", () => undefined);
    await migrate(pool, agentMetadataDdl());
    const listen = () => new pg.Client({ connectionString: url, application_name: "listener" });
    const pubsub = postgresPubsub(pool, { listen, observe: () => undefined });
    const metadata = createAgentMetadataBatcher(pool, {
      pubsub,
      onMissing: "insert",
      maxDelayMs: 10,
      observe: () => undefined,
      ...options,
    });
    const close = async (): Promise<void> => {
      await metadata.close();
      await pubsub.close();
      await pool.end();
    };
    return { metadata, close };
  }

  /** Follows an agent until `seen` says that it has seen enough. */
  async function follow(
    views: AsyncIterable<AgentMetadata>,
    seen: (view: AgentMetadata) => boolean,
  ): Promise<AgentMetadata> {
    for await (const view of views) if (seen(view)) return view;
    return expect.fail("the watch ended");
  }

  it("on one replica shows what another has written, long before it polls", async () => {
    const url = await freshDatabase();
    const [writer, reader] = [await replica(url), await replica(url, { pollIntervalMs: 60_000 })];
    await writer.metadata.add(A, [{ key: "load", value: "1" }]);
    await writer.metadata.flush();
    const views = reader.metadata.watch(A);
    const first = await views.next();
    expect(first.value?.entries).toMatchObject([{ key: "load", value: "1", error: "" }]);
    const at = new Date("2030-01-01T00:00:00.123Z");
    const changed = follow(views, ({ entries }) => entries.length === 2);
    await writer.metadata.add(A, [{ key: "disk", value: "full", error: "!", collectedAt: at }]);
    expect((await changed).entries[0]).toEqual({
      key: "disk",
      value: "full",
      error: "!",
      collectedAt: at,
    });
    await Promise.all([writer.close(), reader.close()]);
  });

  it("converges within one poll interval although its connection is killed every second", async () => {
    const url = await freshDatabase();
    const eye = await openEye(url);
    const pollIntervalMs = 5_000;
    const [writer, reader] = [await replica(url), await replica(url, { pollIntervalMs })];
    let last: AgentMetadata | undefined;
    const stop = new AbortController();
    const watching = (async () => {
      for await (const view of reader.metadata.watch(A, { signal: stop.signal })) last = view;
    })();
    let kills = 0;
    let value = 0;
    for (let second = 0; second < 30; second += 1) {
      for (let tenth = 0; tenth < 10; tenth += 1) {
        value += 1;
        await writer.metadata.add(A, [{ key: "load", value: String(value) }]);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const killed = await eye.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'listener' AND datname = current_database()`,
      );
      kills += killed.length;
    }
    await writer.metadata.flush();
    const landed = performance.now();
    while (last?.entries[0]?.value !== String(value) && performance.now() - landed < 20_000) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const took = performance.now() - landed;
    expect(last?.entries).toMatchObject([{ key: "load", value: String(value) }]);
    expect(took).toBeLessThan(pollIntervalMs);
    expect(kills).toBeGreaterThanOrEqual(25);
    stop.abort();
    await watching;
    await Promise.all([writer.close(), reader.close()]);
    await eye.close();
  });

  it("ends with the batcher, and by break", async () => {
    const url = await freshDatabase();
    const { metadata, close } = await replica(url);
    for await (const view of metadata.watch(A)) {
      expect(view).toEqual({ agentId: A, entries: [] });
      break;
    }
    const views = metadata.watch(A.toUpperCase());
    expect((await views.next()).value).toEqual({ agentId: A, entries: [] });
    const ended = views.next();
    await close();
    expect(await ended).toEqual({ done: true, value: undefined });
    expect(() => metadata.watch("nobody")).toThrow(/"nobody"/);
  });
});
