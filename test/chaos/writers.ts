/** Who writes into PostgreSQL: each kind of traffic by each driver, straight to the server and pooled. */
import { setImmediate as turn } from "node:timers/promises";
import type { Observe, Stats } from "sluice";
import { seededRandom } from "sluice/testing";
import { connectors } from "../integration/database.ts";
import type { Place } from "./plan.ts";
import type { Servers } from "./servers.ts";
import type { Tally } from "./tally.ts";
import type { Traffic, Writer } from "./traffic.ts";

export const LANES = 2;
const WAYS = ["server", "pooler"] as const satisfies readonly Place[];
const DRIVERS = ["pg", "postgres"] as const;
const DRAIN_MS = 120_000;

const LIMITS = {
  lanes: LANES,
  maxEntries: 8,
  maxDelayMs: 0,
  maxBufferedEntries: 32,
  // The server has four fifths of it: a statement that takes longer times out.
  writeTimeoutMs: 1_000,
  deliveryTimeoutMs: Infinity,
  retry: { baseDelayMs: 1, maxDelayMs: 50, circuitAfter: 1_000 },
};

interface Writing {
  readonly seed: number;
  readonly traffic: readonly Traffic[];
  readonly ledger: boolean;
  readonly tally: Tally;
  readonly observe: Observe;
}

/** Opens a writer for each; `end` ends their connections. */
export function openWriters(
  { proxies }: Servers,
  { seed, traffic, ledger, tally, observe }: Writing,
): { readonly writers: readonly Writer[]; readonly end: () => Promise<unknown> } {
  const connections = WAYS.flatMap((way) =>
    DRIVERS.map((driver) => ({
      name: `${driver}, ${way}`,
      // One driver is told what the pooler cannot do; the other has to find out.
      prepare: way === "server" || driver === "pg",
      ...connectors[driver](proxies[way].url, LANES * traffic.length, way === "server"),
    })),
  );
  const writers = connections.flatMap(({ name, prepare, driver }, number) =>
    traffic.map((kind, index) =>
      kind.open({
        driver,
        sink: { prepare, ...(ledger ? {} : { ledger: false }) },
        options: { ...LIMITS, name: `${kind.name} by ${name}`, observe },
        number,
        writers: connections.length,
        random: seededRandom(seed * 1_000 + number * traffic.length + index),
        tally,
      }),
    ),
  );
  return { writers, end: () => Promise.all(connections.map(({ end }) => end())) };
}

/** Adds until it is over, some items at once and then a pause: batches of one entry and of many. */
export async function write(
  { batcher, add }: Writer,
  seed: number,
  isOver: () => boolean,
): Promise<Stats> {
  const random = seededRandom(seed);
  while (!isOver()) {
    const wait = random() < 0.25;
    await add(wait);
    if (wait) await turn();
  }
  return (await batcher.close({ timeoutMs: DRAIN_MS })).stats;
}
