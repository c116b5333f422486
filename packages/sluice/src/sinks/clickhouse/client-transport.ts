import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import { has, notAWay, readRows, type StatementOptions, type Transport } from "./transport.ts";

/** What this library uses of `@clickhouse/client`. */
export interface ClickHouseClient {
  exec(params: ExecParams): Promise<ExecResult>;
}

/** The parameters of `exec`. */
export interface ExecParams {
  query: string;
  values?: Readable;
  clickhouse_settings?: object;
  abort_signal?: AbortSignal;
  ignore_error_response?: boolean;
}

/** What `exec` resolves to: the answer, which holds its connection until it is read to its end. */
export interface ExecResult {
  readonly stream: AnswerStream;
  readonly http_status_code?: number | undefined;
  readonly response_headers?: Readonly<Record<string, string | string[] | undefined>> | undefined;
}

/** The answer of a server. */
export interface AnswerStream extends AsyncIterable<unknown> {
  destroy(error?: Error): unknown;
}

/**
 * A transport over the official client, `@clickhouse/client`. Rows are streamed from the buffers in
 * which they were encoded. Bodies are compressed if the client was made with
 * `compression: { request: true }`. Its `request_timeout` should be above `writeTimeoutMs`.
 *
 * Compress bodies for servers as old as 18.16: they take one that breaks off between two rows for one
 * that ends there, but refuse compressed bytes that end too early.
 */
export function clientTransport(client: ClickHouseClient): Transport {
  if (!has(client, "exec")) throw notAWay("a client of @clickhouse/client", client);
  // The client ends a message at the first capitals in brackets, which may be words of a row. One that
  // tells the status of an answer can leave the message to us.
  let tellsStatus = false;
  const run = async (
    query: string,
    signal: AbortSignal,
    settings: object,
    values?: Readable,
  ): Promise<string> => {
    signal.throwIfAborted(); // the client hears only of aborts to come
    const { stream, http_status_code, response_headers } = await client.exec({
      query,
      // The server answers when all is done, so that an error is never half an answer.
      clickhouse_settings: { ...settings, wait_end_of_query: 1 },
      abort_signal: signal,
      ...(values === undefined ? {} : { values }),
      ...(tellsStatus ? { ignore_error_response: true } : {}),
    });
    tellsStatus = http_status_code !== undefined;
    const text = await readAll(stream, signal);
    const code = response_headers?.["x-clickhouse-exception-code"];
    // Nothing is said of rows that are in: words are an error behind a status that was sent before, or
    // those of a proxy that has sent nothing on.
    const isAnswer = values === undefined || text.trim() === "";
    if (code === undefined && isFine(http_status_code) && isAnswer) return text;
    throw Object.assign(new Error(text), { code, status: http_status_code });
  };
  return {
    query: async (sql, { signal }) =>
      readRows(
        await run(`${sql} FORMAT JSONEachRow`, signal, {
          output_format_json_quote_64bit_integers: 1,
        }),
      ),
    command: async (sql: string, { signal }: StatementOptions) => {
      await run(sql, signal, {});
    },
    insert: async ({ into, format, body, settings, signal }) => {
      const values = Readable.from(body, { objectMode: false });
      try {
        await run(`INSERT INTO ${into} FORMAT ${format}`, signal, settings, values);
      } finally {
        values.destroy();
      }
    },
  };
}

const isFine = (status: number = 200): boolean => status >= 200 && status < 300;

/** Reads an answer to its end, always: a connection goes back to its pool only then. */
async function readAll(stream: AnswerStream, signal: AbortSignal): Promise<string> {
  const onAbort = (): void => {
    stream.destroy(new Error("the attempt was given up"));
  };
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk instanceof Uint8Array ? chunk : Buffer.from(String(chunk)));
    }
    return Buffer.concat(chunks).toString();
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
