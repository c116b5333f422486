/**
 * The connections that can listen, of all three drivers, behind one face. Structural types, as in
 * driver.ts: type tests assign the real drivers' types to these.
 */
import { quote, SluiceError } from "../../errors.ts";
import { identifier } from "./identifiers.ts";

/** A `Client` of `pg` that has not been connected yet. */
export interface PgListenClient {
  connect(): Promise<unknown>;
  query(query: { text: string }): Promise<unknown>;
  end(): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "notification", listener: (message: PgNotification) => void): unknown;
  /** To let go of a server that does not answer. */
  readonly connection?: { readonly stream?: { destroy?(): unknown } | undefined } | undefined;
}

/** A notification as `pg` gives it. */
interface PgNotification {
  readonly channel: string;
  readonly payload?: string | undefined;
}

/** The `sql` function of `postgres` (porsager), which listens on a connection of its own. */
export interface PostgresJsListener {
  listen(
    channel: string,
    onPayload: (payload: string) => void,
    onListen?: () => void,
  ): Promise<{ unlisten(): Promise<void> }>;
  end(options?: { timeout?: number }): Promise<unknown>;
}

/** A `PGlite` database. */
export interface PgliteListener {
  listen(channel: string, onPayload: (payload: string) => void): Promise<unknown>;
  unlisten(channel: string, onPayload?: (payload: string) => void): Promise<unknown>;
}

/**
 * Where a listener's connection comes from. A function makes a new one each time: a `Client` of `pg`,
 * or the `sql` function of a `postgres` of its own, which the listener ends. Otherwise a `sql` function
 * or a PGlite database that is shared with others, and never ended.
 */
export type ListenSource =
  | (() => PgListenClient | PostgresJsListener)
  | PostgresJsListener
  | PgliteListener;

/** What a connection has to tell. */
interface ListenEvents {
  onNotification(channel: string, payload: string): void;
  /** The connection is gone. */
  onLost(error: unknown): void;
  /** The driver lost the connection, and listens again: notifications may have been missed. */
  onRestart(): void;
}

/** A connection that listens, or is about to. Everything it gives may reject; nothing throws. */
export interface ListenConnection {
  /** Resolves when it can be used. */
  readonly opened: Promise<unknown>;
  listen(channel: string): Promise<unknown>;
  unlisten(channel: string): Promise<unknown>;
  /** Ends it and waits for that. */
  close(): Promise<unknown>;
  /** Lets go of it at once, whatever state it is in. */
  destroy(): void;
}

/** Opens a connection. May throw. */
export type OpenListenConnection = (events: ListenEvents) => ListenConnection;

/** Recognises a source. Throws `SLUICE_ERR_OPTION_INVALID` for anything else. */
export function openerOf(source: ListenSource): OpenListenConnection {
  if (isPostgresJs(source)) return sharedPostgresJs(source);
  if (isPglite(source)) return (events) => pgliteConnection(source, events);
  if (typeof source === "function") return (events) => ownConnection(make(source), events);
  throw notASource(source);
}

/** What the platform says of a malformed URL holds it as `input`, password and all. */
function make(source: () => unknown): unknown {
  try {
    return source();
  } catch (error) {
    if (!(error instanceof Error) || !("input" in error)) throw error;
    throw new Error(`the connection cannot be made: ${error.message}`);
  }
}

/** By the name of its class: a driver's own fields may hold what no message should. */
function notASource(received: unknown): SluiceError {
  const what =
    typeof received === "object" && received !== null
      ? `an object of class ${received.constructor?.name}`
      : quote(received);
  return new SluiceError(
    "SLUICE_ERR_OPTION_INVALID",
    `listen must be a function that makes a Client of pg, not connected yet, the sql function of postgres, or a PGlite database; received ${what}`,
  );
}

/** Whether a driver can listen by itself. */
export const canListen = (driver: object): driver is PostgresJsListener | PgliteListener =>
  isPostgresJs(driver) || isPglite(driver);

const has = (value: unknown, ...methods: string[]): boolean =>
  (typeof value === "object" || typeof value === "function") &&
  value !== null &&
  methods.every((method) => typeof (value as Record<string, unknown>)[method] === "function");

const isPostgresJs = (value: unknown): value is PostgresJsListener =>
  typeof value === "function" && has(value, "listen", "end");
const isPglite = (value: unknown): value is PgliteListener =>
  typeof value === "object" && has(value, "listen", "unlisten");
/** A Pool has the same methods, and a notification of one of its clients goes nowhere. */
const isPgClient = (value: unknown): value is PgListenClient =>
  has(value, "connect", "query", "end", "on") && !has(value, "listen") && !isPool(value);
const isPool = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "totalCount" in value;

const ignore = (): void => undefined;

function ownConnection(made: unknown, events: ListenEvents): ListenConnection {
  if (isPostgresJs(made)) {
    const connection = sharedPostgresJs(made)(events);
    const close = async (): Promise<void> => {
      connection.destroy();
      await made.end({ timeout: 0 });
    };
    return { ...connection, close, destroy: () => void close().catch(ignore) };
  }
  if (isPgClient(made)) return pgConnection(made, events);
  throw notASource(made);
}

function pgConnection(client: PgListenClient, events: ListenEvents): ListenConnection {
  // Heard for good: a client whose error nobody hears ends the process.
  client.on("error", (error) => events.onLost(error));
  client.on("end", () => events.onLost(new Error("the connection ended")));
  client.on("notification", ({ channel, payload = "" }) => events.onNotification(channel, payload));
  const run = async (command: string, channel: string): Promise<unknown> =>
    client.query({ text: `${command} ${identifier("a channel", channel)}` });
  const close = async (): Promise<unknown> => client.end();
  return {
    opened: client.connect(),
    listen: (channel) => run("LISTEN", channel),
    unlisten: (channel) => run("UNLISTEN", channel),
    close,
    destroy: () => {
      close().catch(ignore);
      client.connection?.stream?.destroy?.(); // else a server that is gone is waited for
    },
  };
}

function pgliteConnection(database: PgliteListener, events: ListenEvents): ListenConnection {
  const listeners = new Map<string, (payload: string) => void>();
  // By the quoted name: the function that `listen` gives forgets the quotes, and with them the case.
  const unlisten = async (channel: string): Promise<void> => {
    const listener = listeners.get(channel);
    listeners.delete(channel);
    await database.unlisten(identifier("a channel", channel), listener);
  };
  const close = async (): Promise<void> => {
    await Promise.all(Array.from(listeners.keys(), unlisten));
  };
  return {
    opened: Promise.resolve(),
    listen: async (channel) => {
      const listener = (payload: string): void => events.onNotification(channel, payload);
      listeners.set(channel, listener);
      await database.listen(identifier("a channel", channel), listener);
    },
    unlisten,
    close,
    destroy: () => void close().catch(ignore),
  };
}

/** A channel that `postgres` has been asked to listen to. */
interface Registration {
  /** How often it has listened: again after each loss of its connection. */
  times: number;
  unlisten: (() => Promise<void>) | undefined;
  readonly waiting: Set<() => void>;
}

/**
 * `postgres` keeps one connection for all that it listens to, opens it again by itself, and listens
 * again to each channel, also to one whose first LISTEN failed. It cannot be told to let go of a
 * channel that it has listened to twice. So each channel is registered once, and the registration
 * outlives the connections.
 */
function sharedPostgresJs(sql: PostgresJsListener): OpenListenConnection {
  const registrations = new Map<string, Registration>();
  let current: ListenEvents | undefined;

  const register = async (channel: string): Promise<void> => {
    const registration: Registration = { times: 0, unlisten: undefined, waiting: new Set() };
    const active = (): boolean => registrations.get(channel) === registration;
    registrations.set(channel, registration);
    const listening = await sql.listen(
      channel,
      (payload) => {
        if (active()) current?.onNotification(channel, payload);
      },
      () => {
        registration.times += 1;
        for (const go of registration.waiting) go();
        registration.waiting.clear();
        if (active() && registration.times > 1) current?.onRestart();
      },
    );
    registration.unlisten = () => listening.unlisten();
    if (current === undefined) await unlisten(channel); // nobody waits for it any more
  };

  const listen = async (channel: string): Promise<void> => {
    const registration = registrations.get(channel);
    if (registration === undefined) await register(channel);
    else if (registration.times === 0) {
      await new Promise<void>((resolve) => registration.waiting.add(resolve));
    }
  };

  const unlisten = async (channel: string): Promise<void> => {
    const registration = registrations.get(channel);
    if (registration?.unlisten === undefined || registration.times > 1) return;
    registrations.delete(channel);
    await registration.unlisten();
  };

  return (events) => {
    current = events;
    const destroy = (): void => {
      if (current === events) current = undefined;
    };
    return {
      opened: Promise.resolve(),
      listen,
      unlisten,
      close: async () => {
        destroy();
        await Promise.all(Array.from(registrations.keys(), unlisten));
      },
      destroy,
    };
  };
}
