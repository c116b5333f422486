import type { Clock, Random } from "../clock.ts";
import { isSluiceError } from "../errors.ts";
import type { DropReason, UnnamedEvent } from "../events.ts";
import type { Shape, Size } from "../shapes/shape.ts";
import type { BatchId, RejectedEntry, Sink } from "../sinks/sink.ts";
import { Abort } from "./abort.ts";
import { attemptWrite } from "./attempt.ts";
import { bisect } from "./bisect.ts";
import type { Books } from "./books.ts";
import { backoffMs, type Gate } from "./circuit.ts";
import type { DeadLetter, Settings } from "./options.ts";
import { readResult } from "./results.ts";
import { failure, type Outcome, type Settlement, type Shortfall } from "./settlement.ts";
import { inTurn, race } from "./waits.ts";

/** A store may ask for so much patience and no more: a slip of its pen must not end delivery. */
const MAX_RETRY_AFTER_MS = 600_000;

/** What delivery needs of its batcher. */
export interface DeliveryParts<Batch, Entry> {
  readonly shape: Shape<never, Batch, Entry>;
  readonly sink: Sink<Batch>;
  readonly clock: Clock;
  readonly random: Random;
  readonly books: Books;
  readonly settings: () => Settings;
  readonly emit: (event: UnnamedEvent) => void;
  readonly deadLetter: ((letter: DeadLetter<Entry>) => unknown) | undefined;
}

/** A batch on its way: items are released one account at a time, so that the books always balance. */
export interface Flight<Batch> {
  readonly batch: Batch;
  readonly id: BatchId;
  readonly gate: Gate;
  /** Others' failures do not hold it up, and are not why it fails. */
  readonly apart: boolean;
  /** When its time began, on the clock: deliveryTimeoutMs counts from here. */
  readonly startedAt: number;
  /** Ends the delivery at once: what is open becomes unknown or abandoned. */
  readonly abort: Abort;
  /** Why what is abandoned is dropped. */
  readonly dropReason: () => DropReason;
  /** Called as items pass from held to an outcome. */
  readonly release: (items: number) => void;
  /** What is still held, as far as items go. */
  readonly rest: () => Size;
}

/** A part of a flight: the whole batch, or what is left of it after halving. */
interface Part<Batch> {
  readonly batch: Batch;
  readonly size: Size;
  readonly id: BatchId;
  readonly from: number;
  readonly attempts: number;
  readonly flight: Flight<Batch>;
  readonly letters: Letters;
}

/** The dead letters of a flight, all its parts together. */
interface Letters {
  /** So long their lane waits for them, from the first on, on the clock. */
  waitUntil?: number;
  /** Over when all have been handed over; never rejects. */
  handedOver?: Promise<void>;
}

type Verdict =
  | { readonly kind: "applied"; readonly result: unknown }
  | { readonly kind: "expired" | "unknown" | "abandoned"; readonly error: unknown }
  | {
      readonly kind: "rejected";
      readonly error: unknown;
      /** An earlier attempt may have been applied, and the sink does not rule it out. */
      readonly ambiguous: boolean;
      /** Halving cannot help. */
      readonly whole: boolean;
    };

/** Delivers one batch at a time on behalf of a lane: attempts, pauses, halving, dead letters. */
export class Delivery<Batch, Entry> {
  readonly #parts: DeliveryParts<Batch, Entry>;
  /** Dead letters that are being handed over; a lane may have left before them. */
  readonly #letters = new Set<Promise<void>>();
  readonly #hurry = new Abort();

  constructor(parts: DeliveryParts<Batch, Entry>) {
    this.#parts = parts;
  }

  /** Waits until every dead letter has been handed over. */
  async handedOver(): Promise<void> {
    await Promise.all(this.#letters);
  }

  /** Hands over every dead letter at once, and waits for no handler any more. */
  abort(reason: unknown): void {
    this.#hurry.abort(reason);
  }

  /** Settles a batch, whatever happens to it. */
  async deliver(flight: Flight<Batch>): Promise<Settlement<Batch>> {
    const settlement = { committed: 0, attempts: 0, shortfalls: new Array<Shortfall<Batch>>() };
    try {
      await this.#deliver(flight, settlement);
    } catch (error) {
      // A shape's own function threw. Where the batch stands is not known, but the lane goes on.
      const { batch, id } = flight;
      const { items, entries, bytes } = flight.rest();
      const size = { items, entries, bytes };
      const { attempts } = settlement;
      this.#parts.books.unknown += items;
      flight.release(items);
      this.#parts.emit({ type: "unknown", id, attempts, error, batch, ...size });
      const lost = failure("unknown", id, attempts, error);
      settlement.shortfalls.unshift({
        outcome: "unknown",
        from: 0,
        size,
        error: lost,
        part: batch,
      });
    }
    return settlement;
  }

  async #deliver(
    flight: Flight<Batch>,
    settlement: { committed: number; attempts: number; readonly shortfalls: Shortfall<Batch>[] },
  ): Promise<void> {
    const { batch, id } = flight;
    const { shape, emit } = this.#parts;
    const letters: Letters = {};

    // Answers with the cause when the piece is to be halved. Never after an attempt that may have been
    // applied: its halves have ids of their own, and would land beside what landed then.
    const settle = async (piece: Batch, as: BatchId, from: number, before = 0, why?: unknown) => {
      const tries = { count: before };
      const verdict = await this.#write(flight, piece, as, tries, why);
      const attempts = tries.count;
      settlement.attempts += attempts - before;
      const size = shape.size(piece);
      if (verdict.kind === "rejected" && !verdict.ambiguous && !verdict.whole && size.entries > 1) {
        return { cause: verdict.error, attempts };
      }
      const part = { batch: piece, size, id: as, from, attempts, flight, letters };
      const shortfalls =
        verdict.kind === "applied"
          ? await this.#applied(part, verdict.result)
          : await this.#failed(part, outcomeOf(verdict), verdict.error);
      settlement.committed += shortfalls.reduce(
        (rest, { size: { items } }) => rest - items,
        size.items,
      );
      for (const shortfall of shortfalls) settlement.shortfalls.push(shortfall); // may be many
      return undefined;
    };

    const refusal = await settle(batch, id, 0);
    if (refusal !== undefined) {
      emit({ type: "bisected", id, error: refusal.cause, ...shape.size(batch) });
      const refusals = new Map([["", refusal]]); // by the path of the part that was refused
      await bisect(batch, refusal.cause, shape, async (piece, path, from) => {
        const { attempts, cause } = refusals.get(path.slice(0, -1)) ?? refusal;
        const again = await settle(piece, { ...id, part: path }, from, attempts, cause);
        if (again !== undefined) refusals.set(path, again);
        return again;
      });
    }
  }

  /** Attempts until the store answers for good, time runs out, or `abort` fires. */
  async #write(
    { gate, apart, startedAt, abort }: Flight<Batch>,
    part: Batch,
    id: BatchId,
    tries: { count: number },
    why: unknown,
  ): Promise<Verdict> {
    const { clock, sink, books, random, settings, emit } = this.#parts;
    const deadline = startedAt + settings().deliveryTimeoutMs;
    let ambiguous = false;
    // Why the batch failed, if it never gets to an attempt of its own.
    let error = apart ? why : books.lastError;
    for (let attempt = 1; ; attempt += 1) {
      const leave = await gate.admit(deadline, abort);
      if (leave === undefined) break;
      if (abort.aborted) {
        gate.withdrawn(leave); // between the leave and its use
        break;
      }
      tries.count += 1;
      books.attempts += 1;
      if (attempt > 1) books.retries += 1;
      const answer = await attemptWrite(this.#parts, part, { id, attempt, deadline, abort });
      if (answer.kind === "answered") {
        gate.succeeded(leave);
        books.lastError = undefined;
        return { kind: "applied", result: answer.result };
      }
      if (answer.kind === "aborted") {
        gate.withdrawn(leave);
        ambiguous = sink.reads !== true;
        break;
      }
      error = answer.error;
      books.lastError = error;
      const known = isSluiceError(error) ? error : undefined;
      if (known?.disposition === "rejected") {
        gate.succeeded(leave);
        return {
          kind: "rejected",
          error: known.cause ?? known,
          ambiguous: ambiguous && known.ambiguous,
          whole: known.whole,
        };
      }
      if (known?.disposition === "unknown") {
        gate.succeeded(leave);
        return { kind: "unknown", error: known.cause ?? known };
      }
      gate.failed(leave, error);
      const mayHaveApplied =
        sink.reads !== true && known?.disposition !== "usage" && (known?.ambiguous ?? true);
      ambiguous ||= mayHaveApplied;
      const { retry } = settings();
      if (attempt >= retry.maxAttempts) break;
      const pause = backoffMs(attempt, retry, random);
      const asked = known?.retryAfterMs ?? 0;
      const delayMs = Number.isFinite(asked)
        ? Math.max(pause, Math.min(asked, MAX_RETRY_AFTER_MS))
        : pause;
      if (clock.now() + delayMs >= deadline) break;
      emit({ type: "retried", id, attempt, delayMs, ambiguous: mayHaveApplied, error });
      await gate.wait(delayMs, abort);
    }
    if (abort.aborted) error ??= abort.reason;
    if (ambiguous) return { kind: "unknown", error };
    return { kind: abort.aborted ? "abandoned" : "expired", error };
  }

  async #applied(part: Part<Batch>, returned: unknown): Promise<readonly Shortfall<Batch>[]> {
    const { shape, books, clock, emit } = this.#parts;
    const { size } = part;
    const warn = (error: unknown): void => emit({ type: "warning", error });
    const told = readResult(returned, size.entries, warn);
    const { rejected: refused, ...facts } = told;
    const items = refused.reduce(
      (n, { index }) => n - shape.itemsAt(part.batch, index),
      size.items,
    );
    books.committed += items;
    books.statements += facts.statements;
    if (facts.duplicate) books.duplicates += 1;
    part.flight.release(items);
    const { id, attempts } = part;
    const durationMs = clock.now() - part.flight.startedAt;
    const landed = { items, entries: size.entries - refused.length, bytes: size.bytes };
    emit({ type: "committed", id, attempts, durationMs, ...facts, ...landed });
    if (refused.length === 0) return [];
    return this.#bury(part, "rejected", refused);
  }

  async #failed(
    part: Part<Batch>,
    outcome: Exclude<Outcome, "committed">,
    cause: unknown,
  ): Promise<readonly Shortfall<Batch>[]> {
    const { books, emit } = this.#parts;
    const { id, attempts, batch, from, size, flight } = part;
    if (outcome === "rejected" || outcome === "expired") {
      const all = Array.from({ length: size.entries }, (_, index) => ({ index, cause }));
      return this.#bury(part, outcome, all);
    }
    const reason = flight.dropReason();
    if (outcome === "unknown") books.unknown += size.items;
    else books.droppedByReason[reason] += size.items;
    flight.release(size.items);
    if (outcome === "unknown")
      emit({ type: "unknown", id, attempts, error: cause, batch, ...size });
    else emit({ type: "dropped", reason, ...size });
    return [{ outcome, from, size, error: failure(outcome, id, attempts, cause), part: batch }];
  }

  /** Hands entries to `deadLetter`, one by one. A handler that fails or hangs costs a warning. */
  async #bury(
    { batch, id, attempts, from, flight, letters }: Part<Batch>,
    outcome: "rejected" | "expired",
    entries: readonly RejectedEntry[],
  ): Promise<readonly Shortfall<Batch>[]> {
    const { shape, books, clock, settings, emit, deadLetter } = this.#parts;
    const shortfalls = entries.map(({ index, cause }): Shortfall<Batch> => {
      const size = { items: shape.itemsAt(batch, index), entries: 1, bytes: 0 };
      books.deadLettered += size.items;
      flight.release(size.items);
      const entry = shape.entryAt(batch, index);
      emit({ type: "dead-lettered", id, outcome, attempts, error: cause, entry, ...size });
      return { outcome, from: from + index, size, error: failure(outcome, id, attempts, cause) };
    });
    if (deadLetter === undefined || entries.length === 0) return shortfalls;
    const handed = entries.map(({ index, cause }) => (): unknown => {
      const [entry, items] = [shape.entryAt(batch, index), shape.itemsAt(batch, index)];
      return deadLetter({ entry, items, outcome, cause, attempts, id });
    });
    const warn = (error: unknown): void => emit({ type: "warning", error });
    const { writeTimeoutMs } = settings();
    letters.waitUntil ??= clock.now() + writeTimeoutMs;
    const handOver = (): Promise<void> => inTurn(clock, handed, writeTimeoutMs, this.#hurry, warn);
    const going = letters.handedOver?.then(handOver) ?? handOver();
    letters.handedOver = going.then(() => void this.#letters.delete(going));
    this.#letters.add(going);
    const patience = letters.waitUntil - clock.now();
    if (patience > 0) await race(clock, going, patience);
    return shortfalls;
  }
}

/** A rejection says nothing of an earlier attempt that may have been applied. */
function outcomeOf(verdict: Exclude<Verdict, { kind: "applied" }>): Exclude<Outcome, "committed"> {
  return verdict.kind === "rejected" && verdict.ambiguous ? "unknown" : verdict.kind;
}
