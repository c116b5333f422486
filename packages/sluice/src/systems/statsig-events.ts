import { systemClock } from "../clock.ts";
import { canonicalJson } from "../coalescer/canonical-json.ts";
import { type Batcher, createBatcher } from "../core/batcher.ts";
import { isSluiceError, messageOf, quote, rejected, SluiceError, undecided } from "../errors.ts";
import { list } from "../shapes/list.ts";
import { isSenseless } from "./statsig-api.ts";
import type { StatsigParts } from "./statsig-options.ts";
import { readUser } from "./statsig-user.ts";

/** An event as it is sent; what it was made of may change since. */
export interface LoggedEvent {
  readonly eventName: string;
  readonly user: unknown;
  readonly time: number;
  readonly value?: string | number;
  readonly metadata?: unknown;
}

/** Events on their way to the flag API. */
export function createEventLog({
  eventApi,
  metadata,
  logging,
}: StatsigParts): Batcher<LoggedEvent, readonly LoggedEvent[]> {
  const { clock = systemClock } = logging;
  return createBatcher({
    ...logging,
    name: "statsig-events",
    shape: list<LoggedEvent>(),
    sink: async (batch, { signal }) => {
      const headers = { "statsig-client-time": String(Math.trunc(clock.epochMs())) };
      const body = { events: batch, statsigMetadata: metadata };
      try {
        await eventApi.attempt({ path: "/v1/log_event", headers, body }, { signal });
      } catch (error) {
        throw judged(error);
      }
    },
  });
}

/** What a failed call means for its events. */
function judged(error: unknown): unknown {
  // They may be taken, and halves of them would be again.
  if (isSenseless(error)) return undecided(messageOf(error), { cause: error });
  if (!isSluiceError(error) || error.disposition !== "rejected" || error.whole) return error;
  // Halved even after an attempt that was lost: some may count twice then, as after any such attempt,
  // and otherwise one bad event would take the others with it.
  return rejected(error.message, { cause: error.cause, ambiguous: false });
}

const FIELDS = ["eventName", "user", "value", "metadata", "time"];

/** Checks and copies an event. Throws `SLUICE_ERR_STATSIG_EVENT` or `SLUICE_ERR_STATSIG_USER`. */
export function readEvent(event: unknown, now: number): LoggedEvent {
  if (typeof event !== "object" || event === null || Array.isArray(event)) {
    throw invalid("an event", "an object", event);
  }
  const stray = Object.keys(event).find((field) => !FIELDS.includes(field));
  if (stray !== undefined)
    throw invalid("the fields of an event", `among ${FIELDS.join(", ")}`, stray);
  const { eventName, user, value, metadata, time } = event as Readonly<Record<string, unknown>>;
  if (typeof eventName !== "string" || eventName.length < 1 || eventName.length > 256) {
    throw invalid("eventName", "a string of 1 to 256 characters", eventName);
  }
  if (value !== undefined && typeof value !== "string" && !Number.isFinite(value)) {
    throw invalid("value", "a string or a finite number", value);
  }
  const at = time === undefined ? now : time instanceof Date ? time.getTime() : time;
  if (typeof at !== "number" || !Number.isFinite(at)) {
    throw invalid("time", "a Date or epoch milliseconds", time);
  }
  return Object.freeze({
    eventName,
    user: JSON.parse(readUser(user)) as unknown,
    time: Math.trunc(at),
    ...(value === undefined ? {} : { value: value as string | number }),
    ...(metadata === undefined ? {} : { metadata: readMetadata(metadata) }),
  });
}

/** Checks and copies several, at least one: none is taken if one is refused. */
export function readEvents(events: unknown, now: number): readonly LoggedEvent[] {
  if (Array.isArray(events) && events.length > 0) {
    return Array.from(events as readonly unknown[], (event) => readEvent(event, now));
  }
  throw invalid("events", "a list with at least one", events);
}

function readMetadata(metadata: unknown): unknown {
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) {
    throw invalid("metadata", "an object", metadata);
  }
  try {
    return JSON.parse(canonicalJson(metadata)) as unknown;
  } catch (cause) {
    throw invalid("metadata", "JSON", metadata, cause);
  }
}

function invalid(field: string, expected: string, received: unknown, cause?: unknown): SluiceError {
  const message = `logEvent: ${field} must be ${expected}; received ${quote(received)}`;
  return new SluiceError("SLUICE_ERR_STATSIG_EVENT", message, cause === undefined ? {} : { cause });
}
