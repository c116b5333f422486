import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { Session } from "chdb";
import { describe, expect, test } from "vitest";
import { openRowStore, type RowStore } from "./clickhouse.ts";
import { Failure } from "./failure.ts";

async function opened(): Promise<RowStore> {
  const store = await openRowStore(undefined);
  if ("skipped" in store) throw new Error(store.skipped);
  return store;
}

async function failureOf(opening: Promise<unknown>): Promise<Failure> {
  const error = await opening.catch((thrown: unknown) => thrown);
  if (error instanceof Failure) return error;
  throw new Error("it was no failure", { cause: error });
}

describe("embedded", () => {
  test("answers, and is gone afterwards", async () => {
    const store = await opened();
    expect(store.label).toBe("embedded ClickHouse");
    expect(await store.query("SELECT toString(7) AS a, 'é' AS b", [])).toEqual([
      { a: "7", b: "é" },
    ]);
    const path = "path" in store.client ? store.client.path : "";
    expect(existsSync(path)).toBe(true);
    await store.close();
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    ["is absent", { code: "ERR_MODULE_NOT_FOUND" }, "chDB is not installed"],
    ["has no binary", {}, "chDB cannot be loaded (no binding: tried a; tried b)"],
  ])("says what to do where the module %s", async (_, code, why) => {
    const error = Object.assign(new Error("no binding:\n  tried a\n  tried b"), code);
    const store = await openRowStore(undefined, () => Promise.reject(error));
    expect(store).toHaveProperty("skipped", expect.stringContaining(`because ${why}; `));
    expect(store).toHaveProperty("skipped", expect.stringContaining("`npm install chdb`"));
    await store.close();
  });

  test("a session that cannot be opened is a failure", async () => {
    class Broken extends Session {
      constructor() {
        super("/dev/null/nowhere");
      }
    }
    const failure = await failureOf(openRowStore(undefined, async () => ({ Session: Broken })));
    expect(failure.message).toMatch(/^cannot use the embedded ClickHouse: .+$/);
    expect(failure.exitCode).toBe(1);
  });
});

describe("a server", () => {
  test.each([
    ["ftp://u:secret@h/d", 'received "ftp://u:***@h/d"'],
    ["h:8123", 'received "h:8123"'],
    ["http://", 'not a valid URL: "http://"'],
    ["http://u:secret@h:port", 'not a valid URL: "http://u:***@h:port"'],
    ["http://u:secret@h/?nonsense=1", 'not a valid URL: "http://u:***@h/?nonsense=1"'],
    ["http://h/?request_timeout=soon", 'not a valid URL: "http://h/?request_timeout=soon"'],
  ])("is not named by %s", async (url, words) => {
    const failure = await failureOf(openRowStore(url));
    expect(failure.message).toContain("--clickhouse ");
    expect(failure.message).toContain(words);
    expect(failure.message).toContain("sluice demo --help");
    expect(failure.message).not.toContain("secret");
    expect(failure.exitCode).toBe(2);
  });

  test("that nobody runs is a failure of one line", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
    await new Promise((resolve) => server.close(resolve));
    const failure = await failureOf(openRowStore(`http://u:secret@127.0.0.1:${port}/d`));
    expect(failure.message).toBe(
      `cannot use the database "http://u:***@127.0.0.1:${port}/d": ` +
        `connect ECONNREFUSED 127.0.0.1:${port}`,
    );
    expect(failure.exitCode).toBe(1);
  });
});
