import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { SluiceError } from "../../errors.ts";
import type { SluiceEvent } from "../../events.ts";
import { manualClock } from "../../testing/index.ts";
import { createJsonClient, HttpError, type JsonClient, type JsonClientOptions } from "./index.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const X = { path: "/x", idempotent: true };

async function serve(
  listener: RequestListener,
  options: Partial<JsonClientOptions> = {},
): Promise<JsonClient> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const clock = manualClock();
  const observe = (event: SluiceEvent): void => {
    if (event.type === "retried") void clock.advance(event.delayMs); // no pause takes any time
  };
  return createJsonClient({ baseUrl: `http://127.0.0.1:${port}`, clock, observe, ...options });
}

/** Answers one status after another, and the last for good. */
function statuses(...all: readonly number[]): {
  readonly listener: RequestListener;
  asked: number;
} {
  const served = {
    asked: 0,
    listener: ((request, response) => {
      request.resume();
      const status = all[Math.min(served.asked, all.length - 1)] ?? 500;
      served.asked += 1;
      response.writeHead(status).end(status === 204 ? "" : JSON.stringify({ status }));
    }) satisfies RequestListener,
  };
  return served;
}

/** Resolves when an event of this kind is told. */
function heard(): {
  observe: (event: SluiceEvent) => void;
  of: (type: string) => Promise<SluiceEvent>;
} {
  const waiting = new Map<string, (event: SluiceEvent) => void>();
  return {
    observe: (event) => waiting.get(event.type)?.(event),
    of: (type) => new Promise((resolve) => waiting.set(type, resolve)),
  };
}

describe("request", () => {
  it("tries again what may pass, until there is an answer", async () => {
    const served = statuses(503, 429, 408, 425, 500, 200);
    const client = await serve(served.listener);
    await expect(client.request(X)).resolves.toEqual({ status: 200 });
    expect(served.asked).toBe(6);
  });

  it("takes a final refusal for one, and tells it as it is", async () => {
    const served = statuses(404);
    const client = await serve(served.listener);
    const refusal = await client.request(X).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "SLUICE_ERR_SINK_REJECTED", disposition: "rejected" });
    expect(refusal).toHaveProperty("cause.status", 404);
    expect(served.asked).toBe(1);
  });

  it("gives up after maxAttempts, with the latest failure as the cause", async () => {
    const served = statuses(500, 502, 503);
    const client = await serve(served.listener, { retry: { maxAttempts: 3 } });
    const failure = await client.request(X).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "SLUICE_ERR_CALL_UNANSWERED",
      message: expect.stringContaining("no answer after 3 attempts"),
    });
    const { cause } = (failure as Error).cause as Error;
    expect(cause).toBeInstanceOf(HttpError);
    expect(cause).toMatchObject({ status: 503 });
  });

  it("waits as long as the server asks, and has one deadline for it all", async () => {
    const clock = manualClock();
    const { observe, of } = heard();
    let asked = 0;
    const client = await serve(
      (request, response) => {
        request.resume();
        asked += 1;
        response.writeHead(429, { "retry-after": "20" }).end();
      },
      { clock, observe, deliveryTimeoutMs: 50_000 },
    );
    const first = of("retried");
    const failing = client.request(X).catch((error: unknown) => error);
    expect(await first).toMatchObject({ attempt: 1, delayMs: 20_000 });
    const second = of("retried");
    await clock.advance(20_000);
    expect(await second).toMatchObject({ attempt: 2, delayMs: 20_000 });
    await clock.advance(20_000);
    expect(await failing).toMatchObject({ code: "SLUICE_ERR_CALL_UNANSWERED" }); // 60 s are too many
    expect(asked).toBe(3);
  });

  it("gives each attempt callTimeoutMs: one that hangs is cancelled, and tried again", async () => {
    const clock = manualClock();
    let hung = (): void => undefined;
    const hangs = new Promise<void>((resolve) => (hung = resolve));
    let gone: Promise<unknown> | undefined;
    const client = await serve(
      (request, response) => {
        request.resume();
        if (gone !== undefined) response.end("7");
        else {
          gone = once(response, "close");
          hung();
        }
      },
      { clock, callTimeoutMs: 5_000 },
    );
    const answer = client.request(X);
    await hangs;
    await clock.advance(5_000);
    await gone;
    await clock.next();
    await expect(answer).resolves.toBe(7);
  });

  it("sends a POST again only where it cannot have been carried out, or is said to bear it", async () => {
    const refused = statuses(429, 500, 200);
    const client = await serve(refused.listener);
    const failure = await client.request({ path: "/x", body: 1 }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "SLUICE_ERR_SINK_UNKNOWN",
      disposition: "unknown",
      message: expect.stringContaining("a POST that may have been carried out is not sent again"),
    });
    expect(failure).toHaveProperty("cause.status", 500);
    expect(refused.asked).toBe(2);
    const safe = statuses(500, 200);
    const reader = await serve(safe.listener);
    await expect(reader.request({ path: "/x", method: "GET" })).resolves.toEqual({ status: 200 });
    const patch = { path: "/x", method: "PATCH", body: 1 };
    await expect((await serve(statuses(500).listener)).request(patch)).rejects.toMatchObject({
      disposition: "unknown",
    });
  });

  it("does not send a POST again that had no answer in its time", async () => {
    const clock = manualClock();
    const { observe, of } = heard();
    let asked = 0;
    let came = (): void => undefined;
    const arrived = new Promise<void>((resolve) => (came = resolve));
    const listener: RequestListener = (request) => {
      request.resume();
      asked += 1;
      came();
    };
    const client = await serve(listener, { clock, observe, callTimeoutMs: 5_000 });
    const failure = client.request({ path: "/x", body: 1 }).catch((error: unknown) => error);
    await arrived;
    const again = of("retried");
    await clock.advance(5_000);
    await again;
    await clock.next();
    expect(await failure).toMatchObject({ code: "SLUICE_ERR_SINK_UNKNOWN" });
    expect(asked).toBe(1);
  });

  describe("of a POST that is under way", () => {
    /** Sends one to a server that never answers, and waits until it is there. */
    const send = async (
      options: Partial<JsonClientOptions>,
      idempotent?: boolean,
      signal?: AbortSignal,
    ) => {
      let came = (): void => undefined;
      const arrived = new Promise<void>((resolve) => (came = resolve));
      const client = await serve((request) => void request.resume().on("end", came), options);
      const request = idempotent === undefined ? { path: "/x" } : { path: "/x", idempotent };
      const failure = client
        .request({ ...request, body: 1 }, { signal })
        .catch((error: unknown) => error);
      await arrived;
      return { client, failure };
    };

    it("is unknown when all its time is over, and not safe to repeat", async () => {
      const clock = manualClock();
      const times = { callTimeoutMs: 30_000, deliveryTimeoutMs: 30_000 };
      const { failure } = await send({ clock, ...times });
      await clock.advance(30_000);
      expect(await failure).toMatchObject({
        code: "SLUICE_ERR_SINK_UNKNOWN",
        disposition: "unknown",
        message: expect.stringContaining("a POST that may have been carried out"),
        cause: { code: "SLUICE_ERR_CALL_UNANSWERED" },
      });
    });

    it("is unknown when its attempts are used up", async () => {
      const clock = manualClock();
      const { failure } = await send({ clock, callTimeoutMs: 5_000, retry: { maxAttempts: 1 } });
      await clock.advance(5_000);
      expect(await failure).toMatchObject({ code: "SLUICE_ERR_SINK_UNKNOWN" });
    });

    it("is unknown when the client's time to close is over", async () => {
      const clock = manualClock();
      const { client, failure } = await send({ clock });
      const closed = client.close({ timeoutMs: 1_000 });
      await clock.advance(1_000);
      await closed;
      expect(await failure).toMatchObject({
        code: "SLUICE_ERR_SINK_UNKNOWN",
        cause: { code: "SLUICE_ERR_BATCHER_CLOSED" },
      });
    });

    it("has its caller's own reason where that aborts it, whatever the reason is", async () => {
      const reason = new SluiceError("SLUICE_ERR_BATCHER_CLOSED", "another engine has closed");
      const controller = new AbortController();
      const { failure } = await send({}, undefined, controller.signal);
      controller.abort(reason);
      expect(await failure).toBe(reason);
    });

    it("is unanswered where it may be repeated", async () => {
      const clock = manualClock();
      const once = { callTimeoutMs: 5_000, retry: { maxAttempts: 1 } };
      const { failure } = await send({ clock, ...once }, true);
      await clock.advance(5_000);
      expect(await failure).toMatchObject({ code: "SLUICE_ERR_CALL_UNANSWERED" });
    });
  });

  it("is unanswered, and not unknown, where a POST was turned away each time", async () => {
    const client = await serve(statuses(429).listener, { retry: { maxAttempts: 2 } });
    await expect(client.request({ path: "/x", body: 1 })).rejects.toMatchObject({
      code: "SLUICE_ERR_CALL_UNANSWERED",
    });
  });

  it.each([undefined, null, 5, { path: 5 }, { path: "/x", method: 5 }])(
    "%j is refused as none, and that is told",
    async (request) => {
      const events: SluiceEvent[] = [];
      const client = await serve(statuses(200).listener, {
        observe: (event) => events.push(event),
      });
      await expect(client.request(request as never)).rejects.toMatchObject({
        code: "SLUICE_ERR_OPTION_INVALID",
      });
      expect(events.map(({ type }) => type)).toContain("dead-lettered");
    },
  );

  it("tells observers neither headers nor bodies nor queries", async () => {
    const events: SluiceEvent[] = [];
    const client = await serve(statuses(400).listener, { observe: (event) => events.push(event) });
    const headers = { authorization: "Bearer s3cr3t-token" };
    const request = { path: "/x?q=s3cr3t", headers, body: "s3cr3t-body" };
    await client.request(request).catch(() => undefined);
    await client.close();
    expect(events.map(({ type }) => type)).toContain("dead-lettered");
    expect(JSON.stringify(events)).toContain('"entry":{"method":"POST","path":"/x"}');
    expect(JSON.stringify(events)).not.toContain("s3cr3t");
  });

  it("is undefined where there is no body, and each request has its own answer", async () => {
    const client = await serve(statuses(204).listener);
    await expect(client.request(X)).resolves.toBeUndefined();
    const echo = await serve((request, response) => {
      request.pipe(response);
    });
    const bodies = Array.from({ length: 50 }, (_, body) => ({ body }));
    const answers = await Promise.all(bodies.map((body) => echo.request({ path: "/x", body })));
    expect(answers).toEqual(bodies);
  });

  it("ends with its signal, and with close()", async () => {
    let came = (): void => undefined;
    const client = await serve((request) => {
      request.resume();
      came();
    });
    const arrived = new Promise<void>((resolve) => (came = resolve));
    const controller = new AbortController();
    const asked = client.request(X, { signal: controller.signal });
    await arrived;
    controller.abort(new Error("enough"));
    await expect(asked).rejects.toThrow("enough");
    const again = new Promise<void>((resolve) => (came = resolve));
    const open = client.request(X);
    const failed = open.catch((error: unknown) => error);
    await again;
    expect(await client.close({ pending: "reject" })).toMatchObject({ failed: 1 });
    expect(await failed).toMatchObject({ disposition: "closed" });
    await expect(client.request(X)).rejects.toMatchObject({ disposition: "closed" });
  });

  it("has the limits of a coalescer, refused by name", async () => {
    const make = (options: object) => () =>
      createJsonClient({ baseUrl: "http://127.0.0.1", ...options });
    expect(make({ maxInFlight: 0 })).toThrow(/maxInFlight must be .*; received 0/);
    expect(make({ callTimeoutMs: 2, deliveryTimeoutMs: 1 })).toThrow(/callTimeoutMs/);
    expect(make({ retry: { circuitAfter: 1 } })).toThrow(/retry\.circuitAfter/);
  });
});
