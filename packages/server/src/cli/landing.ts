import { createBatcher, list, type SluiceEvent } from "sluice";
import { clientStatsDdl, createClientStatsBatcher } from "sluice/client-stats";
import { insertRows, migrate } from "sluice/postgres";
import type { Database } from "./database.ts";
import { messageOf } from "./failure.ts";
import type { ReplayTarget } from "./replay.ts";
import type { SystemFigures } from "./summary.ts";

/** The library at work: what a gateway would hold for its database. */
export interface Landing extends ReplayTarget {
  /** Drains, for at most this long. What did not land by then shows in the figures. */
  close(timeoutMs: number): Promise<void>;
  figures(): SystemFigures;
}

/** Creates the tables where they are missing. */
export async function prepareTables(pool: Database["pool"]): Promise<void> {
  await migrate(pool, clientStatsDdl());
}

/** Opens the batchers on prepared tables. `warn` is told, once per kind, what goes wrong. */
export function openLanding(pool: Database["pool"], warn: (words: string) => void): Landing {
  const observe = createObserver(warn);
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
    async register(clients) {
      for (const client of clients) await registrar.add({ client_name: client });
      await registrar.flush();
    },
    record: (activity) => statistics.record(activity),
    async close(timeoutMs) {
      await Promise.all([statistics.close({ timeoutMs }), registrar.close({ timeoutMs })]);
    },
    figures() {
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

function createObserver(warn: (words: string) => void): (event: SluiceEvent) => void {
  const said = new Set<SluiceEvent["type"]>();
  return (event) => {
    const words = describe(event);
    if (words === undefined || said.has(event.type)) return;
    said.add(event.type);
    warn(words);
  };
}

function describe(event: SluiceEvent): string | undefined {
  switch (event.type) {
    case "retried":
      return `the database fails, trying again: ${messageOf(event.error)}`;
    case "dead-lettered":
      return `the database refused an entry: ${messageOf(event.error)}`;
    case "unknown":
      return `a batch ended without an answer: ${messageOf(event.error)}`;
    case "warning":
      return messageOf(event.error);
    default:
      return undefined;
  }
}
