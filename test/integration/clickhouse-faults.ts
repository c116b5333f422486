/** What the tests of rows into ClickHouse share: clients, and a transport that loses answers. */
import { createClient } from "@clickhouse/client";
import { afterAll } from "vitest";
import type { InsertRequest, Transport } from "sluice/clickhouse";
import { WRITER } from "./chdb.ts";
import type { ClickHouseFace } from "./clickhouse-face.ts";

const clients: ReturnType<typeof createClient>[] = [];
afterAll(() => Promise.all(clients.map((client) => client.close())));

/** A client of a face or a server, closed when the tests of the file have run. */
export function connect(
  url: string,
  options: Parameters<typeof createClient>[0] = {},
): ReturnType<typeof createClient> {
  const client = createClient({ url, log: { level: 127 }, ...options });
  clients.push(client);
  return client;
}

/** A client that may do what docs/guides/clickhouse.md names, and nothing else. */
export const connectWriter = (
  { url }: ClickHouseFace,
  options: Parameters<typeof createClient>[0] = {},
): ReturnType<typeof createClient> => connect(url, { role: WRITER, ...options });

/** What becomes of an insert: it never gets there, or its answer does not come back. */
export type Loss = "before" | "after" | undefined;

/** A transport whose inserts suffer what `fate` says, once it has said it. */
export interface LossyTransport extends Transport {
  /** Every insert that was sent, in order. */
  readonly inserts: InsertRequest[];
  /** Waits for the inserts that go on after the sink has given them up. */
  settled(): Promise<void>;
}

export function lossy(
  transport: Transport,
  fate: (request: InsertRequest) => Loss | Promise<Loss>,
): LossyTransport {
  const inserts: InsertRequest[] = [];
  const running = new Set<Promise<void>>();
  const insert = async (request: InsertRequest): Promise<void> => {
    // What is on its way is called back by nobody, and no longer in the sink's buffers.
    const body = request.body.map((chunk) => Buffer.from(chunk));
    const { signal } = new AbortController();
    const loss = await fate(request);
    if (loss !== "before") await transport.insert({ ...request, body, signal });
    if (loss !== undefined) throw new Error("the connection was lost");
  };
  return {
    inserts,
    casts: transport.casts,
    query: (sql, options) => transport.query(sql, options),
    command: (sql, options) => transport.command(sql, options),
    insert: async (request) => {
      inserts.push(request);
      const done = insert(request);
      const ended = done.catch(() => undefined).finally(() => running.delete(ended));
      running.add(ended);
      await done;
    },
    settled: async () => {
      await Promise.all(running);
    },
  };
}

/** A promise, and the function that keeps it. */
export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let keep = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    keep = resolve;
  });
  return { opened, open: () => keep() };
}
