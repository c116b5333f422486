import { randomUUID } from "node:crypto";
import { type FlagApi, type FlagApiOptions, startFlagApi } from "../flags/flag-api.ts";
import { EXIT, Failure, messageOf } from "./failure.ts";

/** Starts a flag API with these options; how tests bring one that is not what it should be. */
export type StartFlagApi = (options: FlagApiOptions) => Promise<FlagApi>;

/** A flag API of this run's own, and what its answers follow from. */
export interface Flags {
  readonly url: string;
  readonly apiKey: string;
  readonly seed: number;
  /** How many calls about gates it has had. */
  readonly calls: () => number;
  close(): Promise<void>;
}

const SEED = 1;

/** Starts the flag API on a port that is free, with a key that nobody else has. */
export async function openFlags(start: StartFlagApi = startFlagApi): Promise<Flags> {
  const options = { seed: SEED, apiKey: `secret-${randomUUID()}`, keepEvents: false };
  try {
    const { url, stats, close } = await start(options);
    return { ...options, url, calls: () => stats.calls.check_gate, close };
  } catch (error) {
    const words = `cannot start the flag API on this machine: ${messageOf(error)}`;
    throw new Failure(words, EXIT.failed, error);
  }
}
