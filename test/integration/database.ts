/**
 * Databases for integration tests: each test file works in one of its own.
 */
import { randomUUID } from "node:crypto";
import { PGlite } from "@electric-sql/pglite";
import pg from "pg";
import postgres from "postgres";
import type { PostgresDriver, Row } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { inject } from "vitest";

/** A database, the driver under test, and a way to look that does not go through it. */
export interface Database {
  readonly driver: PostgresDriver;
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

async function onServer(
  connect: (url: string) => { driver: PostgresDriver; end: () => Promise<void> },
): Promise<Database> {
  const url = await freshDatabase();
  const { driver, end } = connect(url);
  const eye = new pg.Client(url);
  await eye.connect();
  return {
    driver,
    query: async (text, values = []) => (await eye.query(text, values)).rows as Row[],
    close: async () => {
      await eye.end();
      await end();
    },
  };
}

/** Every driver that `sluice/postgres` works with. */
export const databases: Readonly<Record<string, () => Promise<Database>>> = {
  pg: () =>
    onServer((url) => {
      const pool = new pg.Pool({ connectionString: url, max: 8 });
      pool.on("error", () => undefined); // idle connections that a test kills
      return { driver: pool, end: () => pool.end() };
    }),
  postgres: () =>
    onServer((url) => {
      const sql = postgres(url, { max: 8, onnotice: () => undefined });
      return { driver: sql, end: () => sql.end({ timeout: 5 }) };
    }),
  PGlite: async () => {
    const database = await PGlite.create();
    return {
      driver: database,
      query: async (text, values = []) => (await database.query<Row>(text, values)).rows,
      close: () => database.close(),
    };
  },
};
