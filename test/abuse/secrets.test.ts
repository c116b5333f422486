/** What holds a credential, handed to the wrong place: it is refused, quoted, and never shown. */
import { createClient } from "@clickhouse/client";
import pg from "pg";
import postgres from "postgres";
import { afterAll, expect, it } from "vitest";
import { CANARY, leaksIn } from "../support/secret.ts";
import { FACTORIES, replacements } from "./factories.ts";
import { faultsOf, refusalOf } from "./hostile.ts";

const password = CANARY;
const url = `postgres://writer:${encodeURIComponent(CANARY)}@127.0.0.1:1/data`;
const pool = new pg.Pool({ connectionString: url });
const sql = postgres(url, { max: 1 });
const clickhouse = createClient({ url: url.replace("postgres", "http") });
afterAll(async () => {
  await Promise.all([pool.end(), sql.end(), clickhouse.close()]);
});

const HOLDERS: readonly (readonly [string, unknown])[] = [
  ["a URL", url],
  ["a URL that was not encoded", `postgres://writer:${CANARY}@127.0.0.1:1/data`],
  ["a long URL", `https://${"long.".repeat(8)}example:${CANARY}${"x".repeat(80)}@127.0.0.1/data`],
  ["a URL with the password in its query", `postgres://127.0.0.1/data?user=w&password=${CANARY}`],
  ["a URL object", new URL(url)],
  ["a list of URLs", [url]],
  ["a connection string", `host=127.0.0.1 password='${CANARY} and more' user=writer`],
  ["the options of a Pool", { connectionString: url }],
  ["the options of a connection", { host: "127.0.0.1", user: "writer", password }],
  ["options with headers", { headers: { Authorization: `Bearer ${CANARY}`, "X-Api-Key": CANARY } }],
  ["a Pool of pg", pool],
  ["a Client of pg", new pg.Client(url)],
  ["the sql function of postgres", sql],
  ["the options of that function", sql.options],
  ["a client of ClickHouse", clickhouse],
];

/** The driver has been taken for one, and there is no server. */
const isRefused = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ECONNREFUSED";

it.each(FACTORIES)("$name refuses them wherever they are put", async ({ make, args }) => {
  const faults: string[] = [];
  for (const [what, holder] of HOLDERS) {
    for (const [place, given] of replacements(args(), holder)) {
      const refusal = await refusalOf(() => make(...given));
      if (refusal === undefined) continue; // a name, or an object that has what it takes
      const shown = [...leaksIn(refusal), ...(isRefused(refusal) ? [] : faultsOf(refusal))];
      faults.push(...shown.map((fault) => `${what} as ${place}: ${fault}`));
    }
  }
  expect(faults).toEqual([]);
});
