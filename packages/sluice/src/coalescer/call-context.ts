import type { WriteContext } from "../sinks/sink.ts";
import type { CallContext } from "./options.ts";

interface Asks<Request> {
  readonly request: Request;
}
type Asked<Request> = readonly [Asks<Request>, ...Asks<Request>[]];

/** What `resolve` is told. A class, like the engine's own, and what costs something made when looked at. */
export class Told<Request> implements CallContext<Request> {
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly #asked: Asked<Request>;
  readonly #context: Pick<WriteContext<unknown>, "signal">;

  constructor(asked: Asked<Request>, context: WriteContext<unknown>) {
    this.attempt = context.attempt;
    this.timeoutMs = context.timeoutMs;
    this.#asked = asked;
    this.#context = context;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get requests(): readonly [Request, ...Request[]] {
    const [first, ...others] = this.#asked;
    return [first.request, ...others.map(({ request }) => request)];
  }
}
