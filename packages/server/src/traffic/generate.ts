import { createDetails } from "./generate-details.ts";
import { createRandom, createWeightedPick, type Random } from "./random.ts";
import type { TrafficRequest } from "./request.ts";

/** What traffic to generate. The same options always give the same requests. */
export interface GenerateOptions {
  readonly seed: number;
  /** How many requests. */
  readonly events: number;
}

const CLIENTS = 400;
/** Above 1 the busiest client outweighs all of the tail together; web traffic is just below. */
const SKEW = 0.95;
const START_MS = Date.UTC(2025, 0, 6, 9, 0, 0);
const MEAN_GAP_MS = 40;

/** Addresses that are reserved for documentation, so no real client is ever named. */
const NETWORKS = ["192.0.2", "198.51.100", "203.0.113"];

interface Route {
  readonly weight: number;
  readonly method: string;
  /** `#` stands for a number. */
  readonly target: string;
  /** What it answers when it neither fails nor spares the body. */
  readonly status: number;
  /** The share of answers that are 304. */
  readonly cached: number;
  /** How many bytes its answer has on average. */
  readonly bytes: number;
}

const ROUTES: readonly Route[] = [
  { weight: 20, method: "GET", target: "/products/#", status: 200, cached: 0.2, bytes: 14_200 },
  {
    weight: 14,
    method: "GET",
    target: "/assets/app.#.js",
    status: 200,
    cached: 0.6,
    bytes: 86_000,
  },
  { weight: 12, method: "GET", target: "/search?q=#&page=1", status: 200, cached: 0, bytes: 9_800 },
  { weight: 10, method: "GET", target: "/", status: 200, cached: 0.1, bytes: 11_500 },
  { weight: 9, method: "GET", target: "/orders/#", status: 200, cached: 0.05, bytes: 6_400 },
  { weight: 7, method: "POST", target: "/orders", status: 201, cached: 0, bytes: 420 },
  { weight: 6, method: "POST", target: "/sessions", status: 200, cached: 0, bytes: 310 },
  { weight: 5, method: "PUT", target: "/carts/#", status: 200, cached: 0, bytes: 640 },
  { weight: 4, method: "PATCH", target: "/users/#/settings", status: 204, cached: 0, bytes: 0 },
  { weight: 3, method: "DELETE", target: "/carts/#/items/#", status: 204, cached: 0, bytes: 0 },
  { weight: 3, method: "GET", target: "/old-catalogue/#", status: 301, cached: 0, bytes: 178 },
  { weight: 2, method: "HEAD", target: "/health", status: 200, cached: 0, bytes: 0 },
  { weight: 1, method: "OPTIONS", target: "*", status: 204, cached: 0, bytes: 0 },
];

const FAILURES = [
  { weight: 50, status: 404 },
  { weight: 15, status: 401 },
  { weight: 12, status: 403 },
  { weight: 10, status: 429 },
  { weight: 7, status: 500 },
  { weight: 6, status: 503 },
];
const FAILURE_SHARE = 0.06;

/** Generates requests of a few hundred clients, few of them busy and most of them rare. */
export function* generateTraffic(
  options: GenerateOptions,
): Generator<TrafficRequest, void, undefined> {
  const random = createRandom(options.seed);
  const pickClient = createWeightedPick(
    Array.from({ length: CLIENTS }, (_, rank) => ({ name: clientName(rank), rank })),
    ({ rank }) => 1 / (rank + 1) ** SKEW,
  );
  const pickRoute = createWeightedPick(ROUTES, (route) => route.weight);
  const pickFailure = createWeightedPick(FAILURES, (failure) => failure.weight);
  const details = createDetails(options.seed, CLIENTS);
  let at = START_MS;

  for (let event = 0; event < options.events; event += 1) {
    // Independent arrivals are exponentially far apart.
    at += Math.round(-Math.log(1 - random()) * MEAN_GAP_MS);
    const { name: client, rank } = pickClient(random);
    const route = pickRoute(random);
    const failed = random() < FAILURE_SHARE;
    const status = failed ? pickFailure(random).status : answerOf(route, random);
    const { method, bytes } = route;
    const request = { client, at, method, target: targetOf(route, random), status };
    yield { ...request, ...details({ rank, method, status, bytes }) };
  }
}

function answerOf(route: Route, random: Random): number {
  return random() < route.cached ? 304 : route.status;
}

function targetOf(route: Route, random: Random): string {
  return route.target.replaceAll("#", () => String(Math.floor(random() * 9_000) + 1_000));
}

function clientName(rank: number): string {
  const network = NETWORKS[rank % NETWORKS.length] ?? "192.0.2";
  return `${network}.${Math.floor(rank / NETWORKS.length) + 1}`;
}
