import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { chdbTransport } from "./chdb-transport.ts";
import { clientTransport, type ExecParams } from "./client-transport.ts";
import { classifyClickHouse, serverCode } from "./error-codes.ts";

const { signal } = new AbortController();
const request = (body: readonly Uint8Array[]) => ({
  into: "`t` (`a`)",
  structure: "`a` String",
  format: "RowBinary" as const,
  body,
  settings: { async_insert: 0, insert_deduplication_token: "it's" },
  signal,
});

/** A client that notes what it is asked and answers with `text`. */
function fakeClient(text: string) {
  const asked: (ExecParams & { body?: string })[] = [];
  const answers: Readable[] = [];
  const client = {
    exec: async (params: ExecParams) => {
      const { values } = params;
      asked.push({ ...params, ...(values && { body: String(await buffer(values)) }) });
      const stream = Readable.from([Buffer.from(text.slice(0, 5)), Buffer.from(text.slice(5))]);
      answers.push(stream);
      return { stream };
    },
  };
  return { client, asked, answers };
}

describe("the transport of the official client", () => {
  it("streams the body and reads the answer to its end", async () => {
    const { client, asked, answers } = fakeClient("");
    await clientTransport(client).insert(request([Buffer.from("ab"), Buffer.from("c")]));
    expect(asked[0]).toMatchObject({
      query: "INSERT INTO `t` (`a`) FORMAT RowBinary",
      body: "abc",
      clickhouse_settings: { async_insert: 0, wait_end_of_query: 1 },
      abort_signal: signal,
    });
    expect(answers[0]?.readableEnded).toBe(true);
  });

  it("reads rows, whatever pieces they come in", async () => {
    const { client, asked } = fakeClient('{"a":"é","b":"18446744073709551615"}\n{"a":"\\n"}\n');
    const rows = await clientTransport(client).query("SELECT 1", { signal });
    expect(rows).toEqual([{ a: "é", b: "18446744073709551615" }, { a: "\n" }]);
    expect(asked[0]?.query).toBe("SELECT 1 FORMAT JSONEachRow");
    const proxy = clientTransport(fakeClient("<html>").client);
    await expect(proxy.query("SELECT 1", { signal })).rejects.toThrow(/not JSONEachRow/);
  });

  it("sends nothing for an attempt that was given up", async () => {
    const { client, asked } = fakeClient("");
    const gone = AbortSignal.abort(new Error("too late"));
    const { insert } = clientTransport(client);
    await expect(insert({ ...request([]), signal: gone })).rejects.toThrow("too late");
    expect(asked).toHaveLength(0);
  });

  it("keeps a server's whole message, where the client tells the status", async () => {
    const asked: ExecParams[] = [];
    const answers = [
      { http_status_code: 200, text: "" },
      { http_status_code: 500, text: "Code: 469. DB::Exception: (USA): while pushing to view v" },
      { http_status_code: 502, text: "" },
      { http_status_code: 200, text: "Code: 6. DB::Exception: late", code: "6" },
    ];
    const transport = clientTransport({
      exec: async (params) => {
        const { text = "", code, ...answer } = answers[asked.length] ?? {};
        asked.push(params);
        const response_headers = { "x-clickhouse-exception-code": code };
        return { stream: Readable.from([Buffer.from(text)]), response_headers, ...answer };
      },
    });
    await transport.command("SELECT 1", { signal });
    await expect(transport.insert(request([]))).rejects.toThrow(/^Code: 469.*view v$/);
    await expect(transport.insert(request([]))).rejects.toMatchObject({ status: 502 });
    await expect(transport.insert(request([]))).rejects.toMatchObject({ code: "6" });
    expect(asked.map((params) => params.ignore_error_response)).toEqual([
      undefined,
      true,
      true,
      true,
    ]);
  });

  it.each([
    ["Code: 241. DB::Exception: Query memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", 241],
    ["<html>Please log in</html>", undefined],
    ["\r\n__exception__\r\nCode: 6. DB::Exception: late", undefined],
  ])("takes words behind a good status for an error: %s", async (text, code) => {
    const error = await clientTransport(fakeClient(text).client)
      .insert(request([]))
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ message: text });
    expect(serverCode(error)).toBe(code);
    if (code === undefined) expect(classifyClickHouse(error)).toMatchObject({ ambiguous: true });
  });

  it("takes an empty line for no words", async () => {
    await clientTransport(fakeClient("\n").client).insert(request([]));
  });

  it("leaves errors to a client that tells no status", async () => {
    const { client, asked } = fakeClient("");
    const transport = clientTransport(client);
    for (let time = 0; time < 2; time += 1) await transport.insert(request([]));
    expect(asked.map((params) => params.ignore_error_response)).toEqual([undefined, undefined]);
  });

  it("gives up an answer that does not end", async () => {
    const controller = new AbortController();
    const stream = new Readable({ read: () => undefined });
    const transport = clientTransport({ exec: async () => ({ stream }) });
    const asked = transport.query("SELECT 1", { signal: controller.signal });
    await Promise.resolve();
    controller.abort();
    await expect(asked).rejects.toThrow("given up");
    expect(stream.destroyed).toBe(true);
  });
});

describe("the transport of chDB", () => {
  it("sends rows within the statement, as base64", async () => {
    const asked: string[] = [];
    const transport = chdbTransport({
      queryAsync: async (sql) => {
        asked.push(sql);
        return { text: () => "" };
      },
    });
    await transport.insert(request([Buffer.from([0, 255]), Buffer.from([39])]));
    expect(asked[0]).toBe(
      "INSERT INTO `t` (`a`) SETTINGS async_insert = 0, insert_deduplication_token = 'it\\'s', max_query_size = 1073741824 SELECT * FROM format(RowBinary, '`a` String', base64Decode('AP8n'))",
    );
    const huge = { byteLength: 2 ** 30 } as Uint8Array;
    await expect(transport.insert(request([huge]))).rejects.toMatchObject({
      disposition: "rejected",
      ambiguous: false,
    });
  });
});
