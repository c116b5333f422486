import type { WriteContext } from "../sinks/sink.ts";
import type { CallContext } from "./options.ts";

/** What `resolve` is told. A class, like the engine's own, and what costs something made when looked at. */
export class Told<Request> implements CallContext<Request> {
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly #asked: readonly { readonly request: Request }[];
  readonly #context: Pick<WriteContext<unknown>, "signal">;

  constructor(asked: readonly { readonly request: Request }[], context: WriteContext<unknown>) {
    this.attempt = context.attempt;
    this.timeoutMs = context.timeoutMs;
    this.#asked = asked;
    this.#context = context;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get requests(): readonly Request[] {
    return this.#asked.map(({ request }) => request);
  }
}
