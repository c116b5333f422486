/**
 * Writes batches of rows into one table, and decides what each failure means for a batch: what may have
 * been applied is only ever sent again whole, under the same token, while the server knows that.
 */
import type { Clock } from "../../clock.ts";
import { race } from "../../core/waits.ts";
import {
  isSluiceError,
  messageOf,
  quote,
  rejected,
  retryable,
  SluiceError,
  undecided,
} from "../../errors.ts";
import type { RowBatch, RowColumn } from "../../shapes/row-binary/row-batch.ts";
import type { BatchId, WriteContext, WriteResult } from "../sink.ts";
import { type ClickHouseFailure, serverCode } from "./error-codes.ts";
import type { TableName } from "./identifiers.ts";
import { type Past, RetryAges } from "./retry-age.ts";
import { pinnedSettings } from "./settings.ts";
import { type Guarantee, hasViewTokens, keepsRows, refusesAlike } from "./table-probe.ts";
import { isMismatch, type TableState, type TableStates } from "./table-state.ts";
import type { ClickHouseSettings, InsertRequest, Transport } from "./transport.ts";

/** The options of `ready`. */
export interface ReadyOptions {
  /** The columns of rows to come: the table is created from them if it may be, and compared. */
  readonly columns?: readonly RowColumn[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a writer needs. */
export interface TableWriterParts {
  readonly transport: Transport;
  readonly table: TableName;
  readonly states: TableStates;
  readonly strict: boolean;
  readonly settings: ClickHouseSettings;
  readonly classify: (error: unknown) => ClickHouseFailure;
  readonly clock: Clock;
}

/** Writes batches into one table. */
export class TableWriter {
  readonly #parts: TableWriterParts;
  readonly #ages: RetryAges;
  #warned = false;

  constructor(parts: TableWriterParts) {
    this.#parts = parts;
    this.#ages = new RetryAges(parts.clock);
  }

  async ready({ columns, signal }: ReadyOptions = {}): Promise<Guarantee> {
    const { states, strict } = this.#parts;
    const options = { signal: signal ?? new AbortController().signal };
    const guarantee = await this.#told(async () =>
      columns === undefined
        ? states.guarantee(options)
        : (await states.get(columns, options)).guarantee,
    );
    const weakness = this.#weakness(guarantee);
    if (strict && weakness !== undefined) {
      states.forget();
      throw weakness;
    }
    return guarantee;
  }

  /** What `ask` answers, or an error that names the table. */
  async #told<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      if (isSluiceError(cause)) throw cause;
      throw retryable(`${this.#at()}: the table cannot be looked at: ${shorten(cause)}`, { cause });
    }
  }

  async write(batch: RowBatch, context: WriteContext<RowBatch>): Promise<WriteResult> {
    const { transport, states } = this.#parts;
    const { writer } = context.id;
    const token = tokenOf(context.id);
    const past = this.#ages.past(writer, token);
    if (past !== undefined) states.forget(); // it must still be what made sending again safe
    const state = await this.#look(batch, context, past);
    this.#refuseWeak(state.guarantee, context, past);
    if (past !== undefined) this.#refuseOld(state.guarantee, past);
    const sent = this.#ages.began(writer, token, state.guarantee);
    try {
      await transport.insert(this.#request(batch, context, state, token));
    } catch (error) {
      const failure = this.#classify(error);
      const verdict = await this.#verdict({ error, failure, batch, context, state, past });
      this.#ages.ended(sent, verdict.ambiguous ? "ambiguous" : "not applied");
      throw verdict.error;
    }
    this.#ages.ended(sent, "applied");
    return { statements: 1 };
  }

  /** The table as it is. Nothing was sent yet: whatever fails here left the batch unapplied. */
  async #look(
    batch: RowBatch,
    context: WriteContext<RowBatch>,
    past: Past | undefined,
  ): Promise<TableState> {
    try {
      return await this.#inTime(batch, context);
    } catch (error) {
      if (isMismatch(error)) throw refuseWhole(error, past);
      const failure = this.#classify(error);
      const { retryAfterMs } = failure;
      const message = `${this.#at()}: the table cannot be looked at: ${shorten(error)}`;
      throw retryable(message, { cause: error, ambiguous: false, retryAfterMs });
    }
  }

  /** Gives up before the attempt does, which would not know that nothing was sent. */
  async #inTime(batch: RowBatch, context: WriteContext<RowBatch>): Promise<TableState> {
    const { states, clock } = this.#parts;
    const giveUp = new AbortController();
    const signal = AbortSignal.any([context.signal, giveUp.signal]);
    const looking = states.get(batch.columns, { signal });
    const timeoutMs = context.remainingMs() * 0.8;
    if ((await race(clock, looking, timeoutMs, context.signal)) === "done") return looking;
    const late = new Error(`no answer within ${Math.round(timeoutMs)} ms`);
    giveUp.abort(late); // it is shared, and nobody is to wait for it any more
    throw late;
  }

  #request(
    batch: RowBatch,
    context: WriteContext<RowBatch>,
    { guarantee, target, header, json }: TableState,
    token: string,
  ): InsertRequest {
    const pinned = pinnedSettings({
      rows: batch.rows,
      token: guarantee.deduplication === "token" ? token : undefined,
      json,
      viewTokens: hasViewTokens(guarantee.settings),
      remainingMs: context.remainingMs(),
    });
    const known = Object.entries(pinned).filter(([name]) => guarantee.settings.has(name));
    return {
      ...target,
      body: [...header, ...batch.chunks.map(({ bytes }) => bytes)],
      settings: { ...this.#parts.settings, ...Object.fromEntries(known) },
      signal: context.signal,
    };
  }

  /** What the engine is told of a failed insert, and whether that leaves open what it did. */
  async #verdict(failed: Failed): Promise<{ error: SluiceError; ambiguous: boolean }> {
    const { error: cause, failure, batch, context, state, past } = failed;
    const { outcome, retryAfterMs, schema, early, lasting = false } = failure;
    const { atomic, deduplication, engine, settings } = state.guarantee;
    const message = `${this.#at()}: ${shorten(cause)}`;
    const again = (ambiguous: boolean) => ({
      error: retryable(message, { cause, ambiguous, retryAfterMs }),
      ambiguous,
    });
    const isRejected = outcome === "rejected";
    // Other tables may have rows that this one handed on before their server refused some.
    const isSpread = !keepsRows(engine) && serverCode(cause) !== undefined;
    // Some partitions may have their rows, or the table when a view has not: only the same batch under
    // the same token may follow, and where no token is heeded, nothing.
    const isPartial = isRejected
      ? isSpread || (early !== true && !atomic)
      : failure.ambiguous && lasting;
    if (isPartial && deduplication === "none") {
      return { error: undecided(message, { cause }), ambiguous: true };
    }
    if (isPartial) return again(true);
    let now: TableState | undefined;
    if (schema || (isRejected && (past !== undefined || context.id.part === undefined))) {
      const found = await this.#lookAgain(batch, context);
      if (isMismatch(found)) return { error: refuseWhole(found, past), ambiguous: false };
      if (found instanceof Error) return again(false);
      now = found;
    }
    if (!isRejected && lasting) {
      if (now !== undefined && !this.#isUsers(message, settings, now)) return again(false);
      return { error: rejected(message, { cause, whole: true }), ambiguous: false };
    }
    if (!isRejected) return again(failure.ambiguous || (isSpread && early === false));
    // Halves have tokens of their own: they would land beside what an earlier attempt may have left.
    // None has left anything if the table is the same that refused these rows now.
    const isSame = now !== undefined && past && refusesAlike(past.guarantee, now.guarantee);
    if (past !== undefined && (failure.ambiguous || isSame !== true)) return again(false);
    return { error: rejected(message, { cause, ambiguous: false }), ambiguous: false };
  }

  /** Whether a setting that the server does not know is one of the user's, and none that it knew before. */
  #isUsers(message: string, before: ReadonlySet<string>, { guarantee }: TableState): boolean {
    const { settings } = guarantee;
    const isSame = settings.size === before.size && [...before].every((name) => settings.has(name));
    return isSame && Object.keys(this.#parts.settings).some((name) => message.includes(name));
  }

  /** The table as it is now, or why it is not right or cannot be looked at. */
  async #lookAgain(batch: RowBatch, context: WriteContext<RowBatch>): Promise<TableState | Error> {
    this.#parts.states.forget();
    try {
      return await this.#inTime(batch, context);
    } catch (error) {
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  }

  #classify(error: unknown): ClickHouseFailure {
    if (!isSluiceError(error)) return this.#parts.classify(error);
    const { disposition, ambiguous, retryAfterMs } = error; // from a transport that knows better
    const outcome = disposition === "rejected" ? "rejected" : "retryable";
    return { outcome, ambiguous, retryAfterMs, schema: false };
  }

  /** Says once what the server does not promise, or refuses to write without it. */
  #refuseWeak(
    guarantee: Guarantee,
    { warn }: WriteContext<RowBatch>,
    past: Past | undefined,
  ): void {
    const weakness = this.#weakness(guarantee);
    if (weakness === undefined) return;
    if (this.#parts.strict) {
      this.#parts.states.forget(); // it may be given a window at any time
      throw refuseWhole(weakness, past);
    }
    if (!this.#warned) warn(weakness);
    this.#warned = true;
  }

  #weakness({ deduplication, reason, openViews }: Guarantee): SluiceError | undefined {
    const weak = (why: string): SluiceError =>
      new SluiceError("SLUICE_ERR_CLICKHOUSE_DEDUPLICATION", `${this.#at()}: ${why}`);
    if (deduplication === "none") {
      return weak(`a batch that is sent again is written twice: ${reason}`);
    }
    if (openViews.length === 0) return undefined;
    const tables = openViews.map(quote).join(", ");
    return weak(
      `a batch that is sent again does not count exactly once in ${tables}, which materialized views fill; remedy: give them a deduplication window too, on ClickHouse 24.1 or later, and let this user see them (SHOW TABLES)`,
    );
  }

  /** A batch that the server may have forgotten is not sent again: nobody could tell it from a new one. */
  #refuseOld(
    { deduplication, maxRetryAgeMs, windowBlocks, uuid }: Guarantee,
    { ageMs, otherInserts, guarantee }: Past,
  ): void {
    if (deduplication === "none") return;
    const why =
      ageMs > maxRetryAgeMs
        ? `${Math.round(ageMs)} ms ago, and the table is trusted to remember it for ${maxRetryAgeMs} ms`
        : otherInserts >= windowBlocks / 2
          ? `${otherInserts} inserts ago, and the table remembers ${windowBlocks} blocks`
          : uuid !== guarantee.uuid
            ? "to another table, whose place this one has taken"
            : undefined;
    if (why === undefined) return;
    const message = `${this.#at()}: the batch may have been applied ${why}; sent again it could be written twice`;
    const cause = new SluiceError("SLUICE_ERR_CLICKHOUSE_DEDUPLICATION", message);
    throw undecided(message, { cause });
  }

  #at(): string {
    return `table ${quote(this.#parts.table.text)}`;
  }
}

/** The same on every attempt, and of no other batch or part. */
const tokenOf = ({ writer, seq, part }: BatchId): string =>
  `${writer}:${seq}${part === undefined ? "" : `:${part}`}`;

/** An attempt that failed, and what was known before it. */
interface Failed {
  readonly error: unknown;
  readonly failure: ClickHouseFailure;
  readonly batch: RowBatch;
  readonly context: WriteContext<RowBatch>;
  readonly state: TableState;
  readonly past: Past | undefined;
}

/** Nothing of the batch can land; what an earlier attempt may have done stays open. */
const refuseWhole = (cause: SluiceError, past: Past | undefined): SluiceError =>
  past === undefined
    ? rejected(cause.message, { cause, whole: true, ambiguous: false })
    : undecided(cause.message, { cause });

/** A server's message may quote what it was sent. */
function shorten(error: unknown): string {
  const text = messageOf(error).trim();
  const limit = 2_000;
  return text.length <= limit ? text : `${text.slice(0, limit).toWellFormed()}…`;
}
