import { Buffer } from "node:buffer";
import { rejected } from "../../errors.ts";
import { stringLiteral } from "./identifiers.ts";
import { type ClickHouseSettings, has, notAWay, readRows, type Transport } from "./transport.ts";

/** What this library uses of chDB: a `Session` of `chdb`. */
export interface ChdbSession {
  queryAsync(
    query: string,
    options?: { format?: string; signal?: AbortSignal },
  ): Promise<ChdbAnswer>;
}

/** The answer of chDB. */
export interface ChdbAnswer {
  text(): string;
}

/** A statement is one string, of which Node allows 512 MiB: base64 takes 4 bytes for 3. */
const MAX_BODY_BYTES = 256 * 2 ** 20;

/** A statement that holds its rows is as long as they are. */
const MAX_QUERY_SIZE = 2 ** 30;

/**
 * A transport to chDB, ClickHouse within the process. chDB takes binary rows in a statement only:
 * they travel as base64, at some twenty times their size in memory while the insert runs. A batch
 * of more than 256 MiB is halved. An attempt that is given up goes on in the background.
 */
export function chdbTransport(session: ChdbSession): Transport {
  if (!has(session, "queryAsync")) throw notAWay("a Session of chdb", session);
  const run = async (sql: string, signal: AbortSignal): Promise<string> => {
    signal.throwIfAborted();
    return (await session.queryAsync(sql, { format: "JSONEachRow", signal })).text();
  };
  return {
    casts: true,
    query: async (sql, { signal }) =>
      readRows(await run(`${sql} SETTINGS output_format_json_quote_64bit_integers = 1`, signal)),
    command: async (sql, { signal }) => {
      await run(sql, signal);
    },
    insert: async ({ into, structure, format, body, settings, signal }) => {
      const bytes = body.reduce((sum, chunk) => sum + chunk.byteLength, 0);
      if (bytes > MAX_BODY_BYTES) {
        const message = `${bytes} bytes are more than one statement to chDB holds (${MAX_BODY_BYTES})`;
        throw rejected(message, { ambiguous: false });
      }
      const base64 = Buffer.concat(body).toString("base64");
      const source = `format(${format}, ${stringLiteral(structure)}, base64Decode('${base64}'))`;
      const all = settingsSql({ ...settings, max_query_size: MAX_QUERY_SIZE });
      await run(`INSERT INTO ${into} SETTINGS ${all} SELECT * FROM ${source}`, signal);
    },
  };
}

const settingsSql = (settings: ClickHouseSettings): string =>
  Object.entries(settings)
    .map(([name, value]) => {
      return `${name} = ${typeof value === "number" ? value : stringLiteral(value)}`;
    })
    .join(", ");
