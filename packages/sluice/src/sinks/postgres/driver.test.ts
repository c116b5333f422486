import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { type PgClient, type PgPool, transactor } from "./driver.ts";

/** A client of `pg` that answers everything with no rows. */
class FakeClient extends EventEmitter implements PgClient {
  readonly queries: string[] = [];
  released: boolean | undefined;
  async query({ text }: { text: string }) {
    this.queries.push(text);
    return { rows: [] };
  }
  release(destroy = false): void {
    this.released = destroy;
  }
}

/** A pool whose clients meet with `fate` as soon as they are handed out. */
class FakePool implements PgPool {
  readonly client = new FakeClient();
  readonly #fate: (client: FakeClient) => void;
  constructor(fate: (client: FakeClient) => void) {
    this.#fate = fate;
  }
  connect(callback?: (error: Error | undefined, client: PgClient | undefined) => void) {
    const client = Promise.resolve(this.client);
    callback?.(undefined, this.client);
    this.#fate(this.client);
    return client;
  }
}

describe("a client of pg", () => {
  it("whose connection is killed as it opens is heard, not thrown at the process", async () => {
    // An `error` event that nobody listens to is thrown where it is emitted: here.
    const pool = new FakePool((client) => client.emit("error", new Error("killed")));
    await expect(transactor(pool)(async () => "done")).resolves.toBe("done");
    expect(pool.client.queries).toEqual(["BEGIN", "COMMIT"]);
    expect(pool.client.released).toBe(false);
    expect(pool.client.listenerCount("error")).toBe(0);
  });

  it("may come from a wrapper that knows promises only, and has no events", async () => {
    const queries: string[] = [];
    const client: PgClient = {
      query: async ({ text }) => {
        queries.push(text);
        return { rows: [] };
      },
      release: () => queries.push("released"),
    };
    await expect(transactor({ connect: async () => client })(async () => 1)).resolves.toBe(1);
    expect(queries).toEqual(["BEGIN", "COMMIT", "released"]);
  });

  it("whose COMMIT is answered with ROLLBACK has committed nothing, and says so", async () => {
    const client = {
      query: async ({ text }: { text: string }) => {
        return { rows: [], command: text === "COMMIT" ? "ROLLBACK" : text };
      },
      release: () => undefined,
    };
    const transact = transactor({ connect: async () => client });
    await expect(transact(async () => 1)).rejects.toThrow(/COMMIT with ROLLBACK/);
  });

  it("that the pool cannot give is an error, by callback and by promise", async () => {
    const refused = new Error("no room");
    const byPromise = transactor({ connect: () => Promise.reject(refused) });
    const byCallback = transactor({ connect: (done) => done?.(refused, undefined) });
    await expect(byPromise(async () => 1)).rejects.toBe(refused);
    await expect(byCallback(async () => 1)).rejects.toBe(refused);
  });

  it("is given back unused when the attempt was given up while it was awaited", async () => {
    const controller = new AbortController();
    const pool = new FakePool(() => controller.abort(new Error("too late")));
    const work = transactor(pool)(async () => "done", { signal: controller.signal });
    await expect(work).rejects.toThrow("too late");
    expect(pool.client.queries).not.toContain("COMMIT");
    expect(pool.client.released).toBeDefined();
    expect(pool.client.listenerCount("error")).toBe(0);
  });
});
