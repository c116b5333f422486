import { isSluiceError, type Shape, type Sink, type WriteContext } from "sluice";
import type { StoreStage } from "./coverage.ts";

/** What is known of an attempt that is under way. */
export interface OpenAttempt {
  readonly context: WriteContext<unknown>;
  readonly stage: StoreStage;
  readonly beganRan: number;
}

/** A batch that was sent: as it was at first, and what its attempts have come to. */
interface SentBatch {
  readonly bytes: Uint8Array;
  attempts: number;
  /** How many have ended; others hang, or were given up. */
  answered: number;
  /** One of them may have been applied although nobody was told. */
  ambiguous: boolean;
  /** One of them was refused, in whole or in part. */
  refused: boolean;
}

/** What the attempts of a program are held against. */
export interface AttemptsParts<Batch> {
  readonly shape: Shape<never, Batch, unknown>;
  /** Where a program stands, but for what its attempt says of itself. */
  readonly standing: () => "well" | "circuit open" | "draining";
  readonly fail: (what: string) => void;
  readonly ran: () => number;
  readonly writeTimeoutMs: number;
  /** The store has answered, be it with a refusal. */
  readonly onAnswer: () => void;
  /** The keys of a batch, each of which one lane alone may write; none where there is no order. */
  readonly keysOf: (batch: Batch) => readonly string[];
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
  readonly #writers = new Map<string, string>();
  #latest: OpenAttempt | undefined;
  /** How many there were. */
  total = 0;

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
        const { sent, end } = this.#begin(batch, context);
        try {
          const result = await sink.write(batch, context);
          if ((result?.rejected ?? []).length > 0) sent.refused = true;
          return result;
        } catch (error) {
          const known = isSluiceError(error) ? error : undefined;
          if (known?.disposition === "rejected" || known?.disposition === "unknown")
            this.#parts.onAnswer();
          if (known?.disposition === "rejected") sent.refused = true;
          else sent.ambiguous ||= known?.ambiguous ?? true;
          throw error;
        } finally {
          sent.ambiguous ||= context.ended === true; // whatever it says now, nobody hears
          end();
        }
      },
    };
  }

  /** No attempt goes on for longer than it may. */
  check(): void {
    const { fail, ran, writeTimeoutMs } = this.#parts;
    for (const { context, beganRan } of this.#open.values()) {
      const late = ran() - beganRan - writeTimeoutMs;
      if (context.ended !== true && late > 1e-6)
        fail(`an attempt of ${idOf(context.id)} has gone on ${late} ms beyond its time`);
    }
  }

  /** Whether a batch that is called unknown may have been applied. */
  isAmbiguous(name: string): boolean {
    const sent = this.#sent.get(name);
    return sent !== undefined && (sent.ambiguous || sent.attempts > sent.answered);
  }

  /** Whether an entry of this batch or part that is called rejected was refused. */
  isRefused(name: string): boolean {
    return this.#sent.get(name)?.refused === true;
  }

  #begin(
    batch: Batch,
    context: WriteContext<Batch>,
  ): { readonly sent: SentBatch; readonly end: () => void } {
    const { fail, shape } = this.#parts;
    const { id, attempt } = context;
    const name = idOf(id);
    const bytes = shape.encode(batch);
    const sent = this.#sent.get(name) ?? this.#note(name, bytes.slice(), batch, context);
    sent.attempts += 1;
    this.total += 1;
    if (Buffer.compare(sent.bytes, bytes) !== 0)
      fail(`${name}: attempt ${attempt} has other bytes`);
    if (attempt !== sent.attempts)
      fail(`${name}: attempt ${attempt} is the ${sent.attempts}th of this batch`);
    const before = this.#open.get(id.writer);
    if (before !== undefined && before.context.ended !== true) {
      fail(`${name} is attempted while ${idOf(before.context.id)} is in flight`);
    }
    const open = { context, stage: this.#stageOf(context), beganRan: this.#parts.ran() };
    if (open.stage === "probe" && this.#count(({ id: other }) => this.#isProbe(other.writer)) > 0)
      fail(`${name} is attempted beside the one probe of an open circuit`);
    this.#latest = open;
    this.#open.set(id.writer, open);
    const end = (): void => {
      sent.answered += 1;
      if (this.#open.get(id.writer) === open) this.#open.delete(id.writer);
    };
    return { sent, end };
  }

  #isProbe(writer: string): boolean {
    return this.#open.get(writer)?.stage === "probe";
  }

  /** A batch or part is sent for the first time. */
  #note(name: string, bytes: Uint8Array, batch: Batch, { id }: WriteContext<Batch>): SentBatch {
    const { keysOf, fail } = this.#parts;
    const sent = { bytes, attempts: 0, answered: 0, ambiguous: false, refused: false };
    this.#sent.set(name, sent);
    for (const key of keysOf(batch)) {
      const writer = this.#writers.get(key) ?? id.writer;
      this.#writers.set(key, id.writer);
      if (writer !== id.writer)
        fail(`key ${JSON.stringify(key)} goes to ${id.writer} and ${writer}`);
    }
    return sent;
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
