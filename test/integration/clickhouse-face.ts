/**
 * ClickHouse's HTTP interface before chDB, for the official client, and the harm that a network does
 * on request. Each request runs in a session of its own, so nothing it sets outlives it.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { Session } from "chdb";
import type { Chdb } from "./chdb.ts";

/** A statement as the face received it; pings are not counted. */
interface FaceRequest {
  /** Counts from 1. */
  readonly n: number;
  readonly query: string;
  readonly queryId: string;
  readonly database: string | undefined;
  /** In which it runs; without any, the user's rights are not narrowed. */
  readonly roles: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  /** What the statement is sent with: rows to insert, decompressed. */
  readonly body: Buffer;
  /** How the body was compressed. */
  readonly encoding: string | undefined;
}

/** An answer without running the statement; without `code`, one that is not ClickHouse's. */
interface FaceError {
  readonly status: number;
  readonly code?: number;
  readonly message: string;
}

/**
 * What becomes of a request. `drop-before`: it is not run, and the client loses its connection.
 * `drop-after`: it is run, and the client loses its connection instead of an answer. `delay:<ms>`: it
 * is run that much later, also if the client has left.
 */
type Fault = "drop-before" | "drop-after" | `delay:${number}` | FaceError | undefined;

export interface ClickHouseFace {
  /** The URL to give the client. */
  readonly url: string;
  /** Every statement received, in order. */
  readonly requests: FaceRequest[];
  /** Decides on each statement; it runs once the decision is made. Replace it at any time. */
  fault: (request: FaceRequest) => Fault | Promise<Fault>;
  /** Waits for what still runs. */
  settled(): Promise<void>;
  /** Cuts every connection, waits for what still runs, and stops. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

/** Opens the interface before `chdb`. */
export async function openClickHouseFace(chdb: Chdb): Promise<ClickHouseFace> {
  const directory = await mkdtemp(join(tmpdir(), "sluice-face-"));
  const running = new Set<Promise<void>>();
  let received = 0;
  const { path } = chdb.session;

  const handle = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(message.url ?? "/", "http://localhost");
    if (url.pathname === "/ping") {
      response.end("Ok.\n");
      return;
    }
    const body = await buffer(message).catch(() => undefined);
    if (body === undefined) return; // the client left before it had said everything
    received += 1;
    const request = read(url.searchParams, body, message.headers["content-encoding"], received);
    face.requests.push(request);
    const fault = await face.fault(request);
    if (fault === "drop-before") {
      response.socket?.resetAndDestroy();
      return;
    }
    if (typeof fault === "object") {
      send(response, request, refusal(fault));
      return;
    }
    if (fault?.startsWith("delay:")) await sleep(Number(fault.slice("delay:".length)));
    const parameters = parametersOf(url.searchParams);
    const answer = await run(path, join(directory, `${request.n}.rows`), request, parameters);
    if (fault === "drop-after") response.socket?.resetAndDestroy();
    else send(response, request, answer);
  };

  const server = createServer((message, response) => {
    const done = handle(message, response).catch((error: unknown) => {
      response.statusCode = 500;
      response.end(`the face failed: ${String(error)}`);
    });
    running.add(done);
    void done.then(() => running.delete(done));
  });
  const face: ClickHouseFace = {
    url: "",
    requests: [],
    fault: () => undefined,
    settled: async () => {
      while (running.size > 0) await Promise.all(running);
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await face.settled();
      await rm(directory, { recursive: true, force: true });
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the face has no port");
  return Object.assign(face, { url: `http://127.0.0.1:${address.port}` });
}

/** Parameters of the URL that are the interface's own. All others are settings. */
const OWN: ReadonlySet<string> = new Set([
  "query",
  "query_id",
  "database",
  "user",
  "password",
  "role",
  "session_id",
  "session_timeout",
  "session_check",
  "close_session",
  "quota_key",
  "default_format",
  "compress",
  "decompress",
  "buffer_size",
  "wait_end_of_query",
  "stacktrace",
]);

const isParameter = (name: string): boolean => name.startsWith("param_");

const parametersOf = (url: URLSearchParams): readonly (readonly [string, string])[] =>
  [...url].filter(([name]) => isParameter(name));

/** The statement is in the URL and its data in the body, or it is the body. */
function read(
  url: URLSearchParams,
  body: Buffer,
  encoding: string | undefined,
  n: number,
): FaceRequest {
  const plain = encoding === "gzip" ? gunzipSync(body) : body;
  const query = url.get("query");
  return {
    n,
    query: query ?? plain.toString("utf8"),
    queryId: url.get("query_id") ?? randomUUID(),
    database: url.get("database") ?? undefined,
    roles: url.getAll("role"),
    settings: Object.fromEntries([...url].filter(([name]) => !OWN.has(name) && !isParameter(name))),
    body: query === null ? Buffer.alloc(0) : plain,
    encoding,
  };
}

const quoted = (text: string): string =>
  `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

/** `INSERT INTO table (columns)`, its settings, and the format of the data that follow. */
const INSERT = /^(\s*INSERT\s+INTO\s.*?)(\s+SETTINGS\s.*?)?(\s+FORMAT\s+\w+)[\s;]*$/is;

/** Runs a statement in a session of its own. */
async function run(
  path: string,
  file: string,
  request: FaceRequest,
  parameters: readonly (readonly [string, string])[],
): Promise<Answer> {
  const { query, body, settings, database, roles } = request;
  const session = new Session(path);
  try {
    if (roles.length > 0) await session.queryAsync(`SET ROLE ${roles.join(", ")}`);
    const set = [...Object.entries(settings), ...parameters];
    const values = set.map(([name, value]) => `${name} = ${quoted(value)}`);
    if (values.length > 0) await session.queryAsync(`SET ${values.join(", ")}`);
    if (database !== undefined) await session.queryAsync(`USE \`${database}\``);
    const [, into, clauses = "", format] = INSERT.exec(query) ?? [];
    let sql = body.length === 0 ? query : `${query}\n${body.toString("utf8")}`;
    if (into !== undefined && format !== undefined) {
      await writeFile(file, body);
      sql = `${into} FROM INFILE ${quoted(file)}${clauses}${format}`;
    }
    const result = await session.queryAsync(sql, { format: "TabSeparated" });
    const [rows, bytes] = [String(result.rowsRead), String(result.bytesRead)];
    const written = /^\s*INSERT\s/i.test(query);
    const summary = {
      read_rows: rows,
      read_bytes: bytes,
      written_rows: written ? rows : "0",
      written_bytes: written ? bytes : "0",
      total_rows_to_read: "0",
      result_rows: written ? rows : "0",
      result_bytes: written ? bytes : "0",
      elapsed_ns: String(Math.round(result.elapsed * 1e9)),
    };
    return {
      status: 200,
      headers: { "X-ClickHouse-Summary": JSON.stringify(summary) },
      body: result.bytes(),
    };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const [prefix, code] = /^Code: (\d+)\. DB::Exception: /.exec(text) ?? [];
    if (prefix === undefined) throw error;
    const status = STATUS.get(Number(code)) ?? 500;
    return refusal({ status, code: Number(code), message: text.slice(prefix.length) });
  } finally {
    session.close();
    await rm(file, { force: true });
  }
}

/** The status of an answer by the code of its error; for all others it is 500. */
const STATUS: ReadonlyMap<number, number> = new Map(
  Object.entries({
    400: [6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376],
    401: [194],
    403: [192, 193, 497, 512, 516],
    404: [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511],
    408: [159],
    413: [229],
    501: [48],
    503: [76, 209, 439],
  }).flatMap(([status, codes]) => codes.map((code) => [code, Number(status)])),
);

const refusal = ({ status, code, message }: FaceError): Answer => ({
  status,
  headers: code === undefined ? {} : { "X-ClickHouse-Exception-Code": String(code) },
  body: code === undefined ? message : `Code: ${code}. DB::Exception: ${message}\n`,
});

function send(response: ServerResponse, { queryId }: FaceRequest, answer: Answer): void {
  response.writeHead(answer.status, { "X-ClickHouse-Query-Id": queryId, ...answer.headers });
  response.end(answer.body);
}
