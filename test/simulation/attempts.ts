import type { Shape, Sink, WriteContext } from "sluice";
import type { StoreStage } from "./coverage.ts";

/** What is known of an attempt that is under way. */
export interface OpenAttempt {
  readonly context: WriteContext<unknown>;
  readonly stage: StoreStage;
}

/** A batch that was sent, as it was at first. */
interface SentBatch {
  readonly bytes: Uint8Array;
  attempts: number;
}

/** What the attempts of a program are held against. */
export interface AttemptsParts<Batch> {
  readonly shape: Shape<never, Batch, unknown>;
  /** Where a program stands, but for what its attempt says of itself. */
  readonly standing: () => "well" | "circuit open" | "draining";
  readonly fail: (what: string) => void;
}

/** The id of a batch or part in one text. */
export const idOf = ({
  writer,
  seq,
  part,
}: {
  writer: string;
  seq: number;
  part?: string | undefined;
}) => `${writer}#${seq}${part === undefined ? "" : `/${part}`}`;

/** Stands before a sink: every attempt of a batch is the same, and a writer makes one at a time. */
export class Attempts<Batch> {
  readonly #parts: AttemptsParts<Batch>;
  readonly #open = new Map<string, OpenAttempt>();
  readonly #sent = new Map<string, SentBatch>();
  #latest: OpenAttempt | undefined;

  constructor(parts: AttemptsParts<Batch>) {
    this.#parts = parts;
  }

  /** How many are under way; of those that were given up the store may still know. */
  get open(): number {
    return this.#count(() => true);
  }

  /** Whether part of a batch is being attempted. */
  get halving(): boolean {
    return this.#count(({ id }) => id.part !== undefined) > 0;
  }

  /** The attempt that the writer has under way, or the one that began last. */
  of(writer?: string): OpenAttempt | undefined {
    return writer === undefined ? this.#latest : this.#open.get(writer);
  }

  /** The same sink, watched. */
  tap(sink: Sink<Batch>): Sink<Batch> {
    return {
      ...sink,
      write: async (batch, context) => {
        const end = this.#begin(batch, context);
        try {
          return await sink.write(batch, context);
        } finally {
          end();
        }
      },
    };
  }

  #begin(batch: Batch, context: WriteContext<Batch>): () => void {
    const { fail, shape } = this.#parts;
    const { id, attempt } = context;
    const name = idOf(id);
    const bytes = shape.encode(batch);
    const sent = this.#sent.get(name);
    if (sent === undefined) this.#sent.set(name, { bytes: bytes.slice(), attempts: 1 });
    else {
      sent.attempts += 1;
      if (Buffer.compare(sent.bytes, bytes) !== 0)
        fail(`${name}: attempt ${attempt} has other bytes`);
    }
    const expected = sent?.attempts ?? 1;
    if (attempt !== expected)
      fail(`${name}: attempt ${attempt} is the ${expected}th of this batch`);
    const before = this.#open.get(id.writer);
    if (before !== undefined && before.context.ended !== true) {
      fail(`${name} is attempted while ${idOf(before.context.id)} is in flight`);
    }
    const open = { context, stage: this.#stageOf(context) };
    this.#latest = open;
    this.#open.set(id.writer, open);
    const end = (): void => {
      if (this.#open.get(id.writer) === open) this.#open.delete(id.writer);
    };
    return end;
  }

  #count(which: (context: WriteContext<unknown>) => boolean): number {
    let count = 0;
    for (const { context } of this.#open.values())
      if (context.ended !== true && which(context)) count += 1;
    return count;
  }

  #stageOf({ id, attempt }: WriteContext<Batch>): StoreStage {
    const standing = this.#parts.standing();
    if (standing === "draining") return "draining";
    if (id.part !== undefined) return "half";
    if (standing === "circuit open") return "probe";
    return attempt > 1 ? "retry" : "first attempt";
  }
}
