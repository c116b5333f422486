import { createBatcher, list } from "sluice";
import { agentMetadataDdl, createAgentMetadataBatcher } from "sluice/agent-metadata";
import { clientStatsDdl, createClientStatsBatcher } from "sluice/client-stats";
import {
  createRowBatcher,
  DateTime,
  type RowBatcher,
  String,
  UInt16,
  UInt64,
} from "sluice/clickhouse";
import { insertRows, migrate, postgresPubsub } from "sluice/postgres";
import { AGENT_METADATA, type MetadataValue } from "../traffic/metadata-tally.ts";
import { ACCESS_LOG } from "../traffic/row-tally.ts";
import type { RowStore } from "./clickhouse.ts";
import type { Database } from "./database.ts";
import type { Watch } from "./follower.ts";
import { createObserver, type Observe } from "./observer.ts";
import type { ReplayTarget } from "./replay.ts";
import type { MetadataFigures, RowFigures, SystemFigures } from "./summary.ts";

/** The library at work: what a gateway would hold for its databases. */
export interface Landing extends Omit<ReplayTarget, "ask"> {
  /** Views of an agent's metadata; they end with the landing. */
  readonly watch: Watch;
  /**
   * Drains and ends, for at most this long. What did not land by then shows in the figures. Between
   * the two, watchers still see what has landed: `landed` is given what may be left of the time.
   * Where the database hangs, giving up its notifications and its listener takes up to 3 s more.
   */
  close(timeoutMs: number, landed?: (timeoutMs: number) => Promise<void>): Promise<void>;
  figures(): {
    readonly clientStats: SystemFigures;
    readonly agentMetadata: Omit<MetadataFigures, "views">;
    readonly accessRows: RowFigures;
  };
}

/** Where things land. Without a ClickHouse, rows go nowhere. */
export interface LandingPlaces {
  readonly pool: Database["pool"];
  readonly listen: Database["listen"];
  readonly rowClient: RowStore["client"] | undefined;
  /** Is told, once per database and kind, what goes wrong. */
  readonly warn: (words: string) => void;
}

/** Types that every ClickHouse reads. */
const ACCESS_COLUMNS = {
  at: DateTime,
  client: String,
  method: String,
  path: String,
  status: UInt16,
  bytes: UInt64,
  referrer: String,
  user_agent: String,
};
const NO_ROWS: RowFigures = {
  items: 0,
  batches: 0,
  bytes: 0,
  committed: 0,
  deadLettered: 0,
  dropped: 0,
  unknown: 0,
};

/** Batches hold the keys of most logs, so that they fold; and short runs have something to watch. */
const METADATA_LIMITS = { maxEntries: 5_000, maxDelayMs: 500, readIntervalMs: 100 };

/** Creates the tables of the statistics and of the metadata where they are missing. */
export async function prepareTables(pool: Database["pool"]): Promise<void> {
  await migrate(pool, clientStatsDdl(), agentMetadataDdl({ table: AGENT_METADATA }));
}

/** Creates the table of the rows where it is missing, and compares it where it is not. */
export async function prepareRows(client: RowStore["client"]): Promise<void> {
  const rows = openRowBatcher(client, () => undefined);
  try {
    await rows.ready();
  } finally {
    await rows.close();
  }
}

/** Opens the batchers on prepared tables. */
export function openLanding({ pool, listen, rowClient, warn }: LandingPlaces): Landing {
  const observe = createObserver("PostgreSQL", warn);
  const statistics = openStatistics(pool, observe);
  const metadata = openMetadata(pool, listen, observe);
  const rows =
    rowClient === undefined ? undefined : openRows(rowClient, createObserver("ClickHouse", warn));
  return {
    register: statistics.register,
    record: statistics.record,
    describe: metadata.describe,
    log: rows?.log,
    watch: metadata.watch,
    async close(timeoutMs, landed) {
      const endsAt = performance.now() + timeoutMs;
      const left = (): number => Math.max(0, endsAt - performance.now());
      await Promise.all([
        statistics.close(timeoutMs),
        rows?.close(timeoutMs),
        metadata.flush(left()),
      ]);
      await landed?.(left());
      await metadata.close(left());
    },
    figures: () => ({
      clientStats: statistics.figures(),
      agentMetadata: metadata.figures(),
      accessRows: rows?.figures() ?? NO_ROWS,
    }),
  };
}

function openStatistics(pool: Database["pool"], observe: Observe) {
  const registrar = createBatcher({
    name: "clients",
    shape: list<{ readonly client_name: string }>(),
    sink: insertRows(pool, {
      table: "clients",
      columns: { client_name: "text" },
      onConflict: "nothing",
      key: ["client_name"],
    }),
    observe,
  });
  // Names are kept as they are: a log has already said exactly who it was.
  const statistics = createClientStatsBatcher(pool, {
    clientNames: "exact",
    observe,
  });

  return {
    async register(clients: readonly string[]): Promise<void> {
      for (const client of clients) await registrar.add({ client_name: client });
      await registrar.flush();
    },
    record: statistics.record,
    async close(timeoutMs: number): Promise<void> {
      await Promise.all([statistics.close({ timeoutMs }), registrar.close({ timeoutMs })]);
    },
    figures(): SystemFigures {
      const stats = statistics.stats();
      return {
        items: stats.accepted,
        entries: stats.entries,
        batches: stats.batches,
        statements: stats.statements,
        committed: stats.committed,
        deadLettered: stats.deadLettered,
        dropped: stats.dropped,
        unknown: stats.unknown,
      };
    },
  };
}

function openMetadata(pool: Database["pool"], listen: Database["listen"], observe: Observe) {
  const pubsub = postgresPubsub(pool, { listen, observe });
  const metadata = createAgentMetadataBatcher(pool, {
    table: AGENT_METADATA,
    onMissing: "insert",
    pubsub,
    ...METADATA_LIMITS,
    observe,
  });
  const watch: Watch = (agentId, signal) => metadata.watch(agentId, { signal });

  return {
    describe: ({ agentId, key, value, at }: MetadataValue): Promise<void> =>
      metadata.add(agentId, [{ key, value, collectedAt: at }]),
    watch,
    async flush(timeoutMs: number): Promise<void> {
      // What fell short shows in the figures.
      await metadata.flush({ timeoutMs }).catch(() => undefined);
    },
    async close(timeoutMs: number): Promise<void> {
      await metadata.close({ timeoutMs });
      await pubsub.close();
    },
    figures() {
      const stats = metadata.stats();
      return {
        items: stats.accepted,
        entries: stats.entries,
        superseded: stats.superseded,
        batches: stats.batches,
        notifications: stats.notifications,
        committed: stats.committed,
        changed: stats.changed,
        stale: stats.stale,
        missing: stats.missing,
        deadLettered: stats.deadLettered,
        dropped: stats.dropped,
        unknown: stats.unknown,
      };
    },
  };
}

function openRows(client: RowStore["client"], observe: Observe) {
  let bytes = 0;
  const rows = openRowBatcher(client, (event) => {
    if (event.type === "committed") bytes += event.bytes;
    observe(event);
  });

  return {
    log: rows.insert,
    async close(timeoutMs: number): Promise<void> {
      await rows.close({ timeoutMs });
    },
    figures(): RowFigures {
      const stats = rows.stats();
      return {
        items: stats.accepted,
        batches: stats.batches,
        bytes,
        committed: stats.committed,
        deadLettered: stats.deadLettered,
        dropped: stats.dropped,
        unknown: stats.unknown,
      };
    },
  };
}

function openRowBatcher(
  client: RowStore["client"],
  observe: Observe,
): RowBatcher<typeof ACCESS_COLUMNS> {
  return createRowBatcher(client, {
    table: ACCESS_LOG,
    columns: ACCESS_COLUMNS,
    createTable: { orderBy: ["at"] },
    observe,
  });
}
