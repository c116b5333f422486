import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { answerOf } from "./answer.ts";
import { Refusal } from "./call.ts";
import { receive } from "./receive.ts";
import { reply, sendError } from "./reply.ts";
import { createStats, type FlagStats } from "./stats.ts";
import { type FlagCall, type Switches, takesEvents } from "./trouble.ts";

/** Options of `startFlagApi`. */
export interface FlagApiOptions {
  /** What the truth is drawn from; see `rules.ts`. */
  readonly seed: number;
  /** What every request must have as its `statsig-api-key`. */
  readonly apiKey: string;
  /** By default one that is free. */
  readonly port?: number;
  /** What goes wrong from the start. */
  readonly switches?: Switches;
  /** Whether `stats.log` keeps what it receives; by default it does. */
  readonly keepEvents?: boolean;
}

/** A server that answers as the Statsig HTTP API does, on this machine only. */
export interface FlagApi {
  /** Without a path and without a slash at its end. */
  readonly url: string;
  readonly stats: FlagStats;
  /** Replaces all switches, for the calls that come from now on; those not named are off. */
  configure(switches: Switches): void;
  /**
   * Ends every connection, whatever is under way on it, and resolves when nothing is left. Rejects
   * with the first failure that was none of a client's, such as one of a switch.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts to listen; rejects where the port is taken. */
export async function startFlagApi(options: FlagApiOptions): Promise<FlagApi> {
  const { seed, apiKey, port = 0, keepEvents = true } = options;
  let { switches = {} } = options;
  const keeper = createStats(keepEvents);
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];

  const server = createServer((request, response) => {
    const handled = handle(request, response)
      .catch((error: unknown) => {
        failures.push(error);
        response.destroy();
      })
      .finally(() => running.delete(handled));
    running.add(handled);
  });
  // A client that uses a connection again must not find it closed in that moment.
  server.keepAliveTimeout = 0;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const done = keeper.arrive();
    const gone = new AbortController();
    response.once("close", () => {
      done("abandoned");
      gone.abort();
    });
    response.once("prefinish", () => done("answered"));
    try {
      await answer(request, response, gone.signal);
    } catch (error) {
      if (gone.signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      keeper.refuse();
      const allow = error.status === 405 ? { allow: "POST" } : {};
      sendError(response, error.status, error.message, allow);
    }
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const question = await receive(request, apiKey);
    const { endpoint, names, user, events } = question;
    const call: FlagCall = { endpoint, names, user, number: keeper.call(question) };
    const { trouble: choice, latencyMs = 0, hold } = switches;
    const trouble = typeof choice === "function" ? choice(call) : choice;
    if (trouble !== undefined) keeper.trouble();
    if (takesEvents(trouble)) keeper.take(events);
    const latency = typeof latencyMs === "function" ? latencyMs(call) : latencyMs;
    await Promise.all([
      unlessAborted(hold?.(call), signal),
      latency > 0 ? pause(latency, signal) : undefined,
    ]);
    signal.throwIfAborted();
    await reply(response, answerOf(seed, question, trouble), trouble);
  }

  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("there is no port");

  async function shutDown(): Promise<void> {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
    await Promise.all(running);
    if (failures.length > 0) throw failures[0];
  }

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= shutDown());
  return {
    url: `http://127.0.0.1:${address.port}`,
    stats: keeper.stats,
    configure(replacement) {
      switches = replacement;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

async function unlessAborted(
  waiting: Promise<unknown> | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (waiting === undefined) return;
  await new Promise((resolve, reject) => {
    waiting.then(resolve, reject);
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
