import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { isSluiceError, type SluiceError } from "../../errors.ts";
import { manualClock } from "../../testing/manual-clock.ts";
import {
  createJsonClient,
  type Fetch,
  HttpError,
  type JsonClient,
  type JsonClientOptions,
  type JsonRequest,
} from "./index.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

interface Served {
  readonly url: string;
  readonly connections: () => number;
  readonly client: JsonClient;
}

/** A real server, and a client of it. */
async function serve(
  listener: RequestListener,
  options: Partial<JsonClientOptions> = {},
): Promise<Served> {
  let connections = 0;
  const server = createServer(listener);
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = createJsonClient({ baseUrl: url, ...options });
  return { url, connections: () => connections, client };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}
function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

const answers =
  (status: number, body: string | Buffer = "", headers: Record<string, string> = {}) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    response.writeHead(status, headers).end(body);
  };

/** Sends a part of an answer, then destroys its socket. */
const breaksOff =
  (status: number, part: string | Buffer, headers: Record<string, string | number>) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    response.writeHead(status, headers);
    response.write(part, () => request.socket.destroy());
  };

async function failureOf(attempt: Promise<unknown>): Promise<SluiceError> {
  const error = await attempt.then(
    (value) => expect.fail(`resolved to ${inspect(value)}`),
    (reason: unknown) => reason,
  );
  if (!isSluiceError(error)) throw error;
  return error;
}

const causeOf = (error: SluiceError): HttpError => {
  expect(error.cause).toBeInstanceOf(HttpError);
  return error.cause as HttpError;
};

const verdict = ({ disposition, whole, ambiguous }: SluiceError): string =>
  [disposition, ...(whole ? ["whole"] : []), ...(ambiguous ? ["ambiguous"] : [])].join(", ");

const REQUEST: JsonRequest = { path: "/items", body: [1] };

describe("attempt", () => {
  interface Seen {
    readonly method: string | undefined;
    readonly url: string | undefined;
    readonly body: string;
    readonly headers: IncomingMessage["headers"];
  }
  const echo: RequestListener = (request, response) => {
    void bodyOf(request).then((body) => {
      const { method, url, headers } = request;
      response.end(JSON.stringify({ method, url, body, headers }));
    });
  };
  const seen = async (
    request: JsonRequest,
    options?: Partial<JsonClientOptions>,
  ): Promise<Seen> => {
    const { client } = await serve(echo, options);
    return (await client.attempt(request)) as Seen;
  };

  it("posts JSON and resolves to the JSON of the answer", async () => {
    const { method, url, body, headers } = await seen({ path: "/v1/x?q=1", body: { a: ["é"] } });
    expect({ method, url, body }).toEqual({
      method: "POST",
      url: "/v1/x?q=1",
      body: '{"a":["é"]}',
    });
    expect(headers).toMatchObject({
      accept: "application/json",
      "content-type": "application/json",
      "content-length": "12",
    });
  });

  it("serialises a string as well, and null", async () => {
    expect((await seen({ path: "/", body: "[1]" })).body).toBe('"[1]"');
    expect((await seen({ path: "/", body: null })).body).toBe("null");
  });

  it("sends neither body nor content-type without a body", async () => {
    const { body, headers } = await seen({ path: "/" });
    expect(body).toBe("");
    expect(headers["content-type"]).toBeUndefined();
    expect(headers.accept).toBe("application/json");
  });

  it("sends other methods in capitals", async () => {
    expect((await seen({ path: "/", method: "patch", body: 1 })).method).toBe("PATCH");
    expect((await seen({ path: "/", method: "GET" })).method).toBe("GET");
  });

  it("lets headers of the caller win, those of the request over those of the client", async () => {
    const { headers } = await seen(
      { path: "/", body: 1, headers: { "X-B": "request", "Content-Type": "application/x+json" } },
      { headers: { "x-a": "client", "x-b": "client", ACCEPT: " text/json\t" } },
    );
    expect(headers).toMatchObject({
      "x-a": "client",
      "x-b": "request",
      accept: "text/json",
      "content-type": "application/x+json",
    });
  });

  it("keeps the path of the base", async () => {
    const { url, client } = await serve(echo);
    for (const prefix of ["/api/v2", "/api/v2/"]) {
      const below = createJsonClient({ baseUrl: new URL(url + prefix) });
      expect(await below.attempt({ path: "/a//b" })).toMatchObject({ url: "/api/v2/a//b" });
    }
    expect(await client.attempt({ path: "/é?x=../y" })).toMatchObject({ url: "/%C3%A9?x=../y" });
  });

  it.each([
    ["204", { path: "/" }, answers(204)],
    ["an empty body", { path: "/" }, answers(200)],
    ["HEAD", { path: "/", method: "HEAD" }, answers(200, "", { "content-length": "99" })],
  ])("resolves to undefined on %s", async (_, request, listener) => {
    const { client } = await serve(listener, { maxResponseBytes: 10 });
    expect(await client.attempt(request)).toBeUndefined();
  });

  it("reads JSON whatever its content-type says, after a byte order mark as well", async () => {
    const { client } = await serve(answers(201, '\ufeff{"a":1}', { "content-type": "text/html" }));
    expect(await client.attempt(REQUEST)).toEqual({ a: 1 });
  });

  it("reads characters that chunks cut in two", async () => {
    const { client } = await serve((_, response) => {
      const bytes = Buffer.from('"é😀"');
      response.write(bytes.subarray(0, 2), () => response.end(bytes.subarray(2)));
    });
    expect(await client.attempt(REQUEST)).toBe("é😀");
  });
});

describe("a status", () => {
  it.each([
    ...[408, 425, 500, 501, 502, 503, 504, 507, 599].map(
      (s) => [s, "retryable, ambiguous"] as const,
    ),
    [429, "retryable"],
    ...[400, 409, 413, 414, 422].map((s) => [s, "rejected, ambiguous"] as const),
    ...[401, 402, 403, 404, 405, 410, 412, 415, 431, 451].map(
      (s) => [s, "rejected, whole, ambiguous"] as const,
    ),
    ...[300, 301, 302, 303, 304, 307, 308].map((s) => [s, "rejected, whole, ambiguous"] as const),
    [999, "rejected, whole, ambiguous"],
  ] as const)("of %i is %s", async (status, expected) => {
    const { client, url } = await serve(answers(status, status === 304 ? "" : '{"error":"why"}'));
    const error = await failureOf(client.attempt({ path: "/items?key=1", body: [] }));
    expect(verdict(error)).toBe(expected);
    expect(error.message).toContain(`POST ${url}/items answered ${status}`);
    const body = status === 304 ? "" : '{"error":"why"}';
    expect(error.message).toContain(body);
    expect({ ...causeOf(error) }).toEqual({
      name: "HttpError",
      method: "POST",
      url: `${url}/items`,
      status,
      code: undefined,
      body,
    });
    expect(error.retryAfterMs).toBeUndefined();
  });

  it("that redirects is not followed", async () => {
    const asked: (string | undefined)[] = [];
    const { client } = await serve((request, response) => {
      asked.push(request.url);
      response.writeHead(307, { location: "/elsewhere" }).end();
    });
    const error = await failureOf(client.attempt(REQUEST));
    expect(error.message).toContain("answered 307 (redirects are not followed), with no text");
    expect(asked).toEqual(["/items"]);
  });

  it("of HTML says so", async () => {
    const page = "<!DOCTYPE html>\n<title>Bad gateway</title>";
    for (const headers of [{}, { "content-type": "text/html; charset=utf-8" }]) {
      const { client } = await serve(answers(502, page, headers));
      expect((await failureOf(client.attempt(REQUEST))).message).toMatch(
        /answered 502 with HTML: <!DOCTYPE html> <title>Bad gateway<\/title>$/,
      );
    }
  });

  it("holds where the body of its error breaks off", async () => {
    const { client } = await serve(breaksOff(422, '{"error":', { "content-length": 100 }));
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("rejected, ambiguous");
    expect(error.message).toMatch(/answered 422: {"error":…$/);
  });

  it("shows 500 bytes of its body, cut between characters, on one line", async () => {
    const { client } = await serve(answers(400, `a\r\n${"😀".repeat(200)}`));
    const body = causeOf(await failureOf(client.attempt(REQUEST))).body;
    expect(body).toBe(`a ${"😀".repeat(124)}…`);
  });

  it("shows nothing of a character that was cut in two on its way", async () => {
    const part = Buffer.from("abc😀").subarray(0, 5);
    const { client } = await serve(breaksOff(422, part, { "content-length": 100 }));
    expect(causeOf(await failureOf(client.attempt(REQUEST))).body).toBe("abc…");
  });

  it("with an endless body is read to its first 64 KiB and cancelled", async () => {
    const sent = deferred<number>();
    const { client } = await serve((request, response) => {
      const { socket } = request;
      socket.on("close", () => sent.resolve(socket.bytesWritten));
      pour(response.writeHead(400), 200 * MIB);
    });
    expect(verdict(await failureOf(client.attempt(REQUEST)))).toBe("rejected, ambiguous");
    expect(await sent.promise).toBeLessThan(100 * MIB);
  });
});

describe("Retry-After", () => {
  const epochMs = Date.UTC(2026, 0, 1, 12);
  it.each([
    [429, "7", {}, 7_000],
    [503, "Thu, 01 Jan 2026 12:00:20 GMT", {}, 20_000],
    [503, "3600", {}, 60_000],
    [500, "3600", { maxRetryAfterMs: 90_000 }, 90_000],
    [408, "Thu, 01 Jan 2026 11:00:00 GMT", {}, 0],
    [425, "later", {}, undefined],
    [400, "7", {}, undefined],
  ])("of %i and %s", async (status, header, options, expected) => {
    const clock = manualClock({ epochMs });
    const { client } = await serve(answers(status, "", { "retry-after": header }), {
      clock,
      ...options,
    });
    expect((await failureOf(client.attempt(REQUEST))).retryAfterMs).toBe(expected);
  });
});

const MIB = 2 ** 20;

/** Writes `bytes` of blanks as fast as they are taken; stops when the answer is closed. */
function pour(response: ServerResponse, bytes: number): void {
  const chunk = Buffer.alloc(64 * 1_024, " ");
  let left = bytes;
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= chunk.length;
      if (!response.write(chunk)) {
        response.once("drain", more);
        return;
      }
    }
    response.end();
  };
  more();
}

describe("maxResponseBytes", () => {
  it("stops an answer of 200 MiB early", async () => {
    const sent = deferred<number>();
    const { client } = await serve(
      (request, response) => {
        const { socket } = request;
        socket.on("close", () => sent.resolve(socket.bytesWritten));
        pour(response.writeHead(200), 200 * MIB);
      },
      { maxResponseBytes: MIB },
    );
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("rejected, ambiguous");
    expect(error.message).toMatch(
      /answered 200 with more than 1048576 bytes \(maxResponseBytes\)$/,
    );
    expect(await sent.promise).toBeLessThan(100 * MIB);
  });

  it("cancels an answer that says it is too large, before it comes", async () => {
    const closed = deferred();
    const { client } = await serve(
      (_, response) => {
        response.on("close", () => closed.resolve());
        response.writeHead(200, { "content-length": 11 }).flushHeaders(); // and nothing after them
      },
      { maxResponseBytes: 10 },
    );
    expect((await failureOf(client.attempt(REQUEST))).message).toContain("more than 10 bytes");
    await closed.promise;
  });

  it("counts bytes after decompression", async () => {
    const bomb = gzipSync(Buffer.alloc(100 * MIB, " "));
    const { client } = await serve(answers(200, bomb, { "content-encoding": "gzip" }), {
      maxResponseBytes: MIB,
    });
    expect(bomb.length).toBeLessThan(MIB);
    const before = process.memoryUsage().arrayBuffers;
    expect(verdict(await failureOf(client.attempt(REQUEST)))).toBe("rejected, ambiguous");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * MIB);
  });

  it("allows as much as it says, also where it is more while compressed", async () => {
    const { client } = await serve(answers(200, "[1,2,3,4]"), { maxResponseBytes: 9 });
    expect(await client.attempt(REQUEST)).toEqual([1, 2, 3, 4]);
    const bytes = gzipSync("[1,2,3,4]");
    const gzip = answers(200, bytes, {
      "content-encoding": "gzip",
      "content-length": String(bytes.length),
    });
    const compressed = await serve(gzip, { maxResponseBytes: 9 });
    expect(await compressed.client.attempt(REQUEST)).toEqual([1, 2, 3, 4]);
    const tight = await serve(answers(200, "[1,2,3,4]"), { maxResponseBytes: 8 });
    expect(verdict(await failureOf(tight.client.attempt(REQUEST)))).toBe("rejected, ambiguous");
  });
});

describe("a success that is not JSON is rejected as a whole", () => {
  it.each([
    [
      "HTML",
      "<html><body>Sign in",
      {},
      /answered 200, but not in JSON with HTML: <html><body>Sign in$/,
    ],
    ["invalid JSON", '{"a":1,}', {}, /answered 200, but not in JSON: {"a":1,}$/],
    ["blanks", "  ", {}, /but not in JSON, with no text$/],
    ["invalid UTF-8", Buffer.from([0x22, 0xe9, 0x22]), {}, /but not in JSON: "\ufffd"$/],
    [
      "false gzip",
      "plain",
      { "content-encoding": "gzip" },
      /cannot be decompressed: incorrect header/,
    ],
  ] as const)("%s", async (_, body, headers, message) => {
    const { client } = await serve(answers(200, body, headers));
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("rejected, whole, ambiguous");
    expect(error.message).toMatch(message);
    expect(causeOf(error).status).toBe(200);
  });
});

describe("without a whole answer", () => {
  const text = JSON.stringify({
    a: "x".repeat(1_000),
    b: Array.from({ length: 99 }, (_, i) => i * i),
  });
  const gzip = gzipSync(text);
  it.each([
    ["of a known length", breaksOff(200, '{"a":', { "content-length": 100 }), 5],
    ["in chunks", breaksOff(200, '{"a":', {}), 5],
    [
      "compressed",
      breaksOff(200, gzip.subarray(0, 50), {
        "content-encoding": "gzip",
        "content-length": gzip.length,
      }),
      undefined,
    ],
  ])("one that breaks off %s is tried again", async (_, listener, bytes) => {
    const { client } = await serve(listener);
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("retryable, ambiguous");
    expect(error.message).toMatch(/answered 200 and broke off after \d+ bytes: /);
    if (bytes !== undefined) expect(error.message).toContain(`after ${bytes} bytes`);
    expect(causeOf(error)).toMatchObject({ status: 200, code: "UND_ERR_SOCKET" });
  });

  it("a hang-up is ambiguous", async () => {
    const { client } = await serve((request) => request.socket.destroy());
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("retryable, ambiguous");
    expect(causeOf(error).status).toBeUndefined();
  });

  it("a refused connection certainly changed nothing", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    const client = createJsonClient({ baseUrl: `http://127.0.0.1:${port}/v1` });
    const error = await failureOf(client.attempt(REQUEST));
    expect(verdict(error)).toBe("retryable");
    expect(error.message).toBe(
      `POST http://127.0.0.1:${port}/v1/items failed: connect ECONNREFUSED 127.0.0.1:${port}`,
    );
    expect(causeOf(error)).toMatchObject({ status: undefined, code: "ECONNREFUSED" });
  });

  const coded = (code: string): Error => Object.assign(new Error(`connect ${code}`), { code });
  const several = (...codes: string[]): Error =>
    Object.assign(new AggregateError(codes.map(coded)), { code: codes[0] });
  it.each([
    [coded("ENOTFOUND"), "retryable"],
    [coded("EAI_AGAIN"), "retryable"],
    [coded("ECONNRESET"), "retryable, ambiguous"],
    [coded("UND_ERR_CONNECT_TIMEOUT"), "retryable, ambiguous"],
    [several("ECONNREFUSED", "ECONNREFUSED"), "retryable"],
    [several("ECONNREFUSED", "ETIMEDOUT"), "retryable, ambiguous"],
    [new AggregateError([coded("ECONNREFUSED"), new Error("?")]), "retryable, ambiguous"],
    [new Error("bad port"), "retryable, ambiguous"],
    ["text", "retryable, ambiguous"],
  ])("%s: %s", async (cause, expected) => {
    const fetch: Fetch = () => Promise.reject(new TypeError("fetch failed", { cause }));
    const client = createJsonClient({ baseUrl: "http://host.invalid", fetch });
    expect(verdict(await failureOf(client.attempt(REQUEST)))).toBe(expected);
  });

  it("a cause that is its own cause ends", async () => {
    const error = new Error("round");
    error.cause = error;
    const client = createJsonClient({
      baseUrl: "http://h.invalid",
      fetch: () => Promise.reject(error),
    });
    expect((await failureOf(client.attempt(REQUEST))).message).toContain("failed: round");
  });
});

describe("signal", () => {
  const reason = new RangeError("enough");

  it("aborted before: nothing is sent", async () => {
    const { client, connections } = await serve(answers(204));
    const signal = AbortSignal.abort(reason);
    await expect(client.attempt(REQUEST, { signal })).rejects.toBe(reason);
    expect(connections()).toBe(0);
  });

  it.each([
    ["before headers", (): void => {}],
    ["in mid-body", (response: ServerResponse): void => void response.writeHead(200).write("[1,")],
    [
      "in an error's body",
      (response: ServerResponse): void => void response.writeHead(500).write("a"),
    ],
  ])("aborted %s: rejects with its reason and lets go of the connection", async (_, begin) => {
    const controller = new AbortController();
    const asked = deferred();
    const closed = deferred();
    const read = deferred();
    const { client } = await serve(
      (request, response) => {
        request.socket.on("close", () => closed.resolve());
        begin(response);
        asked.resolve();
      },
      {
        fetch: async (url, init) => {
          const answered = fetch(url, init);
          if (begin.length === 0) read.resolve();
          const response = await answered;
          const reader = response.body?.getReader();
          if (reader === undefined) return { ...response, body: null };
          const { status, headers } = response;
          const watched = {
            cancel: () => reader.cancel(),
            read: async () => {
              const chunk = await reader.read();
              setImmediate(read.resolve); // the next read is under way by then
              return chunk;
            },
          };
          return { status, headers, body: { getReader: () => watched } };
        },
      },
    );
    const attempt = client.attempt(REQUEST, { signal: controller.signal });
    const outcome = attempt.catch((error: unknown) => error);
    await Promise.all([asked.promise, read.promise]);
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    await closed.promise;
  });

  it("rejects at once though fetch takes no notice, and cancels what comes late", async () => {
    const controller = new AbortController();
    const response = deferred<Awaited<ReturnType<Fetch>>>();
    const cancelled = deferred();
    const client = createJsonClient({ baseUrl: "http://h.invalid", fetch: () => response.promise });
    const attempt = client.attempt(REQUEST, { signal: controller.signal });
    const outcome = attempt.catch((error: unknown) => error);
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    const body = new ReadableStream<Uint8Array>({ cancel: () => cancelled.resolve() });
    response.resolve(new Response(body));
    await cancelled.promise;
  });

  it("cancels a body that takes no notice", async () => {
    const controller = new AbortController();
    const reading = deferred();
    const cancelled = deferred();
    const body = new ReadableStream<Uint8Array>(
      { pull: () => reading.resolve(), cancel: () => cancelled.resolve() },
      { highWaterMark: 0 },
    );
    const client = createJsonClient({
      baseUrl: "http://h.invalid",
      fetch: () => Promise.resolve(new Response(body)),
    });
    const attempt = client.attempt(REQUEST, { signal: controller.signal });
    const outcome = attempt.catch((error: unknown) => error);
    await reading.promise;
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    await cancelled.promise;
  });

  it("keeps no listener after an attempt", async () => {
    const { client } = await serve(answers(500));
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...all: Parameters<typeof add>) => {
      listeners += 1;
      add(...all);
    };
    signal.removeEventListener = (...all: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...all);
    };
    await failureOf(client.attempt(REQUEST, { signal }));
    expect(listeners).toBe(0);
  });
});

describe("connections", () => {
  it("are used again, after failures too", async () => {
    const statuses = [200, 500, 204, 302, 429, 404, 413, 503, 400, 200];
    let asked = 0;
    const { client, connections } = await serve((request, response) => {
      const status = statuses[asked % statuses.length] ?? 200;
      asked += 1;
      const body = asked % 20 === 0 ? "<html>" : `"${"x".repeat(9_000)}"`;
      // An answer that comes before all of the request is sent costs the connection, in any client.
      request.resume().on("end", () => answers(status, body)(request, response));
    });
    for (let index = 0; index < 20; index += 1) {
      await client.attempt(REQUEST).catch((error: unknown) => error);
    }
    expect(asked).toBe(20);
    // The platform opens a second one when asked again while it puts the first back.
    expect(connections()).toBeLessThanOrEqual(2);
  });
});

describe("secrets", () => {
  const TOKEN = `canary-"t0ken"/<é>\\x+${"k".repeat(20)}`;
  const REQUEST_TOKEN = "canary-of-the-request";
  const headers = { authorization: `Bearer ${TOKEN}`, "x-key": "canary-of-the-client" };
  const request: JsonRequest = { ...REQUEST, headers: { "x-other": REQUEST_TOKEN } };

  /** Everything that can be seen of an error: also what is not enumerable, and all causes. */
  const surface = (error: unknown): string => {
    const texts: string[] = [
      inspect(error, { depth: 20, showHidden: true }),
      JSON.stringify(error),
    ];
    for (let one = error; one instanceof Error; one = one.cause) {
      for (const key of Reflect.ownKeys(one)) texts.push(String(Reflect.get(one, key)));
    }
    return texts.join("\n");
  };
  const expectNoSecret = (error: unknown): void => {
    expect(error).toBeInstanceOf(Error);
    expect(surface(error)).not.toMatch(/canary|t0ken|kkkkkk/);
  };

  const echoed = [headers.authorization, TOKEN, headers["x-key"], REQUEST_TOKEN].flatMap(
    (secret) => [
      secret,
      JSON.stringify(secret),
      JSON.stringify({ error: JSON.stringify({ secret }) }),
      encodeURIComponent(secret),
      secret.replaceAll("<", "\\u003c").replaceAll(">", "\\u003E"),
      ...[...secret].map((_, cut) => "·".repeat(249 - (cut >> 1)) + secret.repeat(40)),
      ...[0, 5, 11, 17].map((cut) => "x".repeat(64 * 1_024 - cut) + secret),
      ...[0, 5, 11, 17].map((cut) => secret.repeat(3) + " ".repeat(16 * 1_024 - cut) + secret),
    ],
  );
  it.each([200, 302, 400, 404, 429, 503])("are never shown by an answer of %i", async (status) => {
    let body = "";
    const { client } = await serve(
      (incoming, response) => {
        answers(status, `{${body}`, { location: `/${TOKEN.slice(0, 7)}` })(incoming, response);
      },
      { headers },
    );
    for (const text of echoed) {
      body = text;
      expectNoSecret(await failureOf(client.attempt(request)));
    }
  });

  it("are never shown where the answer breaks off in one, or was sent as Latin-1", async () => {
    for (let length = 1; length <= TOKEN.length; length += 1) {
      const part = Buffer.from(`error: ${TOKEN.slice(0, length)}`, length % 2 ? "utf8" : "latin1");
      const { client } = await serve(breaksOff(500, part, { "content-length": 999 }), { headers });
      const error = await failureOf(client.attempt(request));
      expectNoSecret(error);
    }
  });

  it("are never shown by what is no HTTP at all", async () => {
    const { client } = await serve(
      ({ socket }) => socket.end(`Bearer ${TOKEN} ${REQUEST_TOKEN}\r\n\r\n`),
      { headers },
    );
    const error = await failureOf(client.attempt(request));
    expect(causeOf(error).code).toMatch(/^HPE_/);
    expectNoSecret(error);
  });

  it("are never shown by a fetch that says too much", async () => {
    const fetch: Fetch = (url, init) =>
      Promise.reject(
        Object.assign(new TypeError(`${url} ${inspect(init)}`, { cause: inspect(init) }), { init }),
      );
    const client = createJsonClient({ baseUrl: "http://h.invalid", headers, fetch });
    expectNoSecret(await failureOf(client.attempt(request)));
  });

  it("are never shown by a path, a method or a body that hold one", async () => {
    const { client } = await serve(answers(500), { headers });
    for (const more of [
      { path: `/${REQUEST_TOKEN}/${encodeURIComponent(TOKEN)}` },
      { path: `/?key=${REQUEST_TOKEN}` },
      { path: `//${REQUEST_TOKEN}?${TOKEN}` },
      { path: `/${"x".repeat(70)}${REQUEST_TOKEN}#` },
      { method: `${REQUEST_TOKEN} ` },
      {
        body: {
          toJSON: (): never => {
            throw new Error(REQUEST_TOKEN);
          },
        },
      },
    ]) {
      expectNoSecret(await failureOf(client.attempt({ ...request, ...more })));
    }
  });

  it.each([
    { authorization: "canary\n" },
    { authorization: "canary\r\nx: y" },
    { authorization: "canary\0" },
    { authorization: "canary😀" },
    { authorization: ["canary"] },
    { authorization: undefined },
    { "authorization: canary": "" },
    { "authorization\n": "canary" },
  ])("are never shown by the refusal of a header: %j", async (bad) => {
    const wrong = bad as never as Record<string, string>;
    const make = (): unknown => createJsonClient({ baseUrl: "http://h", headers: wrong });
    expect(make).toThrow(/"authorization/);
    try {
      make();
    } catch (error) {
      expectNoSecret(error);
      expect(error).toMatchObject({ code: "SLUICE_ERR_OPTION_INVALID" });
    }
    const { client } = await serve(answers(204));
    const error = await failureOf(client.attempt({ path: "/", headers: wrong }));
    expectNoSecret(error);
    expect(error.message).toContain("request.headers");
  });

  it("keep the excerpt readable", async () => {
    const { client } = await serve(answers(401, `{"error":"Bearer ${REQUEST_TOKEN} is unknown"}`), {
      headers,
    });
    const error = await failureOf(client.attempt(request));
    expect(error.message).toMatch(/answered 401: {"error":"Bearer \[redacted\] is unknown"}$/);
  });
});

describe("a body without a form in JSON is rejected as a whole, unsent", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);
  it.each([
    ["a cycle", cycle, /circular/],
    ["a bigint", { a: 1n }, /BigInt/],
    ["a function", (): void => {}, /it is a function/],
    ["a symbol", Symbol("a"), /it is a symbol/],
  ])("%s", async (_, body, message) => {
    const { client, connections } = await serve(answers(204));
    const error = await failureOf(client.attempt({ path: "/", body }));
    expect(verdict(error)).toBe("rejected, whole");
    expect(error.message).toMatch(message);
    expect(causeOf(error).status).toBeUndefined();
    expect(connections()).toBe(0);
  });
});

describe("a request is refused", () => {
  it.each([
    "",
    "items",
    "//evil.example",
    "https://evil.example/",
    "@evil.example",
    "/../x",
    "/a/..",
    "/a/%2e%2E/x",
    "/./x",
    "/.%2e",
    "/\\evil.example",
    "/a\\..\\..",
    "/\t/evil.example",
    "/.\n./x",
    "/a b",
    "/a\0",
    "/a#b",
    "/a\ud800",
  ])("for its path %j, which is quoted", async (path) => {
    const asked: string[] = [];
    const fetch: Fetch = (url) => {
      asked.push(url);
      return Promise.reject(new Error("sent"));
    };
    const client = createJsonClient({ baseUrl: "http://host.invalid/api", fetch });
    const error = await failureOf(client.attempt({ path }));
    expect(error.code).toBe("SLUICE_ERR_OPTION_INVALID");
    expect(error.message).toMatch(/^request\.path must be /);
    expect(error.message).toContain(`received ${JSON.stringify(path.replace(/#.*/, "…"))}`);
    expect(asked).toEqual([]);
  });

  it.each([
    [{ path: 1 }, "request.path must be a string; received 1"],
    [{ path: "/", method: "" }, 'request.method must be a method that fetch sends; received ""'],
    [{ path: "/", method: "A B" }, "request.method"],
    [{ path: "/", method: "connect" }, "request.method"],
    [{ path: "/", method: null }, "request.method must be a string; received null"],
    [{ path: "/", method: "get", body: 1 }, "request.method"],
    [{ path: "/", retries: 1 }, 'there is no option "request.retries"'],
    [undefined, "request must be an object; received undefined"],
    [{ path: "/", headers: [["a", "b"]] }, "request.headers must be a plain object of strings"],
    [{ path: "/", headers: new Headers({ a: "b" }) }, "received Headers"],
    [{ path: "/", headers: { "Content-Length": "3" } }, '"Content-Length"'],
    [{ path: "/", headers: { "transfer-encoding": "chunked" } }, '"transfer-encoding"'],
  ])("%j: %s", async (request, message) => {
    const { client, connections } = await serve(answers(204));
    const error = await failureOf(client.attempt(request as never));
    expect(error.disposition).toBe("usage");
    expect(error.message).toContain(message);
    expect(connections()).toBe(0);
  });

  it("for an unknown option of the call", async () => {
    const { client } = await serve(answers(204));
    const error = await failureOf(client.attempt(REQUEST, { timeoutMs: 1 } as object));
    expect(error.code).toBe("SLUICE_ERR_OPTION_UNKNOWN");
  });
});

describe("createJsonClient", () => {
  it.each([
    "http://user:hunter22@host/",
    "http://:hunter22@host/",
    "https://hunter22@host",
    "user:hunter22@host",
    "//user:hunter22@host",
    "http://user:hunter22@ho st",
    "http://host/?key=hunter22",
    "http://host/#hunter22",
    "ftp://host/?hunter22",
  ])("refuses the baseUrl %s without showing its secret", (baseUrl) => {
    expect(() => createJsonClient({ baseUrl })).toThrow(/^baseUrl must be a/);
    expect(() => createJsonClient({ baseUrl })).not.toThrow(/hunter22/);
  });

  it.each([
    [{}, 'baseUrl must be a URL; received "undefined"'],
    [{ baseUrl: "host" }, 'baseUrl must be a URL; received "host"'],
    [{ baseUrl: "ftp://host/" }, 'an http or https URL; received "ftp://host/"'],
    [{ baseUrl: 5 }, 'baseUrl must be a URL; received "number"'],
    [{ baseUrl: "http://h", maxResponseBytes: 0 }, "maxResponseBytes must be a whole number"],
    [{ baseUrl: "http://h", maxResponseBytes: 2 ** 29 }, "maxResponseBytes"],
    [{ baseUrl: "http://h", maxRetryAfterMs: -1 }, "maxRetryAfterMs must be milliseconds"],
    [{ baseUrl: "http://h", fetch: 1 }, "fetch must be a function; received 1"],
    [{ baseUrl: "http://h", clock: {} }, "clock must be an object with now(); received {}"],
    [{ baseUrl: "http://h", timeoutMs: 1 }, 'there is no option "timeoutMs"'],
    [undefined, "the options must be an object; received undefined"],
  ])("refuses %j: %s", (options, message) => {
    expect(() => createJsonClient(options as never as JsonClientOptions)).toThrow(message);
  });

  it("takes any fetch of the platform's form", () => {
    const platform: Fetch = globalThis.fetch;
    expect(createJsonClient({ baseUrl: "http://h", fetch: platform })).toHaveProperty("attempt");
  });
});
