import { createRandom, createWeightedPick } from "./random.ts";
import type { TrafficRequest } from "./request.ts";

/** The part of a generated request that nothing else depends on. */
export type RequestDetails = Pick<TrafficRequest, "bytes" | "referrer" | "userAgent">;

/** What the details of a request follow from. */
export interface DetailsOf {
  /** The number of the client, from 0. */
  readonly rank: number;
  readonly method: string;
  readonly status: number;
  /** How many bytes the route answers on average. */
  readonly bytes: number;
}

interface Agent {
  readonly weight: number;
  readonly name: string;
  /** Robots follow no links of people. */
  readonly robot: boolean;
}

const MOZILLA = "Mozilla/5.0";
const WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)";
const AGENTS: readonly Agent[] = [
  {
    weight: 34,
    name: `${MOZILLA} (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/131.0.0.0 Safari/537.36`,
    robot: false,
  },
  {
    weight: 22,
    name: `${MOZILLA} (Linux; Android 10; K) ${WEBKIT} Chrome/131.0.0.0 Mobile Safari/537.36`,
    robot: false,
  },
  {
    weight: 18,
    name:
      `${MOZILLA} (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 ` +
      "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    robot: false,
  },
  {
    weight: 12,
    name: `${MOZILLA} (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0`,
    robot: false,
  },
  {
    weight: 8,
    name: `${MOZILLA} (compatible; ExampleBot/2.1; +https://bot.example/)`,
    robot: true,
  },
  { weight: 6, name: "curl/8.11.0", robot: true },
];

/** Names that are reserved for documentation, so no real site is ever named. */
const REFERRERS = [
  { weight: 55, url: "https://shop.example/" },
  { weight: 15, url: "https://shop.example/search?q=café" },
  { weight: 15, url: "https://search.example/" },
  { weight: 15, url: "" },
];

const FAILURE_BYTES = 300;

/**
 * Creates the details of generated requests, drawn from a sequence of their own. A client keeps its
 * user agent.
 */
export function createDetails(seed: number, clients: number): (of: DetailsOf) => RequestDetails {
  // No seed is negative, so this is the sequence of none of them.
  const random = createRandom(-1 - seed);
  const pickAgent = createWeightedPick(AGENTS, ({ weight }) => weight);
  const pickReferrer = createWeightedPick(REFERRERS, ({ weight }) => weight);
  const agents = Array.from({ length: clients }, () => pickAgent(random));

  return ({ rank, method, status, bytes }) => {
    const agent = agents[rank];
    const referrer = pickReferrer(random).url;
    const empty = method === "HEAD" || status === 204 || status === 304;
    const average = empty ? 0 : status >= 400 ? FAILURE_BYTES : bytes;
    return {
      bytes: Math.round(average * (0.5 + random())),
      referrer: agent?.robot === true ? "" : referrer,
      userAgent: agent?.name ?? "",
    };
  };
}
