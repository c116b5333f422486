import type { CoalescerCloseOptions, CoalescerCloseReport } from "../../coalescer/coalescer.ts";
import { createCoalescer } from "../../coalescer/coalescer.ts";
import type { CoalescerOptions } from "../../coalescer/options.ts";
import type { WaitOptions } from "../../core/batcher.ts";
import type { JsonRequest } from "./json-client.ts";

/** How requests are tried again: the options of a coalescer, where each request is a group of its own. */
export type RetriedOptions = Pick<
  CoalescerOptions<unknown, unknown>,
  | "name"
  | "maxInFlight"
  | "maxBufferedEntries"
  | "overflow"
  | "callTimeoutMs"
  | "deliveryTimeoutMs"
  | "retry"
  | "closeTimeoutMs"
  | "observe"
  | "clock"
  | "random"
>;

/** The names of `RetriedOptions`. */
export const RETRIED: readonly (keyof RetriedOptions)[] = [
  "name",
  "maxInFlight",
  "maxBufferedEntries",
  "overflow",
  "callTimeoutMs",
  "deliveryTimeoutMs",
  "retry",
  "closeTimeoutMs",
  "observe",
  "clock",
  "random",
];

/** Sends requests by `attempt`, as often as it takes and the options allow. */
export interface Retried {
  request(request: JsonRequest, options?: WaitOptions): Promise<unknown>;
  close(options?: CoalescerCloseOptions): Promise<CoalescerCloseReport>;
}

/** There is one loop that tries again, the engine's: a request is a call with one question. */
export function retried(
  attempt: (request: JsonRequest, options: WaitOptions) => Promise<unknown>,
  options: RetriedOptions,
): Retried {
  let sent = 0;
  const requests = createCoalescer({
    name: "http",
    ...options,
    group: ({ id }: { readonly id: number; readonly request: JsonRequest }) => id,
    key: ({ id }) => id,
    resolve: async (_id, _keys, { requests: [first], signal }) =>
      first === undefined ? [] : [await attempt(first.request, { signal })],
    missing: "undefined", // an answer without a body
  });
  return {
    request: (request, waitOptions) => {
      sent += 1;
      return requests.load({ id: sent, request }, waitOptions);
    },
    close: (closeOptions) => requests.close(closeOptions),
  };
}
