import type { Clock } from "../clock.ts";
import { SluiceError } from "../errors.ts";
import type { UnnamedEvent } from "../events.ts";
import type { BatchAlgebra } from "../shapes/shape.ts";
import type { BatchId, Sink, WriteContext, WriteResult } from "../sinks/sink.ts";
import type { Abort } from "./abort.ts";
import type { Settings } from "./options.ts";

/** What an attempt needs of its batcher. */
interface AttemptParts<Batch> {
  readonly sink: Sink<Batch>;
  readonly shape: BatchAlgebra<Batch>;
  readonly clock: Clock;
  readonly settings: () => Settings;
  readonly emit: (event: UnnamedEvent) => void;
}

/** Which attempt it is, and what ends it. */
interface AttemptFacts {
  readonly id: BatchId;
  readonly attempt: number;
  readonly deadline: number;
  readonly abort: Abort;
}

/** How an attempt ended. */
type Answer =
  | { readonly kind: "answered"; readonly result: unknown }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "aborted" };

/** One call of the sink, given up at its time limit or on `abort`; never throws, never hangs. */
export async function attemptWrite<Batch>(
  parts: AttemptParts<Batch>,
  part: Batch,
  facts: AttemptFacts,
): Promise<Answer> {
  const { sink, clock, settings, emit } = parts;
  const { id, attempt, deadline, abort } = facts;
  const timeoutMs = Math.min(settings().writeTimeoutMs, deadline - clock.now());
  const context = new AttemptContext(parts, facts, timeoutMs);
  return new Promise<Answer>((resolve) => {
    let over = false;
    const end = (answer: Answer): void => {
      over = true;
      clock.cancel(timer);
      abort.delete(onAbort);
      resolve(answer);
    };
    const onAbort = (): void => {
      context.giveUp(abort.reason);
      end({ kind: "aborted" });
    };
    const timer = clock.schedule(() => {
      const message = `the sink did not answer within ${timeoutMs} ms`;
      const error = new SluiceError("SLUICE_ERR_WRITE_TIMEOUT", message);
      context.giveUp(error);
      end({ kind: "failed", error });
    }, timeoutMs);
    abort.add(onAbort);
    // Inside a promise, so that a sink that throws before it returns one is caught as well.
    new Promise<WriteResult | undefined | void>((answer) => {
      answer(sink.write(part, context));
    }).then(
      (result) => {
        if (over) emit({ type: "late", id, attempt });
        else end({ kind: "answered", result });
      },
      (error: unknown) => {
        if (over) emit({ type: "late", id, attempt, error });
        else end({ kind: "failed", error });
      },
    );
  });
}

/**
 * What the sink is told. A class: a getter in an object literal makes V8 a hidden class for each object,
 * which keeps what the getter sees from minor collections.
 */
class AttemptContext<Batch> implements WriteContext<Batch> {
  readonly id: BatchId;
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly shape: BatchAlgebra<Batch>;
  readonly #parts: AttemptParts<Batch>;
  readonly #endsAt: number;
  #controller: AbortController | undefined;
  #givenUp: { readonly reason: unknown } | undefined;

  constructor(parts: AttemptParts<Batch>, { id, attempt }: AttemptFacts, timeoutMs: number) {
    this.id = id;
    this.attempt = attempt;
    this.timeoutMs = timeoutMs;
    this.shape = parts.shape;
    this.#parts = parts;
    this.#endsAt = parts.clock.now() + timeoutMs;
  }

  /** Made when somebody looks at it: it costs more than all the rest of an attempt. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#givenUp !== undefined) this.#controller.abort(this.#givenUp.reason);
    }
    return this.#controller.signal;
  }

  get ended(): boolean {
    return this.#givenUp !== undefined;
  }

  readonly remainingMs = (): number => this.#endsAt - this.#parts.clock.now();

  readonly warn = (error: unknown): void => {
    this.#parts.emit({ type: "warning", error });
  };

  giveUp(reason: unknown): void {
    this.#givenUp = { reason };
    this.#controller?.abort(reason);
  }
}
