/**
 * A TCP proxy between a driver and the server that does harm on request. It understands nothing of
 * what it forwards but whether it holds COMMIT: asked for, or done.
 */
import { connect, createServer, type Socket } from "node:net";

/**
 * What becomes of a message. `pass`: it is forwarded. `cut`: it is not, and both sides
 * lose their connection. `deafen`: the server still gets it, and the client loses its connection
 * before it can hear an answer. `stall`: the server gets it, and answers are held back until
 * `release`. `hold`: it is held back until `release`, and then the server gets it even if the client
 * has left. Messages of the server can be passed or cut.
 */
export type Fate = "pass" | "cut" | "deafen" | "stall" | "hold";

type Side = "client" | "server";

export interface Message {
  readonly from: Side;
  /** The client asks for COMMIT, or the server has done it. Once prepared, the client's has no text. */
  readonly commit: boolean;
  readonly text: string;
}

export interface Proxy {
  /** The URL to connect to instead of the server's. */
  readonly url: string;
  /** How often each fate but `pass` struck, and how often a connection was torn. */
  readonly struck: Record<Exclude<Fate, "pass"> | "torn", number>;
  /** Decides on each message. Replace it at any time. */
  fate: (message: Message) => Fate;
  /** While true, connections are refused. */
  refusing: boolean;
  /**
   * Lets so many more bytes of one side pass, over all connections, and cuts the connection that
   * carries the next one, wherever in a message that is.
   */
  tear(from: Side, bytes: number): void;
  /** Lets go of what is held back. */
  release(): void;
  /** Cuts every connection. */
  cutAll(): void;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly upstream: Socket;
  stalled: boolean;
  held: Buffer | undefined;
}

/** Starts a proxy before the server that `target` names. */
export async function openProxy(target: string): Promise<Proxy> {
  const server = new URL(target);
  const pairs = new Set<Pair>();
  const tears: { readonly from: Side; left: number }[] = [];
  /** How much of a message gets through; undefined where all of it does. */
  const untilTorn = (from: Side, length: number): number | undefined => {
    const index = tears.findIndex((tear) => tear.from === from);
    const tear = tears[index];
    if (tear === undefined) return undefined;
    if (length <= tear.left) {
      tear.left -= length;
      return undefined;
    }
    tears.splice(index, 1);
    proxy.struck.torn += 1;
    return tear.left;
  };
  const listener = createServer((client) => {
    if (proxy.refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(Number(server.port), server.hostname);
    const pair: Pair = { client, upstream, stalled: false, held: undefined };
    pairs.add(pair);
    const end = (): void => {
      client.destroy();
      if (pair.held !== undefined) return;
      pairs.delete(pair);
      upstream.end(); // what was forwarded is still carried out
    };
    /** Forwards a message, or what there is of it until the connection is torn. */
    const forward = (from: Side, data: Buffer): void => {
      const to = from === "client" ? upstream : client;
      const kept = untilTorn(from, data.length);
      if (!to.destroyed) to.write(kept === undefined ? data : data.subarray(0, kept));
      if (kept === undefined) return;
      client.destroySoon();
      upstream.end();
    };
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("data", (data) => {
      const text = data.toString("latin1");
      const fate = proxy.fate({ from: "client", commit: /commit/i.test(text), text });
      if (fate !== "pass") proxy.struck[fate] += 1;
      if (fate === "cut") {
        end();
        return;
      }
      if (fate === "hold") {
        pair.held = data;
        return;
      }
      if (fate === "stall") {
        upstream.pause();
        pair.stalled = true;
      }
      forward("client", data);
      if (fate === "deafen") end();
    });
    upstream.on("data", (data) => {
      const text = data.toString("latin1");
      if (proxy.fate({ from: "server", commit: text.includes("COMMIT\0"), text }) !== "pass") {
        proxy.struck.cut += 1;
        end();
        return;
      }
      forward("server", data);
    });
  });
  const proxy: Proxy = {
    url: "",
    struck: { cut: 0, deafen: 0, stall: 0, hold: 0, torn: 0 },
    fate: () => "pass",
    refusing: false,
    tear: (from, bytes) => {
      tears.push({ from, left: bytes });
    },
    release: () => {
      for (const pair of pairs) {
        if (pair.stalled) pair.upstream.resume();
        if (pair.held === undefined) continue;
        pair.upstream.write(pair.held);
        pair.held = undefined;
        if (pair.client.destroyed) pair.upstream.end();
      }
    },
    cutAll: () => {
      for (const { client, upstream } of pairs) {
        client.destroy();
        upstream.end();
      }
    },
    close: () =>
      new Promise((resolve) => {
        for (const { client, upstream } of pairs) {
          client.destroy();
          upstream.destroy();
        }
        listener.close(() => resolve());
      }),
  };
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const address = listener.address();
  if (typeof address !== "object" || address === null) throw new Error("the proxy has no port");
  const url = new URL(target);
  url.port = String(address.port);
  return Object.assign(proxy, { url: url.href });
}

/** Kills a connection to the database of `query`, one at work if there is any; says how many it were. */
export async function killOne(
  query: (text: string) => Promise<readonly unknown[]>,
): Promise<number> {
  const rows = await query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND datname = current_database()
       AND pid <> pg_backend_pid()
     ORDER BY state = 'idle', random() LIMIT 1`,
  );
  return rows.length;
}

/**
 * Kills connections to the database of `query`, those at work first, one every `everyMs` on average,
 * until stopped; says how many.
 */
export function startKilling(
  query: (text: string) => Promise<readonly unknown[]>,
  random: () => number,
  everyMs: number,
): () => Promise<number> {
  let stopped = false;
  let killed = 0;
  const run = async (): Promise<void> => {
    while (!stopped) {
      killed += await killOne(query);
      await new Promise((resolve) => setTimeout(resolve, 2 * random() * everyMs));
    }
  };
  const done = run();
  return async () => {
    stopped = true;
    await done;
    return killed;
  };
}
