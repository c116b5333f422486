import { checkObject, invalidOption } from "../core/validate.ts";
import { type ListOptions, list } from "./list.ts";
import { ONE_GROUP, type Shape } from "./shape.ts";

/** The options of a `calls` shape: those of a list, and */
export interface CallsOptions<Request> extends ListOptions<Request> {
  /** Which requests may share a call, compared as a `Map` compares. Default: all may. */
  readonly group?: ((request: Request) => unknown) | undefined;
}

/**
 * Requests in the order in which they came, those of one group to a call: each batch is a frozen array
 * that holds requests of one group, and up to `lanes` batches are in flight. Merging is that of lists:
 * whoever merges batches of different groups has a batch of several.
 *
 * A batcher of this shape only sends; `createCoalescer` gives each who asks an answer.
 */
export function calls<Request>(
  options: CallsOptions<Request> = {},
): Shape<Request, readonly Request[], Request> {
  checkObject("calls: the options", options);
  const { group = () => ONE_GROUP, ...others } = options;
  if (typeof group !== "function") throw invalidOption("calls: group", "a function", group);
  return { ...list<Request>(others), kind: "calls", group };
}
