import type { Fact } from "../facts.ts";
import { readArray } from "./array-reader.ts";
import type { WritePlan } from "./plan.ts";

type Value = string | null;
export type Row = Record<string, Value>;

/** What the tables of the simulated database are about. */
const TABLES: Readonly<
  Record<string, { readonly key: string; readonly fact: (row: Row) => Fact }>
> = {
  usage: {
    key: "k",
    fact: ({ k, n, w }) => ({ of: "sums", key: String(k), times: Number(n), sum: Number(w) }),
  },
  clients: {
    key: "k",
    fact: ({ k, at }) => ({
      of: "distinct",
      key: String(k),
      times: 0,
      sum: 0,
      version: Date.parse(String(at)),
    }),
  },
  metadata: {
    key: "k",
    fact: ({ k, v, rev }) => ({
      of: "latest",
      key: String(k),
      times: 0,
      sum: 0,
      version: Number(rev),
      value: String(v),
    }),
  },
  events: {
    key: "id",
    fact: ({ id, k, w }) => ({ of: "list", key: `${k}#${id}`, times: 1, sum: Number(w) }),
  },
};

/** Undoes one change. */
export type Undo = () => void;

/** What a write has done. */
export interface Written {
  /** Places, from 1, of what was written, was older than its row, or had no row. */
  readonly changed: number[];
  readonly stale: number[];
  readonly missing: number[];
  readonly facts: Fact[];
}

/** The rows of all tables. Who changes them holds their locks. */
export class Tables {
  readonly #rows = new Map<string, Row>();
  readonly #fail: (what: string) => void;
  #inserted = 0;

  constructor(fail: (what: string) => void) {
    this.#fail = fail;
  }

  get names(): Iterable<string> {
    return this.#rows.keys();
  }

  /** All that stands in the tables, as facts. */
  facts(): Fact[] {
    return [...this.#rows].map(([name, row]) =>
      tableOf(name.slice(0, name.indexOf(" "))).fact(row),
    );
  }

  /** The rows that a write brings, by the arrays among the values, in the order in which it locks them. */
  incoming(
    plan: WritePlan,
    values: readonly string[],
  ): { readonly row: Row; readonly place: number }[] {
    const arrays = plan.columns.map((_, index) => readArray(values[plan.first - 1 + index] ?? ""));
    const rows = (arrays[0] ?? []).map((_, at) => ({
      row: Object.fromEntries(
        plan.columns.map((name, index) => [name, arrays[index]?.[at] ?? null]),
      ),
      place: at + 1,
    }));
    if (!plan.sorted) return rows;
    const { key } = tableOf(plan.table);
    return rows.sort((a, b) => Buffer.compare(bytesOf(a.row[key]), bytesOf(b.row[key])));
  }

  /** The name of the row to lock; none for rows that are only ever added. */
  nameOf(plan: WritePlan, row: Row): string | undefined {
    if (plan.kind === "insert") return undefined;
    return `${plan.table} ${String(row[tableOf(plan.table).key])}`;
  }

  /** Writes one row, and notes in `written` what has become of it. */
  write(plan: WritePlan, { row, place }: { row: Row; place: number }, written: Written): Undo {
    const { key, fact } = tableOf(plan.table);
    const name =
      this.nameOf(plan, row) ?? `${plan.table} ${String(row[key])} ${(this.#inserted += 1)}`;
    const old = this.#rows.get(name);
    const seeded = plan.kind === "touch" || (plan.kind === "latest" && !plan.inserts);
    if (
      plan.kind === "latest" &&
      plan.guarded &&
      old !== undefined &&
      Number(old["rev"]) > Number(row["rev"])
    ) {
      written.stale.push(place);
      written.facts.push(fact(row)); // seen, and found to be old
      return () => undefined;
    }
    if (old === undefined && !seeded) written.missing.push(place);
    const next = old === undefined ? row : changed(plan, old, row);
    this.#refuseBackwards(name, old, next);
    this.#rows.set(name, next);
    written.changed.push(place);
    written.facts.push(fact(row));
    return () => {
      if (old === undefined) this.#rows.delete(name);
      else this.#rows.set(name, old);
    };
  }

  #refuseBackwards(name: string, old: Row | undefined, next: Row): void {
    if (old === undefined) return;
    const of = (row: Row): number =>
      row["rev"] === undefined ? Date.parse(String(row["at"] ?? "")) : Number(row["rev"]);
    if (of(next) < of(old)) this.#fail(`${name} went back from ${of(old)} to ${of(next)}`);
  }
}

function changed(plan: WritePlan, old: Row, row: Row): Row {
  if (plan.kind === "latest") return row;
  const next: Row = { ...old };
  for (const [column, change] of Object.entries(plan.changes)) {
    const [before = null, value = null] = [old[column], row[column]];
    if (change === "set") next[column] = value;
    else if (change === "add") next[column] = String(Number(before) + Number(value));
    else next[column] = String(before) > String(value) ? before : value; // ISO times sort as text
  }
  return next;
}

function tableOf(name: string): (typeof TABLES)[string] {
  const table = TABLES[name];
  if (table === undefined) throw new Error(`there is no table ${name}`);
  return table;
}

const bytesOf = (value: Value | undefined): Buffer => Buffer.from(String(value));
