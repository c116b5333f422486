import type { PGlite } from "@electric-sql/pglite";
import type { Client, ClientConfig, Pool } from "pg";
import type { Query } from "../traffic/verify.ts";
import { EXIT, Failure, messageOf, quote, usageFailure } from "./failure.ts";

/** A database that has answered, embedded or not. */
export interface Database {
  /** What the library writes through. */
  readonly pool: Pool | PGlite;
  /** Makes a connection to listen on; undefined where the one there is listens itself. */
  readonly listen: (() => Client) | undefined;
  /** For people, without a password. */
  readonly label: string;
  readonly query: Query;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** Opens the server at `url`, or without one an embedded PostgreSQL in memory. */
export async function openDatabase(url: string | undefined): Promise<Database> {
  return url === undefined ? openEmbedded() : openServer(url);
}

/** A database URL as it may be shown: whatever could be a password is covered. */
export function withoutPassword(url: string): string {
  // Up to the last @, because a password that was not encoded may hold any character.
  return url
    .replace(/^([^:@/?#]*:\/\/[^:@/?#]*|[^:@/?#]+):(?!\/\/).*@/s, "$1:***@")
    .replace(/([?&][^=&]*(?:password|token)=)[^&]*/gi, "$1***");
}

async function openEmbedded(): Promise<Database> {
  const { PGlite } = await import("@electric-sql/pglite");
  const pool = await PGlite.create();
  return {
    pool,
    listen: undefined,
    label: "embedded PostgreSQL",
    query: async (sql, params) => {
      const result = await pool.query<Record<string, unknown>>(sql, [...params]);
      return result.rows;
    },
    close: () => pool.close(),
  };
}

async function openServer(url: string): Promise<Database> {
  const label = withoutPassword(url);
  if (!/^postgres(?:ql)?:\/\//i.test(url)) {
    throw usageFailure(
      "sluice demo",
      `--postgres takes a URL such as postgres://localhost/test, received ${quote(label)}`,
    );
  }
  const { default: pg } = await import("pg");
  const config = {
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: "sluice demo",
  };
  const pool = createPool(pg.Pool, config, label);
  // An idle connection that dies is replaced; without a listener its error would end the process.
  pool.on("error", () => undefined);
  try {
    await pool.query("select 1");
  } catch (error) {
    await pool.end();
    if (error instanceof Error && "code" in error && error.code === "ERR_INVALID_URL") {
      throw invalidUrl(label);
    }
    const reason = messageOf(error);
    throw new Failure(`cannot use the database ${quote(label)}: ${reason}`, EXIT.failed, error);
  }
  return {
    pool,
    listen: () => new pg.Client(config),
    label,
    query: async (sql, params) => {
      const result = await pool.query<Record<string, unknown>>(sql, [...params]);
      return result.rows;
    },
    close: () => pool.end(),
  };
}

function createPool(create: typeof Pool, config: ClientConfig, label: string): Pool {
  try {
    return new create(config);
  } catch {
    // Of what the parser says, the message is left out: it may quote the URL.
    throw invalidUrl(label);
  }
}

function invalidUrl(label: string): Failure {
  return usageFailure("sluice demo", `--postgres is not a valid URL: ${quote(label)}`);
}
