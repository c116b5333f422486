/** What every pubsub promises, and what becomes of listeners when connections die. */
import pg from "pg";
import postgres from "postgres";
import type { SluiceEvent } from "sluice";
import { afterEach, describe, expect, it, vi } from "vitest";
import { startPgbouncer } from "../../scripts/pgbouncer-server.js";
import { localPubsub } from "../../packages/sluice/src/pubsub/local-pubsub.ts";
import type { Pubsub } from "../../packages/sluice/src/pubsub/pubsub.ts";
import type { ListenSource } from "../../packages/sluice/src/sinks/postgres/listen-connection.ts";
import {
  postgresPubsub,
  type PostgresPubsubOptions,
} from "../../packages/sluice/src/sinks/postgres/postgres-pubsub.ts";
import { openPglite } from "../support/pglite.ts";
import { connectors, freshDatabase, openEye } from "./database.ts";
import { describePgbouncer } from "./pgbouncer.ts";
import { openProxy } from "./proxy.ts";

/** What must be undone when a test ends, last first. */
const cleanups: (() => Promise<unknown>)[] = [];
const later = (cleanup: () => Promise<unknown>): void => {
  cleanups.push(cleanup);
};
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A subscriber that writes down what it hears. */
class Ear {
  readonly heard: string[] = [];
  gaps = 0;
  onPayload(payload: string): void {
    this.heard.push(payload);
  }
  onGap(): void {
    this.gaps += 1;
  }
  /** Waits until it has heard `payload`. */
  async hears(payload: string): Promise<void> {
    await vi.waitFor(() => expect(this.heard).toContain(payload), WAIT);
  }
}

/** Generous: nothing here is about speed. */
const WAIT = { timeout: 30_000, interval: 5 };

type Options = Pick<PostgresPubsubOptions, "observe" | "heartbeatMs">;

/** Where the listener's connection comes from, by the name of the driver, for a server at a URL. */
const sources: Readonly<Record<string, (url: string) => ListenSource | undefined>> = {
  pg: (url) => () => new pg.Client(url),
  postgres: () => undefined,
  "postgres of its own": (url) => () =>
    postgres(url, { max: 1, onnotice: () => undefined, backoff: () => 0.001, fetch_types: false }),
};

/** A pubsub that publishes to `url` and listens at `listenUrl`. */
function overNetwork(name: string, url: string, options: Options = {}, listenUrl = url): Pubsub {
  const { driver, end } = connectors[name === "pg" ? "pg" : "postgres"](url);
  const pubsub = postgresPubsub(driver, { ...options, listen: sources[name]?.(listenUrl) });
  later(async () => {
    await pubsub.close();
    await end();
  });
  return pubsub;
}

const makers: Readonly<Record<string, (options: Options) => Promise<Pubsub>>> = {
  local: async ({ observe }) => localPubsub({ observe }),
  pg: async (options) => overNetwork("pg", await freshDatabase(), options),
  postgres: async (options) => overNetwork("postgres", await freshDatabase(), options),
  "postgres of its own": async (options) =>
    overNetwork("postgres of its own", await freshDatabase(), options),
  PGlite: async (options) => {
    const database = await openPglite();
    later(() => database.close());
    return postgresPubsub(database, options);
  },
};

describe.each(Object.keys(makers))("the pubsub of %s", (name) => {
  const open = async (options: Options = {}): Promise<Pubsub> => {
    const pubsub = await makers[name]?.(options);
    if (pubsub === undefined) throw new Error(name);
    later(() => pubsub.close());
    return pubsub;
  };

  it("delivers what is published once a subscription is ready, in order", async () => {
    const pubsub = await open();
    const ear = new Ear();
    await pubsub.subscribe("news", ear).ready;
    const batches = [["a", "b"], [], ["", 'q"\\{},ü語😀\n'], ["NULL", "b"]];
    for (const batch of batches) await pubsub.publish("news", batch);
    await pubsub.publish("news", ["1", "2", "1", "end"]);
    await ear.hears("end");
    expect(ear).toEqual({ heard: [...batches.flat(), "1", "2", "end"], gaps: 0 });
  });

  it("tells channels apart, and everybody on a channel the same", async () => {
    const pubsub = await open();
    const channels = ["news", "News $1-ü_x y", "N".repeat(63)];
    const ears = channels.flatMap((channel) => [0, 1].map(() => ({ channel, ear: new Ear() })));
    await Promise.all(ears.map(({ channel, ear }) => pubsub.subscribe(channel, ear).ready));
    for (const channel of channels) await pubsub.publish(channel, [channel, "end"]);
    await Promise.all(ears.map(({ ear }) => ear.hears("end")));
    for (const { channel, ear } of ears) expect(ear.heard).toEqual([channel, "end"]);
  });

  it("takes payloads of 7,999 bytes, and of a batch with a longer one nothing", async () => {
    const pubsub = await open();
    const ear = new Ear();
    await pubsub.subscribe("news", ear).ready;
    const most = "ü".repeat(3_999) + "a";
    await pubsub.publish("news", [most]);
    const tooMuch = pubsub.publish("news", ["fine", "ü".repeat(4_000)]);
    await expect(tooMuch).rejects.toMatchObject({
      code: "SLUICE_ERR_PAYLOAD_INVALID",
      message: expect.stringContaining("8000 bytes"),
    });
    await expect(pubsub.publish("news", ["fine", "a\0"])).rejects.toThrow("NUL");
    await pubsub.publish("news", ["end"]);
    await ear.hears("end");
    expect(ear.heard).toEqual([most, "end"]);
  });

  it("tells a closed subscription nothing more, and another on the channel everything", async () => {
    const pubsub = await open();
    const [stays, goes, again] = [new Ear(), new Ear(), new Ear()];
    const staying = pubsub.subscribe("news", stays);
    const going = pubsub.subscribe("news", goes);
    const alone = pubsub.subscribe("Other", goes);
    await Promise.all([staying.ready, going.ready, alone.ready]);
    await pubsub.publish("news", ["1"]);
    await Promise.all([stays.hears("1"), goes.hears("1")]);
    going.close();
    alone.close();
    await pubsub.publish("Other", ["2"]);
    const back = pubsub.subscribe("Other", again);
    await back.ready;
    await pubsub.publish("Other", ["3"]);
    await pubsub.publish("news", ["4"]);
    await Promise.all([stays.hears("4"), again.hears("3")]);
    expect(stays.heard).toEqual(["1", "4"]);
    expect(goes.heard).toEqual(["1"]);
    expect(again.heard.at(-1)).toBe("3");
  });

  it("takes more subscriptions to a channel at any time", async () => {
    const pubsub = await open();
    const ears = [new Ear(), new Ear(), new Ear()];
    for (const [index, ear] of ears.entries()) {
      await pubsub.subscribe("news", ear).ready;
      await pubsub.publish("news", [`${index}`]);
    }
    await Promise.all(ears.map((ear) => ear.hears("2")));
    // What was published just before a subscription was ready may arrive as well.
    const since = [["0", "1", "2"], ["1", "2"], ["2"]];
    for (const [index, ear] of ears.entries()) {
      expect(ear.heard.slice(index - 3)).toEqual(since[index]);
    }
  });

  it("begins anew after its last subscription is closed", async () => {
    const pubsub = await open();
    for (const round of ["1", "2", "3"]) {
      const ear = new Ear();
      const place = pubsub.subscribe("News", ear);
      await place.ready;
      await pubsub.publish("News", [round]);
      await ear.hears(round);
      place.close();
      expect(ear).toEqual({ heard: [round], gaps: 0 });
    }
  });

  it("refuses everything once it is closed, and leaves nobody waiting", async () => {
    const pubsub = await open();
    const ear = new Ear();
    await pubsub.subscribe("news", ear).ready;
    const joining = pubsub.subscribe("other", ear);
    await pubsub.close();
    await joining.ready;
    await expect(pubsub.publish("news", ["1"])).rejects.toMatchObject({
      code: "SLUICE_ERR_PUBSUB_CLOSED",
      disposition: "closed",
    });
    expect(() => pubsub.subscribe("news", ear)).toThrow("closed");
    expect(ear.heard).toEqual([]);
  });

  it("shields everybody from a subscriber that throws", async () => {
    const events: SluiceEvent[] = [];
    const pubsub = await open({ observe: (event) => events.push(event) });
    const error = new Error("a subscriber");
    const thrower = {
      onPayload: () => {
        throw error;
      },
      onGap: () => undefined,
    };
    const ear = new Ear();
    await Promise.all([thrower, ear].map((each) => pubsub.subscribe("news", each).ready));
    await pubsub.publish("news", ["1", "2"]);
    await ear.hears("2");
    const warning = { type: "warning", name: expect.stringMatching(/pubsub$/), error };
    expect(events).toEqual([warning, warning]);
  });
});

/** Kills the backends that have listened, and says how many there were. */
async function killListeners(url: string): Promise<number> {
  const eye = await openEye(url);
  const killed = await eye.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND query ILIKE 'listen%'`,
  );
  await eye.close();
  return killed.length;
}

describe.each(Object.keys(sources))("the listener of %s", (name) => {
  it("says that something may be missing when its backend was killed, and hears again", async () => {
    const url = await freshDatabase();
    const events: SluiceEvent[] = [];
    const pubsub = overNetwork(name, url, { observe: (event) => events.push(event) });
    const ears = [new Ear(), new Ear()];
    await Promise.all(ears.map((ear, index) => pubsub.subscribe(`News ${index}`, ear).ready));
    for (const round of ["1", "2"]) {
      const before = ears.map((ear) => ear.gaps);
      await vi.waitFor(async () => expect(await killListeners(url)).toBeGreaterThan(0), WAIT);
      await vi.waitFor(() => {
        for (const [index, ear] of ears.entries()) {
          expect(ear.gaps).toBeGreaterThan(before[index] ?? 0);
        }
      }, WAIT);
      for (const [index, ear] of ears.entries()) {
        // More than once, for a driver may open its connection anew more than once.
        await vi.waitFor(async () => {
          await pubsub.publish(`News ${index}`, [round]);
          await vi.waitFor(() => expect(ear.heard).toContain(round), { timeout: 500 });
        }, WAIT);
      }
    }
    for (const ear of ears) expect(new Set(ear.heard)).toEqual(new Set(["1", "2"]));
    expect(events).toEqual([]); // a connection that comes back is no trouble
  });

  it("begins as soon as connections are no longer refused, and warns of that once", async () => {
    const proxy = await openProxy(await freshDatabase());
    later(() => proxy.close());
    proxy.refusing = true;
    const events: SluiceEvent[] = [];
    const pubsub = overNetwork(name, proxy.url, { observe: (event) => events.push(event) });
    const ear = new Ear();
    const { ready } = pubsub.subscribe("news", ear);
    await vi.waitFor(() => expect(events).toHaveLength(1), WAIT);
    expect(events[0]).toMatchObject({
      type: "warning",
      name: "postgres-pubsub",
      error: {
        code: "SLUICE_ERR_POSTGRES_LISTEN",
        message: expect.stringContaining("listening fails, and is tried again and again"),
      },
    });
    proxy.refusing = false;
    await ready;
    await pubsub.publish("news", ["1"]);
    await ear.hears("1");
    expect(ear).toEqual({ heard: ["1"], gaps: 0 });
    expect(events).toHaveLength(1);
  });

  it("comes back from an outage that it found by its heartbeat or at once", async () => {
    const proxy = await openProxy(await freshDatabase());
    later(() => proxy.close());
    const pubsub = overNetwork(name, proxy.url, { heartbeatMs: 50, observe: () => undefined });
    const ear = new Ear();
    await pubsub.subscribe("news", ear).ready;
    proxy.refusing = true;
    proxy.cutAll();
    await expect(pubsub.publish("news", ["lost"])).rejects.toMatchObject({
      code: "SLUICE_ERR_SINK_RETRYABLE",
    });
    proxy.refusing = false;
    await vi.waitFor(() => expect(ear.gaps).toBeGreaterThan(0), WAIT);
    await pubsub.publish("news", ["1"]);
    await ear.hears("1");
    expect(ear.heard).toEqual(["1"]);
  });
});

describe.each(["pg", "postgres"] as const)("publishing with %s", (name) => {
  it("is one statement in a transaction that does not wait for the disk", async () => {
    const proxy = await openProxy(await freshDatabase());
    later(() => proxy.close());
    const sent: string[] = [];
    proxy.fate = ({ from, text }) => {
      if (from === "client") sent.push(text);
      return "pass";
    };
    const pubsub = overNetwork(name, proxy.url);
    const payloads = Array.from({ length: 1_000 }, (_, index) => `payload ${index}`);
    await pubsub.publish("news", payloads, { timeoutMs: 20_000 });
    const all = sent.join("");
    const off = all.indexOf("SET LOCAL synchronous_commit = off");
    const notify = all.indexOf("pg_notify");
    const commit = all.indexOf("COMMIT");
    expect([all.search(/begin/i) < off, off < notify, notify < commit]).toEqual([true, true, true]);
    expect(off).toBeGreaterThan(0);
    expect(all.match(/pg_notify/g)).toHaveLength(1);
    expect(all).toContain("SET LOCAL statement_timeout = 16000");
  });

  it("gives up when its time is over or its caller has gone", async () => {
    const proxy = await openProxy(await freshDatabase());
    later(() => proxy.close());
    const pubsub = overNetwork(name, proxy.url);
    await pubsub.publish("news", ["1"]);
    proxy.fate = ({ text }) => (text.includes("synchronous_commit") ? "stall" : "pass");
    await expect(pubsub.publish("news", ["2"], { timeoutMs: 100 })).rejects.toMatchObject({
      code: "SLUICE_ERR_SINK_RETRYABLE",
      message: "publishing took longer than 100 ms",
      ambiguous: false,
    });
    const gone = new AbortController();
    const third = pubsub.publish("news", ["3"], { signal: gone.signal });
    await vi.waitFor(() => expect(proxy.struck.stall).toBeGreaterThan(1), WAIT);
    const reason = new Error("gone");
    gone.abort(reason);
    await expect(third).rejects.toBe(reason);
    proxy.fate = () => "pass";
    proxy.release();
  });
});

describePgbouncer("behind pgbouncer, which pools by transaction", () => {
  it.each(Object.keys(sources))(
    "the listener of %s says soon that it hears nothing",
    async (name) => {
      const { url, stop } = await startPgbouncer(await freshDatabase());
      later(stop);
      const events: SluiceEvent[] = [];
      const started = performance.now();
      const pubsub = overNetwork(name, url, { observe: (event) => events.push(event) });
      let ready = false;
      const ear = new Ear();
      const place = pubsub.subscribe("news", ear);
      const settled = place.ready.then(() => {
        ready = true;
      });
      await vi.waitFor(() => expect(events).not.toEqual([]), WAIT);
      const tookMs = performance.now() - started;
      expect(events[0]).toMatchObject({
        type: "warning",
        error: {
          code: "SLUICE_ERR_POSTGRES_LISTEN",
          message: expect.stringContaining("pgbouncer"),
        },
      });
      expect(tookMs).toBeGreaterThan(1_900);
      expect(tookMs).toBeLessThan(10_000);
      expect(ready).toBe(false);
      await pubsub.publish("news", ["1"]); // which works all the same
      place.close();
      await settled;
    },
  );

  it("publishing works, and is heard by who listens directly", async () => {
    const direct = await freshDatabase();
    const { url, stop } = await startPgbouncer(direct, { poolSize: 2 });
    later(stop);
    const events: SluiceEvent[] = [];
    const pubsub = overNetwork("pg", url, { observe: (event) => events.push(event) }, direct);
    const ear = new Ear();
    await pubsub.subscribe("news", ear).ready;
    const numbers = Array.from({ length: 40 }, (_, index) => String(index));
    await Promise.all(numbers.map((number) => pubsub.publish("news", [number])));
    await pubsub.publish("news", ["end"]);
    await ear.hears("end");
    expect(ear.heard.toSorted()).toEqual([...numbers, "end"].toSorted());
    expect(events).toEqual([]);
  });
});
