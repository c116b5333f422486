import { createBatcher, list, type SluiceEvent } from "sluice";
import { clientStatsDdl, createClientStatsBatcher } from "sluice/client-stats";
import {
  createRowBatcher,
  DateTime,
  type RowBatcher,
  String,
  UInt16,
  UInt64,
} from "sluice/clickhouse";
import { insertRows, migrate } from "sluice/postgres";
import { ACCESS_LOG } from "../traffic/row-tally.ts";
import type { RowStore } from "./clickhouse.ts";
import type { Database } from "./database.ts";
import { messageOf } from "./failure.ts";
import type { ReplayTarget } from "./replay.ts";
import type { RowFigures, SystemFigures } from "./summary.ts";

/** The library at work: what a gateway would hold for its databases. */
export interface Landing extends ReplayTarget {
  /** Drains, for at most this long. What did not land by then shows in the figures. */
  close(timeoutMs: number): Promise<void>;
  figures(): { readonly clientStats: SystemFigures; readonly accessRows: RowFigures };
}

/** Where things land. Without a ClickHouse, rows go nowhere. */
export interface LandingPlaces {
  readonly pool: Database["pool"];
  readonly rowClient: RowStore["client"] | undefined;
  /** Is told, once per database and kind, what goes wrong. */
  readonly warn: (words: string) => void;
}

type Observe = (event: SluiceEvent) => void;

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

/** Creates the tables of the statistics where they are missing. */
export async function prepareTables(pool: Database["pool"]): Promise<void> {
  await migrate(pool, clientStatsDdl());
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
export function openLanding({ pool, rowClient, warn }: LandingPlaces): Landing {
  const statistics = openStatistics(pool, createObserver("PostgreSQL", warn));
  const rows =
    rowClient === undefined ? undefined : openRows(rowClient, createObserver("ClickHouse", warn));
  return {
    register: statistics.register,
    record: statistics.record,
    log: rows?.log,
    async close(timeoutMs) {
      await Promise.all([statistics.close(timeoutMs), rows?.close(timeoutMs)]);
    },
    figures: () => ({
      clientStats: statistics.figures(),
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
  const statistics = createClientStatsBatcher(pool, { clientNames: "exact", observe });

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

function createObserver(database: string, warn: (words: string) => void): Observe {
  const said = new Set<SluiceEvent["type"]>();
  return (event) => {
    const words = describe(database, event);
    if (words === undefined || said.has(event.type)) return;
    said.add(event.type);
    warn(words);
  };
}

function describe(database: string, event: SluiceEvent): string | undefined {
  switch (event.type) {
    case "retried":
      return `${database} fails, trying again: ${messageOf(event.error)}`;
    case "dead-lettered":
      return `${database} refused an entry: ${messageOf(event.error)}`;
    case "unknown":
      return `a batch for ${database} ended without an answer: ${messageOf(event.error ?? "time ran out")}`;
    case "warning":
      return messageOf(event.error);
    default:
      return undefined;
  }
}
