import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import type { SluiceEvent } from "../../events.ts";
import type { Pubsub, Subscriber, Subscription } from "../../pubsub/pubsub.ts";
import { type ManualClock, manualClock } from "../../testing/manual-clock.ts";
import type { PgClient, PgPool } from "./driver.ts";
import type { PgListenClient, PostgresJsListener } from "./listen-connection.ts";
import { postgresPubsub, type PostgresPubsubOptions } from "./postgres-pubsub.ts";

const never = (): Promise<never> => new Promise(() => undefined);

/** A database: what is published through its pool reaches the clients that listen. */
class World {
  readonly clock: ManualClock = manualClock();
  readonly events: SluiceEvent[] = [];
  /** Every client that was made, the latest last. */
  readonly clients: FakeClient[] = [];
  /** What the pool was asked to do. */
  readonly sent: { text: string; values: readonly unknown[] }[] = [];
  /** How the next clients behave. */
  connect: () => Promise<void> = async () => undefined;
  listen: (channel: string) => Promise<void> = async () => undefined;
  end: () => Promise<void> = async () => undefined;
  /** False loses what is published, as a transaction pooler does. */
  audible = true;
  publish: () => Promise<void> = async () => undefined;

  readonly pool: PgPool = {
    connect: (callback) => callback?.(undefined, this.#client),
  };

  readonly #client: PgClient = {
    release: () => undefined,
    query: async ({ text, values = [] }) => {
      this.sent.push({ text, values });
      if (!text.includes("pg_notify")) return { rows: [] };
      await this.publish();
      const [channel, literal] = values.map(String);
      const payloads = [...(literal ?? "").matchAll(/"([^"]*)"/g)].map(([, payload]) => payload);
      if (!this.audible) return { rows: [] };
      for (const client of this.clients) {
        if (!client.listening.has(channel ?? "")) continue;
        for (const payload of payloads) client.emit("notification", { channel, payload });
      }
      return { rows: [] };
    },
  };

  pubsub(options: PostgresPubsubOptions = {}): Pubsub {
    return postgresPubsub(this.pool, {
      clock: this.clock,
      random: () => 0.999_999_999,
      observe: (event) => this.events.push(event),
      listen: () => new FakeClient(this),
      ...options,
    });
  }

  get client(): FakeClient {
    const client = this.clients.at(-1);
    if (client === undefined) throw new Error("no client was made");
    return client;
  }

  get warnings(): unknown[] {
    return this.events.map((event) => (event.type === "warning" ? event.error : event));
  }
}

class FakeClient extends EventEmitter implements PgListenClient {
  readonly listening = new Set<string>();
  readonly statements: string[] = [];
  readonly connection = {
    stream: {
      destroy: () => {
        this.destroyed = true;
      },
    },
  };
  ended = false;
  destroyed = false;
  readonly #world: World;

  constructor(world: World) {
    super();
    this.#world = world;
    world.clients.push(this);
  }
  connect(): Promise<void> {
    return this.#world.connect();
  }
  async query({ text }: { text: string }): Promise<void> {
    const [, command, channel = ""] = /^(\w+) "(.*)"$/.exec(text) ?? [];
    this.statements.push(text);
    if (command === "UNLISTEN") this.listening.delete(channel);
    else {
      await this.#world.listen(channel);
      this.listening.add(channel);
    }
  }
  end(): Promise<void> {
    this.ended = true;
    return this.#world.end();
  }
}

interface Log extends Subscriber {
  readonly log: string[];
}
const logger = (): Log => {
  const log: string[] = [];
  return {
    log,
    onPayload: (payload) => void log.push(payload),
    onGap: () => void log.push("gap"),
  };
};

/** Whether a subscription is ready, once promises have settled. */
async function isReady(world: World, { ready }: Subscription): Promise<boolean> {
  let is = false;
  ready.then(
    () => (is = true),
    () => undefined,
  );
  await world.clock.settle();
  return is;
}

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));
afterEach(() => {
  expect(unhandled.splice(0)).toEqual([]);
});

describe("listening", () => {
  it("takes one connection for all channels, proves it, and lets go of it with the last", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    expect(world.clients).toHaveLength(0);
    const log = logger();
    const places = ["a", "B c", "a"].map((channel) => pubsub.subscribe(channel, log));
    await Promise.all(places.map((place) => place.ready));
    expect(world.clients).toHaveLength(1);
    const [probe = "", ...listens] = world.client.statements;
    expect(probe).toMatch(/^LISTEN "sluice_probe_[0-9a-f-]{36}"$/);
    expect(listens).toEqual(['LISTEN "a"', 'LISTEN "B c"']);
    await pubsub.publish("a", ["1"]);
    await pubsub.publish("B c", ["2"]);
    expect(log.log).toEqual(["1", "1", "2"]);
    for (const place of places) {
      expect(world.client.ended).toBe(false);
      place.close();
      await world.clock.settle();
    }
    expect(world.client.ended).toBe(true);
    expect(world.client.statements.at(-1)).toBe('UNLISTEN "B c"');
    expect(world.clock.timers).toBe(0);
    expect(world.events).toEqual([]);
  });

  it("is not ready before the probe has come, and warns when it has not within 2,000 ms", async () => {
    const world = new World();
    world.audible = false;
    const pubsub = world.pubsub();
    const log = logger();
    const place = pubsub.subscribe("a", log);
    await world.clock.advance(1_999);
    const [channel] = world.client.listening; // the probe's
    world.client.emit("notification", { channel, payload: "of somebody else" });
    expect(await isReady(world, place)).toBe(false);
    expect(world.events).toEqual([]);
    await world.clock.advance(1);
    expect(world.warnings).toMatchObject([
      {
        code: "SLUICE_ERR_POSTGRES_LISTEN",
        message: expect.stringMatching(/2000 ms.*pgbouncer.*Connect it directly.*readers poll/),
      },
    ]);
    expect(world.client).toMatchObject({ ended: true, destroyed: true });
    await world.clock.advance(60_000);
    expect(world.clients.length).toBeGreaterThan(5);
    expect(world.events).toHaveLength(1); // and says so once
    expect(await isReady(world, place)).toBe(false);
    world.audible = true;
    await world.clock.advance(40_000);
    expect(await isReady(world, place)).toBe(true);
    expect(log.log).toEqual([]); // it has missed nothing that was promised
    await pubsub.close();
    expect(world.clock.timers).toBe(0);
  });

  it("pauses and warns alike where subscriptions come and go while nothing can be had", async () => {
    const world = new World();
    world.connect = () => Promise.reject(new Error("connection refused"));
    const pubsub = world.pubsub();
    for (let turn = 0; turn < 300; turn += 1) {
      const place = pubsub.subscribe("a", logger());
      await world.clock.advance(10);
      place.close();
    }
    expect(world.clients.length).toBeLessThan(10); // in 3 s, after pauses of 50, 100, 200, … ms
    expect(world.warnings).toHaveLength(1);
    world.connect = async () => undefined;
    const place = pubsub.subscribe("a", logger());
    await world.clock.advance(30_000);
    expect(await isReady(world, place)).toBe(true);
    place.close();
    await world.clock.settle();
    const again = pubsub.subscribe("a", logger()); // and what is over is over
    expect(await isReady(world, again)).toBe(true);
    await pubsub.close();
    expect(world.clock.timers).toBe(0);
  });

  it("calls a LISTEN that the server refuses by its name", async () => {
    const world = new World();
    world.listen = async () => {
      throw Object.assign(new Error("cannot execute LISTEN during recovery"), { code: "25006" });
    };
    world.pubsub().subscribe("a", logger());
    await world.clock.settle();
    expect(world.warnings).toMatchObject([
      {
        message: expect.stringContaining(
          "LISTEN is refused: cannot execute LISTEN during recovery",
        ),
      },
    ]);
  });

  it("listens to a channel that joins later, which is ready then", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    await pubsub.subscribe("a", logger()).ready;
    let go: (() => void) | undefined;
    world.listen = () => new Promise((resolve) => (go = resolve));
    const place = pubsub.subscribe("b", logger());
    expect(await isReady(world, place)).toBe(false);
    go?.();
    expect(await isReady(world, place)).toBe(true);
    expect(world.clients).toHaveLength(1);
  });

  it("listens to a channel that joins while the probe is under way", async () => {
    const world = new World();
    let go: (() => void) | undefined;
    world.publish = () => new Promise((resolve) => (go = resolve));
    const pubsub = world.pubsub();
    const first = pubsub.subscribe("a", logger());
    await world.clock.settle();
    const second = pubsub.subscribe("b", logger());
    go?.();
    await Promise.all([first.ready, second.ready]);
    expect(world.client.statements.slice(1)).toEqual(['LISTEN "a"', 'LISTEN "b"']);
  });

  it("is ready at once for a channel that is listened to", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    await pubsub.subscribe("a", logger()).ready;
    const log = logger();
    await pubsub.subscribe("a", log).ready;
    world.client.emit("end");
    await world.clock.advance(50);
    expect(log.log).toEqual(["gap"]);
  });

  it("ends up with what is wanted when subscriptions come and go while it connects", async () => {
    const world = new World();
    let go: (() => void) | undefined;
    world.connect = () => new Promise((resolve) => (go = resolve));
    const pubsub = world.pubsub();
    const gone = pubsub.subscribe("a", logger());
    const stays = pubsub.subscribe("b", logger());
    await world.clock.settle();
    gone.close();
    await gone.ready; // closing settles it
    const joins = pubsub.subscribe("c", logger());
    go?.();
    await Promise.all([stays.ready, joins.ready]);
    expect(world.client.statements.slice(1)).toEqual(['LISTEN "b"', 'LISTEN "c"']);
    expect(world.clients).toHaveLength(1);
  });

  it("listens again to a channel that is left and wanted again in one breath", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    await pubsub.subscribe("a", logger()).ready;
    const leaving = pubsub.subscribe("b", logger());
    await leaving.ready;
    leaving.close();
    const log = logger();
    let go: (() => void) | undefined;
    world.listen = () => new Promise((resolve) => (go = resolve));
    const place = pubsub.subscribe("b", log);
    expect(await isReady(world, place)).toBe(false);
    go?.();
    expect(await isReady(world, place)).toBe(true);
    await pubsub.publish("b", ["1"]);
    expect(log.log).toEqual(["1"]);
    expect(world.client.statements.slice(-2)).toEqual(['UNLISTEN "b"', 'LISTEN "b"']);
  });

  it("ignores what comes for nobody, or after the end", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    const log = logger();
    const place = pubsub.subscribe("a", log);
    await place.ready;
    world.client.emit("notification", { channel: "b", payload: "1" });
    world.client.emit("notification", { channel: "a" });
    place.close();
    world.client.emit("notification", { channel: "a", payload: "2" });
    expect(log.log).toEqual([""]);
  });

  it("does not happen in the context of who subscribes", async () => {
    const storage = new AsyncLocalStorage<string>();
    const world = new World();
    const stores: unknown[] = [];
    world.connect = async () => void stores.push(storage.getStore());
    await storage.run("subscriber", () => world.pubsub().subscribe("a", logger()).ready);
    expect(stores).toEqual([undefined]);
  });
});

describe("a connection that is lost", () => {
  it("is opened again, without a word, and subscribers hear of the gap", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    const [ready, waiting] = [logger(), logger()];
    await pubsub.subscribe("a", ready).ready;
    const lost = world.client;
    lost.emit("error", new Error("57P01"));
    lost.emit("end");
    expect(lost).toMatchObject({ ended: true, destroyed: true });
    expect(world.clock.timers).toBe(1);
    const joined = pubsub.subscribe("b", waiting);
    await world.clock.advance(50);
    expect(world.clients).toHaveLength(2);
    expect(await isReady(world, joined)).toBe(true);
    expect(ready.log).toEqual(["gap"]);
    expect(waiting.log).toEqual([]);
    lost.emit("notification", { channel: "a", payload: "late" });
    await pubsub.publish("a", ["1"]);
    expect(ready.log).toEqual(["gap", "1"]);
    expect(world.events).toEqual([]);
  });

  it("is tried again after pauses that grow from 50 ms to 30 s, and are short again after", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    const place = pubsub.subscribe("a", logger());
    await place.ready;
    world.connect = async () => {
      throw new Error("ECONNREFUSED");
    };
    world.client.emit("error", new Error("lost"));
    const pauses: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      const before = world.clock.now();
      await world.clock.next();
      pauses.push(Math.round(world.clock.now() - before));
    }
    const growing = Array.from({ length: 12 }, (_, index) => Math.min(50 * 2 ** index, 30_000));
    expect(pauses).toEqual(growing);
    expect(world.warnings).toMatchObject([
      {
        code: "SLUICE_ERR_POSTGRES_LISTEN",
        message: expect.stringContaining("tried again and again: ECONNREFUSED"),
      },
    ]);
    world.connect = async () => undefined;
    await world.clock.next();
    // The next outage begins with short pauses, and is told again.
    world.connect = async () => {
      throw new Error("again");
    };
    world.client.emit("end");
    const before = world.clock.now();
    await world.clock.next();
    expect(Math.round(world.clock.now() - before)).toBe(50);
    expect(world.warnings).toMatchObject([
      {},
      { message: expect.stringContaining("again: again") },
    ]);
    await pubsub.close();
    expect(world.clock.timers).toBe(0);
  });

  it("pauses by chance, so that not everybody comes back at once", async () => {
    const world = new World();
    world.connect = async () => {
      throw new Error("ECONNREFUSED");
    };
    world.pubsub({ random: () => 0.5 }).subscribe("a", logger());
    await world.clock.settle();
    await world.clock.advance(24);
    expect(world.clients).toHaveLength(1);
    await world.clock.advance(1);
    expect(world.clients).toHaveLength(2);
  });

  it("is found by the heartbeat, which stops with the last subscription", async () => {
    const world = new World();
    const pubsub = world.pubsub({ heartbeatMs: 5_000 });
    const log = logger();
    const place = pubsub.subscribe("a", log);
    await place.ready;
    expect(world.clock.timers).toBe(1);
    await world.clock.advance(14_999);
    const probes = (): number => world.sent.filter(({ text }) => text.includes("pg_notify")).length;
    expect(probes()).toBe(3); // at 0, 5 and 10 seconds
    world.audible = false;
    await world.clock.advance(1 + 1_999);
    expect(world.clients).toHaveLength(1);
    world.audible = true;
    await world.clock.advance(1 + 50);
    expect(world.clients).toHaveLength(2);
    expect(log.log).toEqual(["gap"]);
    expect(world.events).toEqual([]);
    place.close();
    await world.clock.settle();
    expect(world.clock.timers).toBe(0);
  });

  it("is not called deaf when it is the probe that cannot be published", async () => {
    const world = new World();
    world.publish = async () => {
      throw new Error("the pool is down");
    };
    const place = world.pubsub().subscribe("a", logger());
    await world.clock.advance(1_000);
    expect(world.warnings).toMatchObject([
      { message: expect.stringContaining("tried again and again: the pool is down") },
    ]);
    world.publish = async () => undefined;
    await world.clock.advance(5_000);
    expect(await isReady(world, place)).toBe(true);
  });

  it.each(["connect", "listen"] as const)("is given up when %s never answers", async (step) => {
    const world = new World();
    world[step] = never;
    world.pubsub().subscribe("a", logger());
    await world.clock.advance(9_999);
    expect(world.clients).toHaveLength(1);
    await world.clock.advance(1 + 50);
    expect(world.clients).toHaveLength(2);
    expect(world.clients[0]).toMatchObject({ ended: true, destroyed: true });
  });

  it("may be lost at every step", async () => {
    for (const step of ["connect", "listen", "publish"] as const) {
      const world = new World();
      world[step] = async () => {
        world[step] = async () => undefined;
        world.client.emit("error", new Error(step));
        world.client.emit("end");
        throw new Error(step);
      };
      const place = world.pubsub().subscribe("a", logger());
      await world.clock.advance(50);
      expect(await isReady(world, place)).toBe(true);
      expect(world.clients).toHaveLength(2);
      expect(world.events).toEqual([]);
    }
  });

  it.each([0, 1, 2])("may be lost %d promise jobs after its proof: one gap", async (jobs) => {
    const world = new World();
    const log = logger();
    await world.pubsub().subscribe("a", log).ready;
    world.client.emit("end");
    world.audible = false;
    await world.clock.advance(50);
    const [channel, literal] = world.sent.at(-2)?.values ?? []; // the last is COMMIT
    const payload = String(literal).slice(2, -2);
    world.client.emit("notification", { channel, payload });
    for (let job = 0; job < jobs; job += 1) await Promise.resolve();
    world.client.emit("end");
    await world.clock.settle();
    expect(log.log).toEqual([]);
    world.audible = true;
    await world.clock.advance(100);
    expect(log.log).toEqual(["gap"]);
    expect(world.clients).toHaveLength(3);
  });

  it("may be lost before it is made, and leaves nothing", async () => {
    const world = new World();
    world.connect = () => {
      world.client.emit("error", new Error("ECONNREFUSED"));
      return never();
    };
    const pubsub = world.pubsub();
    pubsub.subscribe("a", logger());
    expect(world.client).toMatchObject({ ended: true, destroyed: true });
    await pubsub.close();
    expect(world.clock.timers).toBe(0);
  });

  it("may not even be made", async () => {
    const world = new World();
    const pool = Object.assign(new FakeClient(new World()), { totalCount: 0 });
    const made: unknown[] = [new Error("no url"), { query: () => undefined }, world.pool, pool];
    const listen = (): PgListenClient => {
      const next = made.shift() ?? new FakeClient(world);
      if (next instanceof Error) throw next;
      return next as PgListenClient;
    };
    const place = world.pubsub({ listen }).subscribe("a", logger());
    await world.clock.advance(1_000);
    expect(await isReady(world, place)).toBe(true);
    expect(world.warnings).toMatchObject([{ message: expect.stringContaining("a Client of pg") }]);
    expect(made).toEqual([]);
    expect(world.clients).toHaveLength(1);
    expect(pool.statements).toEqual([]);
  });
});

describe("close", () => {
  it("ends a connection that is being opened", async () => {
    const world = new World();
    world.connect = never;
    const pubsub = world.pubsub();
    const place = pubsub.subscribe("a", logger());
    await pubsub.close();
    await place.ready;
    expect(world.client.ended).toBe(true);
    expect(world.clock.timers).toBe(0);
  });

  it("waits 1,000 ms for a connection to end, and then drops it", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    await pubsub.subscribe("a", logger()).ready;
    world.end = never;
    let closed = false;
    const closing = pubsub.close().then(() => {
      closed = true;
    });
    await world.clock.advance(999);
    expect([closed, world.client.destroyed]).toEqual([false, false]);
    await world.clock.advance(1);
    await closing;
    expect(world.client.destroyed).toBe(true);
    expect(world.clock.timers).toBe(0);
  });

  it("ends the tries", async () => {
    const world = new World();
    world.connect = async () => {
      throw new Error("ECONNREFUSED");
    };
    const pubsub = world.pubsub();
    pubsub.subscribe("a", logger());
    await world.clock.advance(1_000);
    await pubsub.close();
    expect(world.clock.timers).toBe(0);
    const code = expect.objectContaining({ code: "SLUICE_ERR_PUBSUB_CLOSED" });
    await expect(pubsub.publish("a", ["1"])).rejects.toEqual(code);
    expect(() => pubsub.subscribe("a", logger())).toThrow(code);
  });

  it("may come from within a subscriber", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    const log = logger();
    const closer = { onPayload: () => void pubsub.close(), onGap: () => void pubsub.close() };
    await Promise.all([closer, log].map((each) => pubsub.subscribe("a", each).ready));
    world.client.emit("end");
    await world.clock.advance(50);
    expect(log.log).toEqual([]);
    expect(world.client.ended).toBe(true);
    expect(world.clock.timers).toBe(0);
  });
});

describe("publishing", () => {
  it("sends nothing for no payloads", async () => {
    const world = new World();
    await world.pubsub().publish("a", []);
    expect(world.sent).toEqual([]);
  });

  it("leaves no timer, and says what became of it", async () => {
    const world = new World();
    const pubsub = world.pubsub();
    world.publish = async () => {
      throw new Error("57014");
    };
    await expect(pubsub.publish("a", ["1"])).rejects.toMatchObject({
      code: "SLUICE_ERR_SINK_RETRYABLE",
      message: "57014",
      ambiguous: false,
    });
    world.publish = never;
    const late = pubsub.publish("a", ["1"]);
    late.catch(() => undefined); // looked at below, once it is late
    await world.clock.advance(30_000);
    await expect(late).rejects.toThrow("longer than 30000 ms");
    const reason = new Error("gone");
    const gone = new AbortController();
    const left = pubsub.publish("a", ["1"], { signal: gone.signal });
    gone.abort(reason);
    await expect(left).rejects.toBe(reason);
    await expect(pubsub.publish("a", ["1"], { signal: gone.signal })).rejects.toBe(reason);
    expect(world.clock.timers).toBe(0);
  });
});

describe("postgres, which shares its connection and opens it again by itself", () => {
  /** The part of `postgres` that listens. It keeps what it was asked for, whatever becomes of it. */
  const fakeSql = () => {
    const kept: { channel: string; onPayload: (payload: string) => void; onListen: () => void }[] =
      [];
    const left: string[] = [];
    let failure: Error | undefined;
    const sql: PostgresJsListener = Object.assign(() => undefined, {
      listen: async (
        channel: string,
        onPayload: (payload: string) => void,
        onListen: () => void = () => undefined,
      ) => {
        kept.push({ channel, onPayload, onListen });
        if (failure !== undefined) throw failure;
        onListen();
        return { unlisten: async () => void left.push(channel) };
      },
      end: async () => undefined,
    });
    return {
      sql,
      kept,
      left,
      fail: (error: Error | undefined) => {
        failure = error;
      },
    };
  };
  const hear = (world: World, kept: ReturnType<typeof fakeSql>["kept"]): void => {
    world.publish = async () => {
      const values = world.sent.at(-1)?.values ?? [];
      for (const { channel, onPayload } of kept) {
        if (channel === values[0]) onPayload(String(values[1]).slice(2, -2));
      }
    };
  };

  it("registers each channel once, whatever happens, and takes listening again for a gap", async () => {
    const world = new World();
    const { sql, kept, left } = fakeSql();
    hear(world, kept);
    const pubsub = world.pubsub({ listen: sql });
    const log = logger();
    const place = pubsub.subscribe("a", log);
    await place.ready;
    expect(kept.map(({ channel }) => channel)).toEqual([
      expect.stringMatching(/^sluice_probe_/),
      "a",
    ]);
    for (const { onListen } of kept) onListen();
    await world.clock.advance(50);
    expect(log.log).toEqual(["gap"]);
    expect(kept).toHaveLength(2);
    await pubsub.publish("a", ["1"]);
    expect(log.log).toEqual(["gap", "1"]);
    // postgres forgets how to leave a channel that it has listened to twice; it is not asked to.
    place.close();
    await world.clock.settle();
    expect(left).toEqual([]);
    await pubsub.subscribe("a", log).ready;
    await pubsub.publish("a", ["2"]);
    expect(log.log).toEqual(["gap", "1", "2"]);
    expect(kept).toHaveLength(2);
    expect(world.events).toEqual([]);
  });

  it("waits for a channel whose first LISTEN failed: postgres tries that again", async () => {
    const world = new World();
    const { sql, kept, fail } = fakeSql();
    hear(world, kept);
    fail(new Error("ECONNREFUSED"));
    const place = world.pubsub({ listen: sql }).subscribe("a", logger());
    await world.clock.advance(5_000);
    expect(kept).toHaveLength(1);
    fail(undefined);
    kept[0]?.onListen();
    expect(await isReady(world, place)).toBe(true);
    expect(kept).toHaveLength(2);
    expect(world.events).toEqual([]);
  });

  it("leaves its channels when the last subscription is closed", async () => {
    const world = new World();
    const { sql, kept, left } = fakeSql();
    hear(world, kept);
    const place = world.pubsub({ listen: sql }).subscribe("a", logger());
    await place.ready;
    place.close();
    expect(left).toEqual([expect.stringMatching(/^sluice_probe_/), "a"]);
  });
});

describe("options", () => {
  const code = (suffix: string): object =>
    expect.objectContaining({ code: `SLUICE_ERR_${suffix}` });

  it("are checked at once", () => {
    const world = new World();
    const wrong =
      (options: object): (() => unknown) =>
      () =>
        world.pubsub(options);
    expect(wrong({ lisen: 1 })).toThrow(code("OPTION_UNKNOWN"));
    expect(wrong({ heartbeatMs: 0 })).toThrow(code("OPTION_INVALID"));
    for (const listen of ["postgres://x", {}, new FakeClient(world), world.pool, null]) {
      expect(wrong({ listen })).toThrow(code("OPTION_INVALID"));
    }
    const secret = { options: { connectionString: "postgres://user:secret@host" } };
    expect(wrong({ listen: secret })).toThrow("received an object of class Object");
    expect(() => postgresPubsub({} as PgPool)).toThrow(code("POSTGRES_DRIVER"));
  });

  it("without a way to listen, a Pool of pg publishes, and says what to pass on subscribe", async () => {
    const world = new World();
    const pubsub = world.pubsub({ listen: undefined });
    await pubsub.publish("a", ["1"]);
    expect(() => pubsub.subscribe("a", logger())).toThrow(code("OPTION_INVALID"));
    expect(() => pubsub.subscribe("a", logger())).toThrow("listen: () => new pg.Client(url)");
    await pubsub.close();
  });

  it.each(["", "a.b", 'a"', "a".repeat(64), 7])(
    "refuse %j as the name of a channel",
    async (name) => {
      const pubsub = new World().pubsub();
      const channel = name as string;
      await expect(pubsub.publish(channel, ["1"])).rejects.toEqual(code("OPTION_INVALID"));
      expect(() => pubsub.subscribe(channel, logger())).toThrow(code("OPTION_INVALID"));
    },
  );
});
