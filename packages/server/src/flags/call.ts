import { type FlagUser, isRecord } from "./user.ts";

/** The endpoints of the API, below `/v1/`. */
export const ENDPOINTS = ["check_gate", "get_config", "log_event"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

/** A log event, as it came in but for its user: where it names none, the call's. */
export interface LoggedEvent {
  readonly eventName: string;
  readonly user: FlagUser | undefined;
  readonly value: string | number | undefined;
  readonly time: number | undefined;
  readonly metadata: Readonly<Record<string, unknown>> | undefined;
}

/** What a valid call asks. */
export interface Question {
  readonly endpoint: Endpoint;
  /** The gates, the config or the names of the events, in the order of the call. */
  readonly names: readonly string[];
  /** Whether the names came as a list of gates, which a map answers. */
  readonly list: boolean;
  /** The user of the call; only a log may be without. */
  readonly user: FlagUser | undefined;
  readonly events: readonly LoggedEvent[];
}

/** Why a request is not answered as it wants. */
export class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "Refusal";
    this.status = status;
  }
}

const MAX_GATES = 100;
const CONFIG_NAME = /^[a-zA-Z0-9_\-. ]+$/;

/** Reads the body of a call to an endpoint; throws a `Refusal` with status 400. */
export function parseCall(endpoint: Endpoint, text: string): Question {
  const body = parseJson(text);
  if (!isRecord(body)) throw bad("the body must be an object");
  optionalRecord("statsigMetadata", body["statsigMetadata"]);
  const common = { endpoint, list: false, events: [] };
  switch (endpoint) {
    case "check_gate": {
      const { gateName, gateNames } = body;
      if (gateName !== undefined && gateNames !== undefined) {
        throw bad("gateName and gateNames exclude each other");
      }
      const list = gateName === undefined;
      const names = list ? listOfNames(gateNames) : [nameOf("gateName", gateName)];
      return { ...common, names, list, user: userOf("user", body["user"]) };
    }
    case "get_config": {
      const name = nameOf("configName", body["configName"]);
      if (!CONFIG_NAME.test(name)) throw bad(`configName must match ${CONFIG_NAME.source}`);
      return { ...common, names: [name], user: userOf("user", body["user"]) };
    }
    case "log_event": {
      const user = body["user"] === undefined ? undefined : userOf("user", body["user"]);
      const events = eventsOf(body["events"], user);
      return { ...common, names: events.map(({ eventName }) => eventName), user, events };
    }
    default:
      return endpoint satisfies never;
  }
}

function bad(message: string): Refusal {
  return new Refusal(400, message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw bad("the body is no JSON");
  }
}

function nameOf(what: string, name: unknown): string {
  if (typeof name !== "string") throw bad(`${what} must be a string`);
  if (name.length < 2 || name.length > 100) throw bad(`${what} must have 2 to 100 characters`);
  return name;
}

function listOfNames(names: unknown): readonly string[] {
  if (!Array.isArray(names)) throw bad("gateNames must be a list, or gateName a string");
  if (names.length < 1 || names.length > MAX_GATES) {
    throw bad(`gateNames must have 1 to ${MAX_GATES} elements, received ${names.length}`);
  }
  return names.map((name, index) => nameOf(`gateNames[${index}]`, name));
}

function userOf(what: string, user: unknown): FlagUser {
  if (!isRecord(user)) throw bad(`${what} must be an object`);
  const { userID, customIDs } = user;
  if (userID !== undefined && typeof userID !== "string") {
    throw bad(`${what}.userID must be a string`);
  }
  optionalRecord(`${what}.customIDs`, customIDs);
  const ids = isRecord(customIDs) ? Object.values(customIDs) : [];
  if (![userID, ...ids].some((id) => typeof id === "string" && id !== "")) {
    throw bad(`${what} must have a userID or customIDs`);
  }
  optionalRecord(`${what}.custom`, user["custom"]);
  return user;
}

function eventsOf(events: unknown, user: FlagUser | undefined): readonly LoggedEvent[] {
  if (!Array.isArray(events) || events.length === 0) {
    throw bad("events must be a list of at least one");
  }
  return events.map((event: unknown, index) => eventOf(`events[${index}]`, event, user));
}

function eventOf(what: string, event: unknown, user: FlagUser | undefined): LoggedEvent {
  if (!isRecord(event)) throw bad(`${what} must be an object`);
  const { eventName, value, time } = event;
  if (typeof eventName !== "string" || eventName === "") {
    throw bad(`${what}.eventName must be a string that is not empty`);
  }
  if (value !== undefined && typeof value !== "string" && typeof value !== "number") {
    throw bad(`${what}.value must be a string or a number`);
  }
  if (time !== undefined && typeof time !== "number") throw bad(`${what}.time must be a number`);
  return {
    eventName,
    user: event["user"] === undefined ? user : userOf(`${what}.user`, event["user"]),
    value,
    time,
    metadata: optionalRecord(`${what}.metadata`, event["metadata"]),
  };
}

function optionalRecord(
  what: string,
  value: unknown,
): Readonly<Record<string, unknown>> | undefined {
  if (value !== undefined && !isRecord(value)) throw bad(`${what} must be an object`);
  return value;
}
