/** What befalls PostgreSQL, and when: drawn from a seed before anything runs. */
import type { Random } from "sluice";

/** Where a connection is harmed: before the server, before the pooler, or between the two. */
const PLACES = ["server", "pooler", "between"] as const;
export type Place = (typeof PLACES)[number];

/** `at` is how many batches have landed, over all writers, when the fault strikes. */
export type Fault = { readonly at: number } & (
  | { readonly kind: "kill" }
  /** A connection is cut, so many bytes from then on, be it in the middle of a message. */
  | {
      readonly kind: "cut";
      readonly place: Place;
      readonly from: "client" | "server";
      readonly bytes: number;
    }
  /** A COMMIT is done, and its answer is lost. */
  | { readonly kind: "loss"; readonly place: Place }
  /** A COMMIT is on its way for so long that its sender may have given up. */
  | { readonly kind: "delay"; readonly place: Place; readonly ms: number }
  /** Statements that write to one of the tables take longer than they may, until one has timed out. */
  | { readonly kind: "timeout"; readonly table: number }
  /** No connection is left for so long, and until somebody has been refused one. */
  | { readonly kind: "full"; readonly ms: number }
  | { readonly kind: "restart" }
);

export type FaultKind = Fault["kind"];

/** One of each kind for so many batches. */
const ONE_IN: Readonly<Record<FaultKind, number>> = {
  kill: 8,
  cut: 20,
  loss: 12,
  delay: 150,
  timeout: 300,
  full: 600,
  restart: 600,
};

export const KINDS = Object.keys(ONE_IN) as readonly FaultKind[];

/** The faults of a run, by kind, each kind in order. Every kind strikes at least once. */
export function drawPlan(
  batches: number,
  random: Random,
): Readonly<Record<FaultKind, readonly Fault[]>> {
  const plan = KINDS.map((kind) => {
    const count = Math.ceil(batches / ONE_IN[kind]);
    const times = Array.from({ length: count }, () => 1 + Math.floor(random() * batches));
    times.sort((a, b) => a - b);
    return [kind, times.map((at) => drawFault(kind, at, random))];
  });
  return Object.fromEntries(plan) as Record<FaultKind, readonly Fault[]>;
}

function drawFault(kind: FaultKind, at: number, random: Random): Fault {
  const upTo = (most: number): number => Math.floor(random() * most);
  const place = PLACES[upTo(PLACES.length)] ?? "server";
  switch (kind) {
    case "cut": {
      // Half an answer is passed on by the pooler, which then puts an error of its own behind it.
      // pg takes that for the other half, and throws where nobody can catch it.
      const from = place === "between" || random() < 0.5 ? "client" : "server";
      return { kind, at, place, from, bytes: upTo(4_000) };
    }
    case "loss":
      return { kind, at, place };
    case "delay":
      return { kind, at, place, ms: 50 + upTo(1_500) };
    case "timeout":
      return { kind, at, table: upTo(1_000) };
    case "full":
      return { kind, at, ms: 50 + upTo(300) };
    case "kill":
    case "restart":
      return { kind, at };
  }
}
