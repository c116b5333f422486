import type { Sink } from "sluice";
import {
  type ClickHouseSettings,
  insertRows,
  type InsertRequest,
  type ResultRow,
  type Transport,
} from "sluice/clickhouse";
import { Arrivals } from "../arrivals.ts";
import { isPoison } from "../facts.ts";
import { type Fate, faultOf } from "../fates.ts";
import { SimulatedError, SqlError } from "../simulated-error.ts";
import type { OwnedClock } from "../virtual-time.ts";
import type { AppliedBatch, Client, ModelStore, World } from "../world.ts";
import { type ReadRow, readRows } from "./row-reader.ts";

/** A ClickHouse in which time and faults are under control: one table, and its window of tokens. */
export class ClickHouseStore implements ModelStore {
  readonly applied: AppliedBatch[] = [];
  readonly #world: World;
  readonly #clock: OwnedClock;
  /** The tokens that the table remembers, oldest first. */
  readonly #tokens: string[] = [];
  readonly #window: number;
  readonly #arrivals = new Arrivals();

  constructor(world: World) {
    this.#world = world;
    this.#clock = world.time.clock();
    this.#window = world.fates.pick([10_000, 10_000, 40]);
  }

  sink(client: Client): Sink<never> {
    const transport: Transport = {
      query: (sql, { signal }) => this.#query(sql, signal, client),
      command: () => Promise.reject(new Error("the model makes no tables")),
      insert: (request) => this.#insert(request, client),
    };
    return insertRows(transport, { table: "events", clock: client.clock });
  }

  disconnect(): void {
    // What has been sent goes on: the server looks at the connection only when it answers.
  }

  audit(): readonly string[] {
    return [];
  }

  async #query(sql: string, signal: AbortSignal, client: Client): Promise<readonly ResultRow[]> {
    const { fates } = this.#world;
    if (!client.alive) return unanswered(signal);
    if (!fates.calm && (fates.down || fates.pauses()) && fates.coin()) {
      if (fates.pauses()) return unanswered(signal);
      throw refused();
    }
    if (sql.startsWith("DESCRIBE")) return COLUMNS;
    if (sql.startsWith("SELECT version()")) return [{ version: "26.7.1" }];
    if (sql.includes("FROM system.settings")) {
      return [...sql.matchAll(/'(\w+)'/g)].map(([, name]) => ({ name }));
    }
    if (sql.includes("FROM system.tables")) return [this.#table()];
    this.#world.fail(`the model does not understand: ${sql}`);
    return [];
  }

  #table(): ResultRow {
    const window = `SETTINGS non_replicated_deduplication_window = ${this.#window}`;
    return {
      engine: "MergeTree",
      engine_full: `MergeTree ORDER BY id ${window}`,
      create_table_query: "CREATE TABLE default.events …",
      defined_at: 1_800_000_000,
      uuid: "6f1c8a52-3f0e-4d5b-9a51-0c6f3f1f2f11",
      partition_key: "",
      dependencies_database: [],
      dependencies_table: [],
    };
  }

  async #insert(request: InsertRequest, client: Client): Promise<void> {
    const { fates, hit } = this.#world;
    const { signal, settings } = request;
    if (!client.alive) return unanswered(signal);
    const token = String(settings["insert_deduplication_token"]);
    const stage = client.attempts.of(token.split(":").slice(0, 3).join(":"))?.stage;
    const fate = this.#fate();
    const struck = faultOf(fate);
    if (struck !== undefined) hit(struck, stage);
    const began = this.#arrivals.begin();
    const sent = Buffer.concat(request.body);
    this.#checkSettings(settings, this.#read(sent).length);
    if (fate === "hang") return unanswered(signal);
    if (fate === "zombie") {
      this.#zombie(request, sent, token);
      return unanswered(signal);
    }
    await this.#clock.sleep(fates.latencyMs(fate));
    if (fate === "fail before commit") throw fates.pick([refused(), busy(), lost()]);
    if (this.#arrivals.isOvertaken(began)) hit("out of order", stage);
    const refusal = this.#refusal(sent);
    if (refusal !== undefined) {
      hit(refusal.code === "469" ? "permanent" : "too large", stage);
      throw refusal;
    }
    this.#apply(request, sent, token);
    if (fate !== "lose the acknowledgement") return;
    fates.lost();
    throw lost();
  }

  /** One batch is one block under one token, and the answer comes when it is there. */
  #checkSettings(settings: ClickHouseSettings, rows: number): void {
    const isOneBlock = ["max_insert_block_size", "min_insert_block_size_rows"].every(
      (name) => Number(settings[name]) >= rows,
    );
    const isPlain = settings["async_insert"] === 0 && settings["insert_deduplicate"] === 1;
    if (!isOneBlock || !isPlain) this.#world.fail(`an insert has ${JSON.stringify(settings)}`);
  }

  /** What is late and outlives a small window is written twice, and no client could know. */
  #fate(): Fate {
    const fate = this.#world.fates.draw();
    const isLate = fate === "zombie" || fate === "slow";
    return isLate && this.#window < 1_000 ? "hang" : fate;
  }

  /** The server applies it when nobody waits any more, yet within the time that it was given. */
  #zombie(request: InsertRequest, sent: Buffer, token: string): void {
    const most = Number(request.settings["max_execution_time"]) * 1_000;
    void this.#clock.sleep(this.#world.fates.share() * most).then(() => {
      if (this.#refusal(sent) === undefined) this.#apply(request, sent, token);
    });
  }

  #refusal(sent: Buffer): SqlError | undefined {
    const rows = this.#read(sent);
    if (rows.length > this.#world.fates.maxEntries)
      return named(new SqlError("241", "Query memory limit exceeded"), "MEMORY_LIMIT_EXCEEDED");
    if (rows.some(({ k }) => isPoison(k)))
      return named(new SqlError("469", "Constraint is violated"), "VIOLATED_CONSTRAINT");
    return undefined;
  }

  #apply(request: InsertRequest, sent: Buffer, token: string): void {
    // The bytes are lent until the insert has resolved, and an attempt that was given up never does.
    if (!Buffer.concat(request.body).equals(sent))
      this.#world.fail(`the bytes of ${token} changed`);
    if (this.#tokens.includes(token)) return;
    this.#tokens.push(token);
    if (this.#tokens.length > this.#window) this.#tokens.shift();
    const [program, run, lane, seq, part] = token.split(":");
    const writer = `${program}:${run}:${lane}`;
    const name = `${writer}#${seq}${part === undefined ? "" : `/${part}`}`;
    const facts = this.#read(sent).map(({ id, k, w }) => ({
      of: "rows",
      key: `${k}#${id}`,
      times: 1,
      sum: w,
    }));
    this.applied.push({ writer, name, facts });
    this.#world.note(() => `store: ${name} inserted ${facts.map(({ key }) => key).join(" ")}`);
  }

  #read(body: Buffer): readonly ReadRow[] {
    try {
      return readRows(body);
    } catch (error) {
      this.#world.fail(`the bytes of an insert are no rows: ${String(error)}`);
      return [];
    }
  }
}

const COLUMNS: readonly ResultRow[] = [
  { name: "id", type: "UInt32", default_type: "" },
  { name: "k", type: "String", default_type: "" },
  { name: "w", type: "Int32", default_type: "" },
];

const named = (error: SqlError, type: string): SqlError => Object.assign(error, { type });
const refused = (): SqlError => new SqlError("ECONNREFUSED", "connect ECONNREFUSED");
const busy = (): SqlError =>
  named(new SqlError("202", "Too many simultaneous queries"), "TOO_MANY_SIMULTANEOUS_QUERIES");
const lost = (): Error => new SimulatedError("socket hang up");

/** No answer, until whoever asked gives up. */
function unanswered(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new SimulatedError("aborted")), { once: true });
  });
}
