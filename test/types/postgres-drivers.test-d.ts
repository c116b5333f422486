/** Real drivers fit the structural types, and items get their types from shapes. */
import type { PGlite } from "@electric-sql/pglite";
import type pg from "pg";
import type postgres from "postgres";
import {
  type ComposedItem,
  compose,
  createBatcher,
  distinct,
  list,
  type Shape,
  sums,
  type Time,
} from "sluice";
import type { PgliteDatabase, PgPool, PostgresDriver, PostgresJs } from "sluice/postgres";
import type {
  ListenSource,
  PgliteListener,
  PgListenClient,
  PostgresJsListener,
} from "../../packages/sluice/src/sinks/postgres/listen-connection.ts";
import { composeSinks, insertRows, touch, upsertSums } from "sluice/postgres";

type Equal<A, B> = [A, B] extends [B, A] ? true : false;
type Fits<A, B> = [A] extends [B] ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

holds<Fits<pg.Pool, PgPool>>();
holds<Fits<postgres.Sql, PostgresJs>>();
holds<Fits<postgres.Sql<{ bigint: bigint }>, PostgresJs>>();
holds<Fits<PGlite, PgliteDatabase>>();
holds<Fits<pg.Pool | postgres.Sql | PGlite, PostgresDriver>>();
holds<Equal<Fits<pg.Client, PostgresDriver>, false>>();
holds<Equal<Fits<pg.PoolClient, PostgresDriver>, false>>();
holds<Equal<Fits<postgres.TransactionSql, PostgresDriver>, false>>();
holds<Equal<Fits<Record<string, never>, PostgresDriver>, false>>();

holds<Fits<pg.Client, PgListenClient>>();
holds<Fits<postgres.Sql, PostgresJsListener>>();
holds<Fits<PGlite, PgliteListener>>();
holds<Fits<() => pg.Client, ListenSource>>();
holds<Fits<() => postgres.Sql, ListenSource>>();
holds<Fits<postgres.Sql | PGlite, ListenSource>>();
holds<Fits<postgres.Sql<{ bigint: bigint }>, ListenSource>>();
holds<Equal<Fits<pg.Client, ListenSource>, false>>();
holds<Equal<Fits<pg.Pool, ListenSource>, false>>();
holds<Equal<Fits<() => pg.Pool, ListenSource>, false>>();
holds<Equal<Fits<string, ListenSource>, false>>();

type ItemOf<S> = S extends Shape<infer Item, infer _Batch, infer _Entry> ? Item : never;

const usage = sums({ key: ["client", "table"], sum: ["reads"], last: ["at"] });
type Usage = ItemOf<typeof usage>;
holds<Fits<{ client: string; table: string; reads: number; at: Time }, Usage>>();
holds<Fits<{ client: string; table: string }, Usage>>();
holds<Equal<Fits<{ client: string }, Usage>, false>>();
holds<Equal<Fits<{ client: string; table: number }, Usage>, false>>();
holds<Equal<Fits<{ client: string; table: string; reads: string }, Usage>, false>>();
holds<Equal<keyof Usage, "client" | "table" | "reads" | "at">>();

const seen = distinct({ key: ["client"], last: ["at"] });
type Seen = ItemOf<typeof seen>;
holds<Equal<keyof Seen, "client" | "at">>();
holds<Fits<{ client: string; at: Date }, Seen>>();

const both = compose({ usage, seen });
type Both = ItemOf<typeof both>;
holds<Equal<Both, ComposedItem<{ usage: typeof usage; seen: typeof seen }>>>();
holds<Fits<{ usage: { client: string; table: string } }, Both>>();
holds<Fits<{ seen: { client: string } }, Both>>();
holds<Equal<Fits<{ seen: { client: number } }, Both>, false>>();

export function fields(pool: pg.Pool): void {
  const batcher = createBatcher({ shape: usage, sink: upsertSums(pool, { table: "usage" }) });
  batcher.tryAdd({ client: "a", table: "t", reads: 1, at: new Date(0) });
  // @ts-expect-error: there is no such field.
  batcher.tryAdd({ client: "a", table: "t", writes: 1 });
  // @ts-expect-error: a sum is a number.
  batcher.tryAdd({ client: "a", table: "t", reads: "1" });

  interface Event {
    id: string;
    at: Date;
  }
  const events = createBatcher({
    shape: list<Event>(),
    sink: insertRows(pool, { table: "events", columns: { id: "uuid", at: "timestamptz" } }),
  });
  events.tryAdd({ id: "a", at: new Date(0) });

  const composed = createBatcher({
    shape: both,
    sink: composeSinks({
      usage: upsertSums(pool, { table: "usage" }),
      seen: touch(pool, { table: "clients" }),
    }),
  });
  composed.tryAdd({ usage: { client: "a", table: "t" }, seen: { client: "a" } });
  // @ts-expect-error: there is no such part.
  composed.tryAdd({ touched: { client: "a" } });

  // @ts-expect-error: a part that the shape does not have.
  createBatcher({ shape: both, sink: composeSinks({ other: touch(pool, { table: "clients" }) }) });
  // @ts-expect-error: an option that does not exist.
  upsertSums(pool, { tabel: "usage" });
}
