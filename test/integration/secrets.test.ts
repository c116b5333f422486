/** A secret in every credential: whatever fails, no error, event, figure, warning or output shows it. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { PassThrough } from "node:stream";
import pg from "pg";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { createBatcher, isSluiceError, list, type SluiceEvent, sums } from "sluice";
import { createAgentMetadataBatcher } from "sluice/agent-metadata";
import { createRowBatcher, UInt64 } from "sluice/clickhouse";
import {
  insertRows,
  migrate,
  postgresPubsub,
  reapLedger,
  sumsDdl,
  upsertSums,
} from "sluice/postgres";
import type { PostgresDriver } from "../../packages/sluice/src/sinks/postgres/driver.ts";
import { main } from "../../packages/server/src/cli/main.ts";
import { CANARY, eavesdrop, leaksIn } from "../support/secret.ts";
import { connect as connectClickHouse } from "./clickhouse-faults.ts";
import { connectors, type Eye, freshDatabase, openEye } from "./database.ts";

const PASSWORD = encodeURIComponent(CANARY);
const AGENT = "2ed6657d-e927-568b-95e1-2665a8aea6a2";

/** A server of another kind: one that never answers, hangs up, or speaks something else. */
async function openServer(answer: "nothing" | "hang-up" | "HTTP"): Promise<[string, Server]> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    if (answer === "hang-up") socket.destroy();
    if (answer === "HTTP") socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the server has no port");
  return [`127.0.0.1:${address.port}`, server];
}

const servers: Record<string, string> = {};
let stopServers: () => void;
let listening: ReturnType<typeof eavesdrop>;
let base: string;
let url: string;
let role: string;
let eye: Eye;
beforeAll(async () => {
  listening = eavesdrop();
  const opened: Server[] = [];
  for (const answer of ["nothing", "hang-up", "HTTP"] as const) {
    const [host, server] = await openServer(answer);
    servers[answer] = host;
    opened.push(server);
  }
  stopServers = () => opened.forEach((server) => server.close());
  base = await freshDatabase();
  role = `w_${randomUUID().slice(0, 8)}`;
  eye = await openEye(base);
  await eye.query(`CREATE ROLE ${role} LOGIN PASSWORD '${CANARY}'`);
  await eye.query(sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }));
  await eye.query("CREATE TABLE forbidden (k text PRIMARY KEY, n bigint)");
  await eye.query("CREATE TABLE checked (n bigint CHECK (n < 5))");
  await migrateAs(base);
  await eye.query(`GRANT ALL ON usage, checked, sluice_ledger TO ${role}`);
  const own = new URL(base);
  own.username = role;
  own.password = "";
  url = own.href.replace("@", `:${PASSWORD}@`);
});
afterAll(async () => {
  stopServers();
  await eye.query(`DROP OWNED BY ${role}`);
  await eye.query(`DROP ROLE ${role}`);
  await eye.close();
});

async function migrateAs(owner: string): Promise<void> {
  const { driver, end } = connectors.pg(owner, 1);
  await migrate(driver);
  await end();
}

/** Nothing of what was to be seen shows the secret. */
const expectNoLeak = (seen: unknown): void => expect(leaksIn(seen)).toEqual([]);

/** Something failed; whether there was time to try again is a matter of the machine. */
function expectTrouble(events: readonly SluiceEvent[]): void {
  const troubles = ["retried", "dead-lettered", "unknown", "dropped"];
  expect(events.filter(({ type }) => troubles.includes(type))).not.toEqual([]);
}

/** What a promise ends with, whichever way. */
const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: unknown) => error);

const IMPATIENT = {
  maxDelayMs: 0,
  writeTimeoutMs: 100,
  retry: { baseDelayMs: 1, maxDelayMs: 5, circuitAfter: 1 },
};

/** Adds to a table in every way that there is, closes, and tells all that was to be seen. */
async function write(
  driver: PostgresDriver,
  table: string,
  observed: boolean,
): Promise<{ readonly seen: unknown[]; readonly events: readonly SluiceEvent[] }> {
  const events: SluiceEvent[] = [];
  const batcher = createBatcher({
    ...IMPATIENT,
    name: `${table}-${observed}`,
    shape: sums({ key: ["k"], sum: ["n"] }),
    sink: upsertSums(driver, { table }),
    ...(observed ? { observe: (event: SluiceEvent) => events.push(event) } : {}),
    deliveryTimeoutMs: 250,
  });
  const seen = await Promise.all([
    outcome(batcher.deliver({ k: "a", n: 1 })),
    outcome(batcher.flush()),
    outcome(batcher.flush({ timeoutMs: 50 })),
  ]);
  batcher.tryAdd({ k: "b", n: 1 });
  const closing = outcome(batcher.close({ timeoutMs: 50 }));
  const disposing = outcome(Promise.resolve(batcher[Symbol.asyncDispose]()));
  seen.push(batcher.stats(), await closing, await disposing, events);
  return { seen, events };
}

const LISTEN = "SLUICE_ERR_POSTGRES_LISTEN";
const codeOf = (event: SluiceEvent): readonly string[] =>
  event.type === "warning" && isSluiceError(event.error) ? [event.error.code] : [];

/** Watches, publishes and subscribes, and tells all that was to be seen. */
async function converse(driver: PostgresDriver, listen: () => pg.Client): Promise<unknown[]> {
  const events: SluiceEvent[] = [];
  const observe = (event: SluiceEvent): void => void events.push(event);
  const pubsub = postgresPubsub(driver, { listen, observe });
  const metadata = createAgentMetadataBatcher(driver, {
    ...IMPATIENT,
    pubsub,
    observe,
    pollIntervalMs: 50,
    readIntervalMs: 10,
  });
  const leaving = new AbortController();
  const watched = outcome(metadata.watch(AGENT, { signal: leaving.signal }).next());
  const published = await outcome(pubsub.publish("changes", ["x"], { timeoutMs: 300 }));
  await vi.waitFor(() => expect(events.flatMap(codeOf)).toContain(LISTEN), { timeout: 20_000 });
  leaving.abort(new Error("enough"));
  await outcome(metadata.close({ timeoutMs: 50 }));
  await pubsub.close();
  return [events, published, await watched, metadata.stats()];
}

describe.concurrent.each(["pg", "postgres"] as const)("with %s, of a connection", (connector) => {
  const at = (host: string | undefined, query = ""): string =>
    `postgres://${role}:${PASSWORD}@${host}/postgres${query}`;
  const cases: [string, () => string][] = [
    ["that is refused", () => at("127.0.0.1:1")],
    ["to no host", () => at("no-such-host.invalid")],
    ["to what never answers", () => at(servers["nothing"])],
    ["to what hangs up", () => at(servers["hang-up"])],
    ["to what is no PostgreSQL", () => at(servers["HTTP"])],
    ["with a wrong password", () => url.replace(PASSWORD, `${PASSWORD}2`)],
    ["to a wrong database", () => url.replace(/\/[^/]*$/, "/no_such_database")],
    ["by TLS, which the server has not", () => `${url}?sslmode=require`],
  ];
  it.each(cases)("%s", async (_, target) => {
    const { driver, end } = connectors[connector](target(), 2);
    const [seen, unheard] = await Promise.all([
      write(driver, "usage", true),
      write(driver, "usage", false),
    ]);
    expectTrouble(seen.events);
    const listen = (): pg.Client =>
      new pg.Client({ connectionString: target(), connectionTimeoutMillis: 100 });
    const heard = await converse(driver, listen);
    await Promise.race([end(), new Promise((resolve) => setTimeout(resolve, 100))]);
    expectNoLeak([...seen.seen, ...unheard.seen, ...heard]);
  });

  it("that stands, to a table that is missing, forbidden or refuses", async () => {
    const { driver, end } = connectors[connector](url, 2);
    const seen: unknown[] = [];
    for (const table of ["missing", "forbidden"]) {
      const written = await write(driver, table, true);
      expectTrouble(written.events);
      seen.push(...written.seen, ...(await write(driver, table, false)).seen);
    }
    const checked = createBatcher({
      ...IMPATIENT,
      shape: list<{ n: number }>(),
      sink: insertRows(driver, { table: "checked", columns: { n: "bigint" } }),
      deadLetter: (letter) => seen.push(letter),
      observe: (event) => seen.push(event),
    });
    seen.push(await outcome(checked.deliver({ n: 7 })), await checked.close());
    expect(seen).toContainEqual(expect.objectContaining({ outcome: "rejected" }));
    seen.push(await outcome(migrate(driver, "CREATE TABLE nonsense (x nothing)")));
    seen.push(await outcome(reapLedger(driver, { table: "missing" })));
    await end();
    expectNoLeak(seen);
  });
});

describe.concurrent("of a listener", () => {
  const malformed = `postgres://writer:${PASSWORD}@127.0.0.1:99999/x`;
  const sources: [string, () => () => unknown][] = [
    ["that is at another database", () => () => new pg.Client(inject("postgresUrl"))],
    ["of a malformed URL, by pg", () => () => new pg.Client(malformed)],
    ["of a malformed URL, by postgres", () => () => postgres(malformed)],
    ["that is made of a URL", () => () => url],
    ["that is a Pool", () => () => new pg.Pool({ connectionString: url })],
  ];
  it.each(sources)("%s", async (_, source) => {
    const { driver, end } = connectors.pg(url, 2);
    const seen = await converse(driver, source() as () => pg.Client);
    await end();
    expectNoLeak(seen);
  });
});

describe.concurrent("of a ClickHouse", () => {
  const at = (host: string | undefined): string => `http://writer:${PASSWORD}@${host}/`;
  const cases: [string, () => string][] = [
    ["that is refused", () => at("127.0.0.1:1")],
    ["that never answers", () => at(servers["nothing"])],
    ["that hangs up", () => at(servers["hang-up"])],
    ["that forbids", () => at(servers["HTTP"])],
    ["by TLS, which the server has not", () => at(servers["HTTP"]).replace("http", "https")],
    ["with a wrong password", () => at((inject("clickhouseUrl") ?? "http://127.0.0.1:1").slice(7))],
  ];
  it.each(cases)("%s", async (_, target) => {
    const events: SluiceEvent[] = [];
    const client = connectClickHouse(target(), { request_timeout: 250 });
    for (const observe of [(event: SluiceEvent) => void events.push(event), undefined]) {
      const rows = createRowBatcher(client, {
        ...IMPATIENT,
        observe,
        table: "events",
        columns: { id: UInt64 },
        createTable: true,
        deliveryTimeoutMs: 250,
      });
      const seen = [await outcome(rows.ready()), await outcome(rows.deliver({ id: 1 }))];
      rows.tryInsert({ id: 2 });
      seen.push(await outcome(rows.close({ timeoutMs: 50 })), rows.stats());
      events.push(...(seen as SluiceEvent[]));
    }
    expectTrouble(events);
    expectNoLeak(events);
  });
});

describe.concurrent("sluice demo says what is wrong, and not the password, of", () => {
  const bad: [string, string, () => string][] = [
    ["a server that refuses", "--postgres", () => `postgres://u:${PASSWORD}@127.0.0.1:1/x`],
    ["a wrong password", "--postgres", () => url.replace(PASSWORD, `${PASSWORD}2`)],
    ["a malformed URL", "--postgres", () => `postgres://u:${PASSWORD}@127.0.0.1:99999/x`],
    ["another scheme", "--postgres", () => `mysql://u:${CANARY}@127.0.0.1/x`],
    ["a ClickHouse that refuses", "--clickhouse", () => `http://u:${PASSWORD}@127.0.0.1:1`],
    ["a ClickHouse that forbids", "--clickhouse", () => `http://u:${PASSWORD}@${servers["HTTP"]}`],
    ["a malformed URL of one", "--clickhouse", () => `http://u:${PASSWORD}@127.0.0.1:99999`],
    ["a role without privileges", "--postgres", () => url],
  ];
  it.each(bad)("%s", async (_, option, target) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const exitCode = await main(["demo", "--events", "1", "--postgres", base, option, target()], {
      stdin: () => new PassThrough(),
      stdout,
      stderr,
      now: () => 0,
      onInterrupt: () => () => undefined,
    });
    expect([1, 2]).toContain(exitCode);
    const said = [String(stdout.read() ?? ""), String(stderr.read() ?? "")];
    expect(said.join("")).toMatch(/^sluice: /);
    expectNoLeak(said);
  });
});

it("nor do the process's warnings and its output show it", async () => {
  await new Promise((resolve) => setImmediate(resolve)); // warnings come a turn later
  const heard = listening.stop();
  expect(heard.some((part) => String(part).includes("cannot deliver"))).toBe(true);
  expectNoLeak(heard);
});
