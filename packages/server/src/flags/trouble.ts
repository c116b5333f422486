import { createRandom } from "../traffic/random.ts";
import type { Question } from "./call.ts";

/** A call that is valid, as the switches see it. */
export interface FlagCall extends Pick<Question, "endpoint" | "names" | "user"> {
  /** Which call of its endpoint it is, from 1; refused requests do not count. */
  readonly number: number;
}

/** What happens to a call instead of a proper answer. */
export type Trouble = TroubleKind & {
  /**
   * Whether the events of a log are received all the same. By default they are with every kind but
   * `error`, `html` and `hang`.
   */
  readonly taken?: boolean;
};

type TroubleKind =
  /** An error status; `retryAfter` is a number of seconds, or a date for an HTTP date. */
  | { readonly kind: "error"; readonly status: number; readonly retryAfter?: number | Date }
  /**
   * Names are left out, by default every second one from the first on. An answer about a single name
   * loses its `value`, one to a log its `success`.
   */
  | { readonly kind: "half-answer"; readonly missing?: readonly string[] }
  /**
   * Names that nobody asked, by default `nobody_asked`, are answered as well. An answer about a single
   * name claims to be about the first of them.
   */
  | { readonly kind: "stray-answer"; readonly names?: readonly string[] }
  /** No answer, until the client goes away or the API is closed. */
  | { readonly kind: "hang" }
  /** A web page with status 200. */
  | { readonly kind: "html" }
  /** Status 200 and the first half of the answer, as if that were all. */
  | { readonly kind: "invalid-json" }
  /** The proper answer behind so many MiB of white space, which JSON allows. */
  | { readonly kind: "huge"; readonly megabytes: number }
  /** Half of the answer that was announced; then the connection is gone. */
  | { readonly kind: "cut-off" }
  /** Any text at all; by default with status 200 and as JSON. */
  | {
      readonly kind: "text";
      readonly text: string;
      readonly status?: number;
      readonly contentType?: string;
    };

/** Chooses what happens to a call; undefined where nothing does. */
export type ChooseTrouble = (call: FlagCall) => Trouble | undefined;

/** What can go wrong. All is off by default. */
export interface Switches {
  readonly trouble?: Trouble | ChooseTrouble;
  /** How long an answer takes. */
  readonly latencyMs?: number | ((call: FlagCall) => number);
  /** What an answer waits for as well; the way to hold a call without a clock. */
  readonly hold?: (call: FlagCall) => Promise<unknown> | undefined;
}

/** Options of `randomTrouble`. */
export interface RandomTroubleOptions {
  /** The share of the calls that have trouble, from 0 to 1. */
  readonly share: number;
  /** What to choose from; by default whatever ends soon, so neither `hang` nor `huge`. */
  readonly troubles?: readonly Trouble[];
}

const BRIEF: readonly Trouble[] = [
  { kind: "error", status: 429, retryAfter: 1 },
  { kind: "error", status: 500 },
  { kind: "error", status: 503 },
  { kind: "half-answer" },
  { kind: "stray-answer" },
  { kind: "html" },
  { kind: "invalid-json" },
  { kind: "cut-off" },
];

/** Chaos that can be repeated: what happens to the nth call that comes depends on the seed alone. */
export function randomTrouble(seed: number, options: RandomTroubleOptions): ChooseTrouble {
  const { share, troubles = BRIEF } = options;
  const random = createRandom(seed);
  return () => {
    // Two draws for every call, whether the first strikes or not.
    const [strikes, drawn] = [random() < share, random()];
    return strikes ? troubles[Math.floor(drawn * troubles.length)] : undefined;
  };
}

/** A call with one of these names is refused as a whole, with status 400. */
export function refuseNames(...names: readonly string[]): ChooseTrouble {
  const refused = new Set(names);
  return (call) =>
    call.names.some((name) => refused.has(name)) ? { kind: "error", status: 400 } : undefined;
}

/** Whether the events of a log that meets this are received. */
export function takesEvents(trouble: Trouble | undefined): boolean {
  if (trouble === undefined) return true;
  if (trouble.taken !== undefined) return trouble.taken;
  return trouble.kind !== "error" && trouble.kind !== "html" && trouble.kind !== "hang";
}
