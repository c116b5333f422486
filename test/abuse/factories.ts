/** Every public factory with arguments that it takes. Tests put something else in the place of each. */
import { PassThrough } from "node:stream";
import * as sluice from "sluice";
import * as agentMetadata from "sluice/agent-metadata";
import * as clickhouse from "sluice/clickhouse";
import * as clientStats from "sluice/client-stats";
import * as http from "sluice/http";
import * as cache from "sluice/lru-cache";
import * as postgres from "sluice/postgres";
import * as pubsub from "sluice/pubsub";
import * as statsig from "sluice/statsig";
import * as testing from "sluice/testing";

/** A factory that a user can call. */
export interface Factory {
  /** As it is imported: "sluice/postgres: touch". */
  readonly name: string;
  /** Calls it as JavaScript may: with anything. */
  readonly make: (...args: readonly unknown[]) => unknown;
  /** Arguments that it takes, with every option that it has. */
  readonly args: () => readonly unknown[];
}

/** What each subpath exports. */
export const EXPORTS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  sluice,
  "sluice/postgres": postgres,
  "sluice/client-stats": clientStats,
  "sluice/clickhouse": clickhouse,
  "sluice/pubsub": pubsub,
  "sluice/agent-metadata": agentMetadata,
  "sluice/http": http,
  "sluice/lru-cache": cache,
  "sluice/statsig": statsig,
  "sluice/testing": testing,
};

const answer = async (): Promise<unknown> => ({ rows: [] });
/** A driver that answers everything with nothing. */
class Pool implements postgres.PgPool {
  async connect(): Promise<postgres.PgClient> {
    return { query: async () => ({ rows: [] }), release: () => undefined };
  }
}
const pool = new Pool();
const transport: clickhouse.Transport = {
  query: async () => [],
  command: async () => undefined,
  insert: async () => undefined,
};
const client: clickhouse.ClickHouseClient = {
  exec: async () => ({ stream: new PassThrough().end() }),
};
const chdb = { queryAsync: async () => ({ text: () => "" }) };

const keyed = { key: ["k"], last: ["at"], maxKeyBytes: 100 };
const clock = () => testing.manualClock();
const watched = () => ({ clock: clock(), random: () => 0.5, observe: () => undefined });
const retry = { baseDelayMs: 1, maxDelayMs: 10, maxAttempts: 5 };
const limits = () => ({
  maxEntries: 10,
  maxBytes: 1_000,
  maxDelayMs: 10,
  dispatchWhenIdle: false,
  maxBufferedEntries: 100,
  maxBufferedBytes: 10_000,
  overflow: "wait",
  retry: { ...retry, circuitAfter: 3 },
  deliveryTimeoutMs: 1_000,
  writeTimeoutMs: 100,
  closeTimeoutMs: 1_000,
  name: "abused",
  deadLetter: () => undefined,
  ...watched(),
});
const laned = () => ({ ...limits(), lanes: 2 });
const sink = { ledger: "ledger", prepare: true, classify: () => "retryable" };
const columns = { columns: { k: "key" }, types: { k: "varchar" } };
const insert = {
  table: "events",
  createTable: { orderBy: ["id"], partitionBy: "id", engine: "MergeTree" },
  strict: false,
  allowExtraColumns: true,
  settings: { max_threads: 1 },
  classify: clickhouse.classifyClickHouse,
};
const upsert = () => postgres.upsertSums(pool, { table: "usage" });
const calling = { maxInFlight: 4, callTimeoutMs: 100, fetch: answer };

const SUBJECTS: Readonly<Record<string, () => readonly unknown[]>> = {
  "sluice: createBatcher": () => [{ ...laned(), shape: sluice.list(), sink: answer }],
  "sluice: createCoalescer": () => [
    {
      name: "abused",
      key: String,
      group: String,
      resolve: async () => new Map(),
      missing: "undefined",
      maxEntries: 10,
      maxDelayMs: 10,
      dispatchWhenIdle: false,
      maxBufferedEntries: 100,
      maxInFlight: 4,
      overflow: "wait",
      callTimeoutMs: 100,
      deliveryTimeoutMs: 1_000,
      closeTimeoutMs: 1_000,
      retry,
      cache: cache.lruCache(),
      ...watched(),
    },
  ],
  "sluice: list": () => [{ check: () => undefined, bytes: () => 1, codec: undefined }],
  "sluice: calls": () => [{ group: String }],
  "sluice: sums": () => [{ ...keyed, sum: ["n"] }],
  "sluice: distinct": () => [keyed],
  "sluice: latest": () => [
    { key: ["k"], value: ["v"], version: "at", maxKeyBytes: 100, maxValueBytes: 100 },
  ],
  "sluice: compose": () => [
    { a: sluice.sums({ ...keyed, sum: ["n"] }), b: sluice.distinct(keyed) },
  ],
  "sluice/postgres: upsertSums": () => [
    pool,
    { table: "usage", updatedAt: "updated_at", ...columns, ...sink },
  ],
  "sluice/postgres: touch": () => [
    pool,
    {
      table: "seen",
      set: "at",
      caseInsensitive: true,
      whereNull: "deleted_at",
      updatedAt: "updated_at",
      ...columns,
      ...sink,
    },
  ],
  "sluice/postgres: writeLatest": () => [
    pool,
    { table: "settings", onMissing: "insert", ...columns, ...sink },
  ],
  "sluice/postgres: insertRows": () => [
    pool,
    { table: "rows", columns: { id: "bigint" }, onConflict: "nothing", key: ["id"], ...sink },
  ],
  "sluice/postgres: composeSinks": () => [{ a: upsert() }],
  "sluice/postgres: publishing": () => [
    upsert(),
    {
      publisher: pubsub.createPublisher(pubsub.localPubsub(), { channel: "changes" }),
      keys: () => [],
      atomic: false,
    },
  ],
  "sluice/postgres: postgresPubsub": () => [
    pool,
    { listen: () => undefined, heartbeatMs: 1_000, ...watched() },
  ],
  "sluice/postgres: migrate": () => [pool, "SELECT 1"],
  "sluice/postgres: ledgerDdl": () => ["ledger"],
  "sluice/postgres: reapLedger": () => [pool, { table: "ledger", olderThanMs: 604_800_000 }],
  "sluice/postgres: sumsDdl": () => [
    { table: "usage", key: { k: "text" }, sum: ["n"], last: ["at"], updatedAt: "updated_at" },
  ],
  "sluice/client-stats: createClientStatsBatcher": () => [
    pool,
    { ...laned(), ...sink, clientNames: "exact", tables: { clients: "clients" } },
  ],
  "sluice/client-stats: clientStatsDdl": () => [
    { clientStatistics: "a", clientTableStatistics: "b", clients: "c" },
  ],
  "sluice/agent-metadata: createAgentMetadataBatcher": () => [
    pool,
    {
      ...laned(),
      ...sink,
      table: "agent_metadata",
      onMissing: "insert",
      pubsub: pubsub.localPubsub(),
      channel: "changes",
      atomic: false,
      pollIntervalMs: 1_000,
      readIntervalMs: 10,
    },
  ],
  "sluice/agent-metadata: agentMetadataDdl": () => [{ table: "agent_metadata", unlogged: true }],
  "sluice/clickhouse: rows": () => [
    { id: clickhouse.UInt64 },
    { bufferBytes: 4_096, bufferShrinkBytes: 8_192 },
  ],
  "sluice/clickhouse: insertRows": () => [transport, { ...insert, clock: clock() }],
  "sluice/clickhouse: createRowBatcher": () => [
    transport,
    {
      ...laned(),
      ...insert,
      columns: { id: clickhouse.UInt64 },
      bufferBytes: 4_096,
      bufferShrinkBytes: 8_192,
    },
  ],
  "sluice/clickhouse: toTransport": () => [transport],
  "sluice/clickhouse: clientTransport": () => [client],
  "sluice/clickhouse: chdbTransport": () => [chdb],
  "sluice/pubsub: localPubsub": () => [{ observe: () => undefined }],
  "sluice/pubsub: createPublisher": () => {
    const { dispatchWhenIdle: _, ...rest } = laned();
    return [
      pubsub.localPubsub(),
      { ...rest, overflow: "drop-oldest", channel: "changes", pack: pubsub.packTexts },
    ];
  },
  "sluice/http: createJsonClient": () => {
    const { clock: time, random, observe, name, closeTimeoutMs, deliveryTimeoutMs } = limits();
    return [
      {
        baseUrl: "http://127.0.0.1:1/api",
        headers: { authorization: "Bearer of-a-token" },
        maxResponseBytes: 1_000,
        maxRetryAfterMs: 1_000,
        name,
        random,
        observe,
        closeTimeoutMs,
        deliveryTimeoutMs,
        clock: time,
        ...calling,
        retry,
      },
    ];
  },
  "sluice/lru-cache: lruCache": () => [{ maxEntries: 10, ttlMs: 1_000 }],
  "sluice/statsig: createStatsigClient": () => [
    {
      apiKey: "a-key-of-a-test",
      baseUrl: "http://127.0.0.1:1",
      eventsBaseUrl: "http://127.0.0.1:1",
      timeoutMs: 100,
      retryAttempts: 1,
      retryDelayMs: 1,
      cacheTtlMs: 1_000,
      cacheMaxEntries: 10,
      batchSize: 10,
      batchFlushIntervalMs: 10,
      offlineFallback: true,
      exposureLoggingDisabled: true,
      sdkType: "test",
      sdkVersion: "1",
      eventBatchSize: 10,
      eventFlushIntervalMs: 10,
      maxBufferedEvents: 100,
      maxInFlight: 4,
      maxBufferedEntries: 100,
      maxResponseBytes: 1_000,
      closeTimeoutMs: 1_000,
      fetch: answer,
      ...watched(),
    },
  ],
  "sluice/testing: memorySink": () => [{ ledger: true }],
  "sluice/testing: faultySink": () => [
    testing.memorySink(),
    {
      random: () => 0.5,
      fail: 0.1,
      loseAck: 0.1,
      hang: 0.1,
      zombie: 0.1,
      zombieMs: 10,
      clock: clock(),
      poison: () => undefined,
    },
  ],
  "sluice/testing: manualClock": () => [{ epochMs: 0 }],
  "sluice/testing: seededRandom": () => [1],
};

export const FACTORIES: readonly Factory[] = Object.entries(SUBJECTS).map(([name, args]) => {
  const [subpath = "", exported = ""] = name.split(": ");
  const make = EXPORTS[subpath]?.[exported];
  if (typeof make !== "function") throw new Error(`${name} is not exported`);
  return { name, args, make: (...given) => Reflect.apply(make, undefined, given) as unknown };
});

/** The ways to put `hostile` in the place of an argument, or of one of its options. */
export function* replacements(
  args: readonly unknown[],
  hostile: unknown,
): Generator<readonly [place: string, args: readonly unknown[]]> {
  for (const [index, given] of args.entries()) {
    yield [`argument ${index + 1}`, args.with(index, hostile)];
    if (Object.getPrototypeOf(given) !== Object.prototype) continue;
    for (const option of Object.keys(given as object)) {
      yield [option, args.with(index, { ...(given as object), [option]: hostile })];
    }
  }
}
