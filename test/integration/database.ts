/**
 * Databases for integration tests: each test file works in one of its own.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";
import postgres from "postgres";
import type { PostgresDriver, Row } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { inject } from "vitest";
import { openPglite } from "../support/pglite.ts";
import { type Grants, leastPrivileged } from "./privileges.ts";

/** A database, the driver under test, and a way to look that does not go through it. */
export interface Database {
  /** Of a role that has the privileges which the guide names, and no others; PGlite knows one role. */
  readonly driver: PostgresDriver;
  /** Of the role that tables belong to. */
  readonly owner: PostgresDriver;
  query(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** Creates an empty database on the test server and gives its URL. */
export async function freshDatabase(): Promise<string> {
  const url = inject("postgresUrl");
  const name = `t_${randomUUID().replaceAll("-", "")}`;
  const admin = new pg.Client(url);
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  await admin.end();
  return url.replace(/\/postgres$/, `/${name}`);
}

/** A connection of its own to look with, and to do harm with. */
export interface Eye {
  query(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** Opens a connection that no sink uses. */
export async function openEye(url: string): Promise<Eye> {
  const client = new pg.Client(url);
  client.on("error", () => undefined);
  await client.connect();
  return {
    query: async (text, values = []) => (await client.query(text, values)).rows as Row[],
    close: () => client.end(),
  };
}

/** A driver and how to end it. */
export interface Connected {
  readonly driver: PostgresDriver;
  end(): Promise<void>;
}

/** The drivers that go over the network, by name, for a server at a URL. */
export const connectors: Readonly<
  Record<"pg" | "postgres", (url: string, max?: number, prepare?: boolean) => Connected>
> = {
  pg: (url, max = 8) => {
    const pool = new pg.Pool({ connectionString: url, max });
    pool.on("error", () => undefined); // idle connections that a test kills
    return { driver: pool, end: () => pool.end() };
  },
  postgres: (url, max = 8, prepare = true) => {
    const sql = postgres(url, {
      max,
      prepare,
      onnotice: () => undefined,
      backoff: () => 0.001,
      // It asks for types as it connects, and nobody can catch the rejection if it is killed then.
      fetch_types: false,
    });
    return { driver: sql, end: () => sql.end({ timeout: 0.1 }) };
  },
};

async function onServer(
  connect: (url: string) => Connected,
  grants: Grants = { upsertSums: ["%"] },
): Promise<Database> {
  const url = await freshDatabase();
  const eye = await openEye(url);
  const own = new URL(url);
  own.username = `writer_${own.pathname.slice(1)}`;
  own.password = "writer";
  await eye.query(leastPrivileged(own.username, grants));
  const [{ driver, end }, owner] = [connect(own.href), connect(url)];
  return {
    driver,
    owner: owner.driver,
    query: eye.query,
    close: async () => {
      await Promise.all([eye.close(), end(), owner.end()]);
    },
  };
}

/** Every driver that `sluice/postgres` works with. */
export const databases: Readonly<Record<string, (grants?: Grants) => Promise<Database>>> = {
  pg: (grants) => onServer(connectors.pg, grants),
  postgres: (grants) => onServer(connectors.postgres, grants),
  PGlite: async () => {
    const database = await openPglite();
    return {
      driver: database,
      owner: database,
      query: async (text, values = []) => (await database.query<Row>(text, values)).rows,
      close: () => database.close(),
    };
  },
};
