import type { Sink } from "sluice";
import {
  composeSinks,
  insertRows,
  type PgPool,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import { type Fact, Facts } from "../facts.ts";
import type { OwnedClock } from "../virtual-time.ts";
import type { AppliedBatch, Client, ModelStore, World } from "../world.ts";
import { Connection } from "./connection.ts";
import { Locks } from "./locks.ts";
import { Tables } from "./tables.ts";

/** What a writer has landed, and what was left out of that. */
export interface LedgerRow {
  readonly seq: number;
  readonly rejected: readonly { readonly index: number; readonly state: string | null }[];
  readonly updatedAt: number;
}

/** A PostgreSQL in which time and faults are under control: the sinks' own SQL, its locks and its ledger. */
export class PostgresStore implements ModelStore {
  readonly applied: AppliedBatch[] = [];
  readonly ledger = new Map<string, LedgerRow>();
  readonly tables: Tables;
  readonly locks: Locks;
  readonly clock: OwnedClock;
  readonly world: World;
  readonly #kind: string;
  readonly #inserts: boolean;
  /** Whether constraints are looked at only when a transaction commits, unless it asks. */
  readonly deferred: boolean;
  /** Whether a pooler is in between that knows nothing of prepared statements. */
  readonly pooled: boolean;
  /** How many connections a program may have. */
  readonly #most: number;
  readonly #connections = new Map<Client, Set<Connection>>();

  constructor(kind: string, world: World) {
    this.#kind = kind;
    this.world = world;
    this.clock = world.time.clock();
    this.locks = new Locks(this.clock);
    this.tables = new Tables((what) => world.fail(what));
    this.#inserts = world.fates.coin();
    this.deferred = world.fates.coin();
    this.pooled = world.fates.pauses();
    this.#most = world.fates.pick([1, 2, 10, 10]);
  }

  sink(client: Client): Sink<never> {
    return this.#sink(this.#pool(client));
  }

  disconnect(client: Client): void {
    for (const connection of this.#connections.get(client) ?? []) connection.break();
  }

  audit(): readonly string[] {
    const wrong: string[] = [];
    if (this.locks.deadlocks > 0) wrong.push(`${this.locks.deadlocks} deadlocks`);
    const [held, told] = [new Facts(), new Facts()];
    held.add(this.tables.facts());
    for (const { facts } of this.applied) told.add(facts);
    for (const name of new Set([...held.names, ...told.names])) {
      const [a, b] = [held.of(name), told.of(name)];
      if (a.times !== b.times || a.sum !== b.sum)
        wrong.push(
          `${name} is ${a.times}, ${a.sum} in the table and ${b.times}, ${b.sum} was applied`,
        );
      const newest = Math.max(...b.versions.keys());
      if (b.versions.size > 0 && !a.versions.has(newest))
        wrong.push(`${name} has versions ${[...a.versions.keys()].join()} and not ${newest}`);
    }
    return wrong;
  }

  /** A transaction has committed. */
  commit(name: string | undefined, facts: readonly Fact[]): void {
    if (name === undefined) return;
    this.applied.push({ writer: name.slice(0, name.indexOf("#")), name, facts });
    this.world.note(() => `store: ${name} committed ${facts.map(({ key }) => key).join(" ")}`);
  }

  #sink(pool: PgPool): Sink<never> {
    switch (this.#kind) {
      case "sums":
        return upsertSums(pool, { table: "usage" });
      case "distinct":
        return touch(pool, { table: "clients" });
      case "latest":
        return writeLatest(pool, {
          table: "metadata",
          onMissing: this.#inserts ? "insert" : "ignore",
        });
      case "compose":
        return composeSinks({
          usage: upsertSums(pool, { table: "usage" }),
          seen: touch(pool, { table: "clients" }),
        });
      default:
        return insertRows(pool, {
          table: "events",
          columns: { id: "bigint", k: "text", w: "bigint" },
        });
    }
  }

  #pool(client: Client): PgPool {
    const open = new Set<Connection>();
    const waiting: (() => void)[] = [];
    this.#connections.set(client, open);
    const connect = (callback: Parameters<PgPool["connect"]>[0]): void => {
      if (!client.alive) return;
      if (open.size >= this.#most) {
        waiting.push(() => connect(callback));
        return;
      }
      const closed = (): void => {
        if (open.delete(connection)) waiting.shift()?.();
      };
      const connection = new Connection(this, client, closed);
      open.add(connection);
      void connection.open().then(
        () => callback?.(undefined, connection),
        (error: Error) => {
          closed();
          callback?.(error, undefined);
        },
      );
    };
    return { connect };
  }
}
