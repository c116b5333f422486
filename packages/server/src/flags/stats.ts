import type { Endpoint, LoggedEvent, Question } from "./call.ts";
import { canonicalUser } from "./user.ts";

/** What the API has seen; the object stays the same and its figures move. */
export interface FlagStats {
  /** Valid calls, whatever came of them; what is not valid counts as `refused` alone. */
  readonly calls: Readonly<Record<Endpoint, number>>;
  /** Requests that were not valid. */
  readonly refused: number;
  /** Calls that had trouble. */
  readonly troubled: number;
  /** Requests that ended without a whole answer: their client went away, or was cut off. */
  readonly abandoned: number;
  /** Names of gates and configs that were asked, repeated ones included. */
  readonly names: number;
  /** Names that a call had more than once, counted from their second time on. */
  readonly duplicateNames: number;
  /** The most names of one call. */
  readonly largestCall: number;
  /** Different users that flags were asked for. */
  readonly users: number;
  /** Log events received. */
  readonly events: number;
  /** The most events of one call. */
  readonly largestLog: number;
  /** The log events in the order of their arrival; empty where they are not kept. */
  readonly log: readonly LoggedEvent[];
  /** Requests that have come and are not answered. */
  readonly inFlight: number;
  readonly peakInFlight: number;
}

/** Keeps the figures. */
export interface StatsKeeper {
  readonly stats: FlagStats;
  /** A request has come; the answer says that it is done with, the first time that it is called. */
  arrive(): (end: "answered" | "abandoned") => void;
  refuse(): void;
  /** A call is valid; answers which one of its endpoint it is. */
  call(question: Question): number;
  trouble(): void;
  take(events: readonly LoggedEvent[]): void;
}

/** Begins at zero. */
export function createStats(keepEvents: boolean): StatsKeeper {
  const log: LoggedEvent[] = [];
  const calls = { check_gate: 0, get_config: 0, log_event: 0 };
  const users = new Set<string>();
  const stats = {
    calls,
    refused: 0,
    troubled: 0,
    abandoned: 0,
    names: 0,
    duplicateNames: 0,
    largestCall: 0,
    users: 0,
    events: 0,
    largestLog: 0,
    log,
    inFlight: 0,
    peakInFlight: 0,
  };

  function ask({ names, user }: Question): void {
    stats.names += names.length;
    stats.duplicateNames += names.length - new Set(names).size;
    stats.largestCall = Math.max(stats.largestCall, names.length);
    if (user !== undefined) users.add(canonicalUser(user));
    stats.users = users.size;
  }

  return {
    stats,
    arrive() {
      stats.inFlight += 1;
      stats.peakInFlight = Math.max(stats.peakInFlight, stats.inFlight);
      let done = false;
      return (end) => {
        if (done) return;
        done = true;
        stats.inFlight -= 1;
        if (end === "abandoned") stats.abandoned += 1;
      };
    },
    refuse() {
      stats.refused += 1;
    },
    call(question) {
      calls[question.endpoint] += 1;
      if (question.endpoint !== "log_event") ask(question);
      return calls[question.endpoint];
    },
    trouble() {
      stats.troubled += 1;
    },
    take(events) {
      stats.events += events.length;
      stats.largestLog = Math.max(stats.largestLog, events.length);
      // One by one: a call may have more events than a function takes arguments.
      if (keepEvents) for (const event of events) log.push(event);
    },
  };
}
