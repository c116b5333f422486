import type { PgClient } from "sluice/postgres";
import type { StoreFault } from "../coverage.ts";
import { type Fact, isPoison } from "../facts.ts";
import { type Fate, faultOf } from "../fates.ts";
import type { Client } from "../world.ts";
import type { Holder } from "./locks.ts";
import { type Plan, planOf, type WritePlan } from "./plan.ts";
import type { LedgerRow, PostgresStore } from "./postgres-store.ts";
import { SimulatedError, SqlError } from "../simulated-error.ts";
import type { Undo, Written } from "./tables.ts";

type Query = Parameters<PgClient["query"]>[0];
type Answer = Awaited<ReturnType<PgClient["query"]>>;

/** What a transaction has done so far. */
interface Transaction extends Holder {
  readonly undo: Undo[];
  readonly facts: Fact[];
  name: string | undefined;
  failed: boolean;
  rejected: number;
  savepoint: { readonly undo: number; readonly facts: number } | undefined;
  /** Constraints are looked at with each statement, and not at the end. */
  immediate: boolean;
  /** A row is there that breaks one. */
  violates: boolean;
  limits: { readonly statementMs: number; readonly lockMs: number };
}

const NO_LIMITS = { statementMs: 600_000, lockMs: 600_000 };

/** A connection of a pool to the simulated server. Each has a fate, which strikes at one of its trips. */
export class Connection implements PgClient {
  readonly #store: PostgresStore;
  readonly #client: Client;
  readonly #closed: () => void;
  readonly #fate: Fate;
  /** The trip at which it strikes, unless the transaction ends before. */
  readonly #strikesAt: number;
  readonly #unanswered: ((error: Error) => void)[] = [];
  #trips = 0;
  #struck = false;
  #broken = false;
  #committing = false;
  #transaction: Transaction | undefined;

  constructor(store: PostgresStore, client: Client, closed: () => void) {
    const { fates } = store.world;
    this.#store = store;
    this.#client = client;
    this.#closed = closed;
    this.#fate = fates.draw();
    this.#strikesAt = fates.pick([0, 1, 2, 2, 2, 3, 4, 6]);
  }

  async open(): Promise<void> {
    await this.#trip(false);
  }

  release(destroy?: boolean): void {
    if (destroy === true) this.break();
    this.#closed();
  }

  on(): void {
    // A simulated connection breaks only where somebody asks.
  }

  /** The connection is no more. What is not being committed is undone. */
  break(): void {
    this.#broken = true;
    if (!this.#committing) this.#rollback();
    for (const reject of this.#unanswered.splice(0)) reject(terminated());
  }

  async query({ text, values = [], name }: Query): Promise<Answer> {
    if (this.#broken || !this.#client.alive) throw terminated();
    if (text === "COMMIT") return this.#commit();
    await this.#trip(false);
    if (text.startsWith("BEGIN")) return this.#begin(text);
    if (text.startsWith("ROLLBACK") && !text.includes("TO SAVEPOINT")) {
      this.#rollback();
      return NOTHING;
    }
    const transaction = this.#transaction;
    if (transaction === undefined) throw new SqlError("25P01", "there is no transaction");
    if (text.startsWith("ROLLBACK TO SAVEPOINT")) return this.#back(transaction);
    if (transaction.failed) throw new SqlError("25P02", "current transaction is aborted");
    try {
      if (name !== undefined && this.#store.pooled && this.#store.world.fates.coin())
        throw new SqlError("26000", `prepared statement "${name}" does not exist`);
      return await this.#statement(transaction, text, values as readonly string[]);
    } catch (error) {
      transaction.failed = true;
      if (!(error instanceof SimulatedError)) this.#store.world.fail(String(error));
      throw error;
    }
  }

  /** A message there and an answer back: what may break in between does so here. */
  async #trip(commits: boolean): Promise<void> {
    const { fates } = this.#store.world;
    const due = !this.#struck && (commits || this.#trips >= this.#strikesAt);
    this.#trips += 1;
    const fate = due ? this.#fate : "well";
    if (fate === "fail before commit") {
      this.#strike(fate);
      await this.#store.clock.sleep(fates.latencyMs("well"));
      const state = fates.pick(["40001", "57P01", "53300", "57014", undefined]);
      if (state === undefined || commits || this.#trips === 1) {
        this.break();
        throw terminated();
      }
      if (this.#transaction !== undefined) this.#transaction.failed = true;
      throw new SqlError(state, "the server has refused");
    }
    if (fate === "hang") {
      this.#strike(fate);
      // A connection that does not come about is given up by the system in the end.
      if (this.#trips > 1) await this.#never();
      await this.#store.clock.sleep(1_000);
      throw terminated();
    }
    if (fate === "slow") await this.#slow(fate);
    if (this.#broken) await this.#never();
  }

  /** A statement takes its time, and no more of it than the server lets it have. */
  async #slow(fate: Fate): Promise<void> {
    this.#strike(fate);
    const ms = this.#store.world.fates.latencyMs(fate);
    const most = this.#transaction?.limits.statementMs ?? ms;
    await this.#store.clock.sleep(Math.min(ms, most));
    if (ms <= most || this.#broken) return;
    if (this.#transaction !== undefined) this.#transaction.failed = true;
    throw new SqlError("57014", "canceling statement due to statement timeout");
  }

  async #commit(): Promise<Answer> {
    const { fates } = this.#store.world;
    const transaction = this.#transaction;
    if (transaction === undefined || transaction.failed) {
      this.#rollback();
      return { ...NOTHING, command: "ROLLBACK" } as Answer;
    }
    await this.#trip(true);
    if (transaction.violates) {
      this.#hit("permanent");
      this.#rollback();
      throw violation();
    }
    if (this.#fate === "zombie" || this.#fate === "lose the acknowledgement")
      this.#strike(this.#fate);
    this.#committing = true;
    await this.#store.clock.sleep(fates.latencyMs(this.#fate));
    this.#transaction = undefined;
    this.#store.commit(transaction.name, transaction.facts);
    this.#store.locks.release(transaction);
    if (transaction.rejected > 0) this.#hit("partial");
    if (this.#fate === "zombie") return this.#never();
    if (this.#fate === "lose the acknowledgement") {
      fates.lost();
      this.#broken = true;
      throw terminated();
    }
    if (this.#broken) return this.#never();
    return { ...NOTHING, command: "COMMIT" } as Answer;
  }

  #begin(text: string): Answer {
    const limit = (name: string): number => Number(new RegExp(`${name} = (\\d+)`).exec(text)?.[1]);
    this.#transaction = {
      held: new Set(),
      waitsFor: undefined,
      undo: [],
      facts: [],
      name: undefined,
      failed: false,
      rejected: 0,
      savepoint: undefined,
      immediate: !this.#store.deferred,
      violates: false,
      limits: text.includes("SET LOCAL")
        ? { statementMs: limit("statement_timeout"), lockMs: limit("lock_timeout") }
        : NO_LIMITS,
    };
    return NOTHING;
  }

  async #statement(
    transaction: Transaction,
    text: string,
    values: readonly string[],
  ): Promise<Answer> {
    if (text.startsWith("SAVEPOINT")) {
      transaction.savepoint = { undo: transaction.undo.length, facts: transaction.facts.length };
      return NOTHING;
    }
    if (text.startsWith('DELETE FROM "sluice_ledger"'))
      return this.#reap(transaction, text, values);
    if (text === "SET CONSTRAINTS ALL IMMEDIATE") transaction.immediate = true;
    if (/^(?:RELEASE SAVEPOINT|SET CONSTRAINTS)/.test(text)) return NOTHING;
    if (text.includes("jsonb_to_recordset")) {
      const row = this.#store.ledger.get(values[0] ?? "");
      const isOf = !text.includes("l.seq = $2::bigint") || row?.seq === Number(values[1]);
      return { rows: isOf ? [...(row?.rejected ?? [])] : [] };
    }
    if (text.startsWith('UPDATE "sluice_ledger" SET rejected')) {
      const [writer = "", notes = "[]"] = values;
      const rejected = JSON.parse(notes) as LedgerRow["rejected"];
      const old = this.#store.ledger.get(writer);
      if (old === undefined) throw new Error(`${writer} has no row in the ledger`);
      this.#set(transaction, writer, { ...old, rejected });
      transaction.rejected = rejected.length;
      return NOTHING;
    }
    return this.#data(transaction, text, values);
  }

  async #data(transaction: Transaction, text: string, values: readonly string[]): Promise<Answer> {
    const plan = planOf(text);
    if (plan === undefined) throw new Error(`the model does not understand: ${text}`);
    const claimed = plan.claims && (await this.#claim(transaction, plan, values));
    const row: Record<string, unknown> = { claimed: claimed ? "1" : "0" };
    if (plan.writes.length === 0) return { rows: claimed ? [row] : [] };
    for (const [index, write] of plan.writes.entries()) {
      const name = `w${index}`;
      const written = { changed: [], stale: [], missing: [], facts: [] };
      if (claimed || !write.gated) await this.#write(transaction, write, values, written);
      if (plan.claims && !claimed && written.changed.length > 0)
        this.#store.world.fail(`${name} has written without a claim`);
      row[name] = String(written.changed.length);
      if (write.kind !== "latest") continue;
      row[`${name}_stale`] = written.stale.join(",");
      row[`${name}_missing`] = written.missing.join(",");
    }
    return { rows: [row] };
  }

  async #claim(
    transaction: Transaction,
    { forward, clears }: Plan,
    [writer = "", text = ""]: readonly string[],
  ): Promise<boolean> {
    const { locks, ledger, clock } = this.#store;
    const seq = Number(text);
    await locks.take(transaction, `ledger ${writer}`, transaction.limits.lockMs);
    if (this.#broken) throw terminated();
    const old = ledger.get(writer);
    if (forward && old !== undefined && old.seq >= seq) return false;
    const rejected = clears ? [] : (old?.rejected ?? []);
    this.#set(transaction, writer, { seq, rejected, updatedAt: clock.epochMs() });
    transaction.name = writer.includes("#") ? writer : `${writer}#${seq}`;
    return true;
  }

  /** Rows of writers that have been silent for long. */
  #reap(transaction: Transaction, text: string, [ms = ""]: readonly string[]): Answer {
    const { ledger, clock } = this.#store;
    const condition = "updated_at < now() - $1::double precision * interval '1 millisecond'";
    if (!text.includes(`WHERE ${condition}\n`)) throw new Error(`not understood: ${text}`);
    const until = clock.epochMs() - Number(ms);
    const dead = [...ledger].filter(([, { updatedAt }]) => updatedAt < until);
    for (const [writer, row] of dead) {
      ledger.delete(writer);
      transaction.undo.push(() => ledger.set(writer, row));
    }
    return { rows: dead };
  }

  #set(transaction: Transaction, writer: string, row: LedgerRow): void {
    const { ledger } = this.#store;
    const old = ledger.get(writer);
    ledger.set(writer, row);
    transaction.undo.push(() => {
      if (old === undefined) ledger.delete(writer);
      else ledger.set(writer, old);
    });
  }

  /** Rows are locked one by one, and others run in between. */
  async #write(
    transaction: Transaction,
    plan: WritePlan,
    values: readonly string[],
    written: Written,
  ): Promise<void> {
    const { tables, locks, world } = this.#store;
    const rows = tables.incoming(plan, values);
    if (rows.length > world.fates.maxEntries) {
      this.#hit("too large");
      throw new SqlError("54000", "the statement is too large");
    }
    for (const each of rows) {
      const name = tables.nameOf(plan, each.row);
      if (name !== undefined) await locks.take(transaction, name, transaction.limits.lockMs);
      if (this.#broken) throw terminated();
      if (isPoison(String(each.row["k"]))) {
        if (transaction.immediate) {
          this.#hit("permanent");
          throw violation();
        }
        transaction.violates = true;
      }
      transaction.undo.push(tables.write(plan, each, written));
      if (!world.fates.calm && rows.length > 1 && world.fates.pauses())
        await this.#store.clock.sleep(1);
      if (this.#broken) throw terminated();
    }
    transaction.facts.push(...written.facts);
  }

  #back(transaction: Transaction): Answer {
    const { undo = 0, facts = 0 } = transaction.savepoint ?? {};
    while (transaction.undo.length > undo) transaction.undo.pop()?.();
    transaction.facts.length = facts;
    transaction.failed = false;
    return NOTHING;
  }

  #rollback(): void {
    const transaction = this.#transaction;
    if (transaction === undefined) return;
    this.#transaction = undefined;
    while (transaction.undo.length > 0) transaction.undo.pop()?.();
    this.#store.locks.release(transaction);
  }

  #strike(fate: Fate): void {
    const fault = faultOf(fate);
    if (this.#struck || fault === undefined) return;
    this.#struck = true;
    this.#hit(fault);
  }

  #hit(fault: StoreFault): void {
    const name = this.#transaction?.name;
    const writer = name?.slice(0, name.indexOf("#"));
    const stage = this.#client.attempts.of(writer)?.stage;
    const inHalves = this.#transaction?.savepoint !== undefined && stage !== "draining";
    this.#store.world.hit(fault, inHalves ? "half" : stage);
  }

  /** No answer, until somebody gives the connection up. */
  #never(): Promise<never> {
    if (this.#broken) return Promise.reject(terminated());
    return new Promise((_, reject) => this.#unanswered.push(reject));
  }
}

const violation = (): SqlError => new SqlError("23514", "a row violates a check constraint");
const terminated = (): Error => new SimulatedError("Connection terminated unexpectedly");

const NOTHING: Answer = { rows: [] };
