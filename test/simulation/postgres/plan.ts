/**
 * Reads the statements that the PostgreSQL sinks send, as far as they depend on the sinks: what is
 * written, in which order, and on which conditions. What it does not understand is an error: a model
 * that guesses proves nothing.
 */

/** How a column of a row that exists changes. */
type Change = "add" | "greatest" | "set";

/** One data-modifying part of a statement. */
export interface WritePlan {
  readonly kind: "upsert" | "touch" | "latest" | "insert";
  readonly table: string;
  /** The columns that arrays are for, in the order of the arrays. */
  readonly columns: readonly string[];
  /** Index of the parameter of the first array. */
  readonly first: number;
  /** Nothing is written unless the claim of the ledger succeeded. */
  readonly gated: boolean;
  /** Rows are locked in the byte order of their keys, and not as they come. */
  readonly sorted: boolean;
  readonly changes: Readonly<Record<string, Change>>;
  /** Rows without a predecessor are made. */
  readonly inserts: boolean;
  /** Older versions are passed over. */
  readonly guarded: boolean;
}

/** A statement. */
export interface Plan {
  readonly claims: boolean;
  /** The claim succeeds only if it moves the writer forward. */
  readonly forward: boolean;
  /** What was left out of the writer's last batch is forgotten with it. */
  readonly clears: boolean;
  readonly writes: readonly WritePlan[];
}

const plans = new Map<string, Plan>();

/** The gate of each kind of write, alone or behind what is true, and nothing with it. */
const GATES = [
  /AS u\([^)]*\) WHERE EXISTS \(SELECT FROM claim\)\s+(?:ON CONFLICT|\) AS r ORDER BY)/,
  /AS u\([^)]*\) WHERE EXISTS \(SELECT FROM claim\)\),\n/,
  /\n\s+WHERE true AND EXISTS \(SELECT FROM claim\)\s+ORDER BY/,
];

/** The plan of a statement; undefined if it is no data statement. */
export function planOf(text: string): Plan | undefined {
  const known = plans.get(text);
  if (known !== undefined) return known;
  if (!text.startsWith("WITH ") && !isClaim(text)) return undefined;
  const plan = isClaim(text) ? { ...claim(text), writes: [] } : read(text);
  plans.set(text, plan);
  return plan;
}

const isClaim = (text: string): boolean => text.startsWith('INSERT INTO "sluice_ledger" AS l');

function claim(text: string): Pick<Plan, "claims" | "forward" | "clears"> {
  return {
    claims: true,
    forward: text.includes("WHERE l.seq < excluded.seq\n"),
    clears: text.includes("SET seq = excluded.seq, rejected = NULL, updated_at = now()\n"),
  };
}

function read(text: string): Plan {
  const body = text.slice("WITH ".length, text.lastIndexOf("\nSELECT "));
  const queries = body.split(/,\n(?=\w+ AS \()/);
  const [first = ""] = queries;
  const claims = first.startsWith("claim AS (");
  // A write may be several queries, w0_all to w0.
  const texts = new Map<string, string>();
  for (const query of claims ? queries.slice(1) : queries) {
    const name = /^w\d+/.exec(query)?.[0];
    if (name === undefined) throw notUnderstood(query);
    texts.set(name, [texts.get(name), query].filter(Boolean).join(",\n"));
  }
  const writes = [...texts.values()].map(write);
  return { ...(claims ? claim(first) : { claims, forward: false, clears: false }), writes };
}

function write(text: string): WritePlan {
  const arrays = [...text.matchAll(/\$(\d+)::\w+\[\]/g)];
  const gated = GATES.some((gate) => gate.test(text));
  const first = Number(arrays[0]?.[1]);
  const common = { first, gated, changes: {}, inserts: true, guarded: false, sorted: false };
  const [, inserted, list = ""] = /INSERT INTO "(\w+)"(?: AS t)? \(([^)]*)\)/.exec(text) ?? [];
  const [, updated] = /UPDATE "(\w+)" AS t/.exec(text) ?? [];
  const table = inserted ?? updated;
  if (table === undefined || !(arrays.length > 0)) throw notUnderstood(text);
  if (/^w\d+_all AS/.test(text)) {
    const names = inserted === undefined ? updatedNames(text) : namesIn(list);
    const guard = /\(t\."rev" <= (?:excluded\."rev"|f\.version0) OR t\."rev" IS NULL\)/;
    const order = /ORDER BY b\.k0::text COLLATE "C"/;
    return {
      ...common,
      kind: "latest",
      table,
      columns: names,
      inserts: inserted !== undefined,
      guarded: guard.test(text),
      sorted: order.test(text),
    };
  }
  if (inserted === undefined) return { ...common, ...touch(text, table) };
  const columns = namesIn(list);
  if (columns.length !== arrays.length) throw notUnderstood(text);
  if (!text.includes("ON CONFLICT")) return { ...common, kind: "insert", table, columns };
  return { ...common, kind: "upsert", table, columns, changes: changesIn(text, "excluded") };
}

function touch(
  text: string,
  table: string,
): Pick<WritePlan, "kind" | "table" | "columns" | "changes" | "sorted" | "inserts"> {
  const [, column] = /SET "(\w+)" = /.exec(text) ?? [];
  const [, key] = /r\."(\w+)" AS k0/.exec(text) ?? [];
  if (column === undefined || key === undefined) throw notUnderstood(text);
  const greatest = text.includes(`SET "${column}" = greatest(t."${column}", locked.at)`);
  return {
    kind: "touch",
    table,
    columns: [key, column],
    changes: { [column]: greatest ? "greatest" : "set" },
    sorted: /ORDER BY r\."\w+"::text COLLATE "C"\s+FOR NO KEY UPDATE OF r/.test(text),
    inserts: false,
  };
}

function changesIn(text: string, incoming: string): Record<string, Change> {
  const [, set = ""] = /DO UPDATE SET (.*)\s+RETURNING/s.exec(text) ?? [];
  const changes: Record<string, Change> = {};
  for (const [, name = "", how = ""] of set.matchAll(/"(\w+)" = (.+?)(?=, "\w+" = |$|\n)/g)) {
    if (how === `coalesce(t."${name}", 0) + ${incoming}."${name}"`) changes[name] = "add";
    else if (how === `greatest(t."${name}", ${incoming}."${name}")`) changes[name] = "greatest";
    else if (how === `${incoming}."${name}"`) changes[name] = "set";
    else throw notUnderstood(how);
  }
  return changes;
}

/** Without an insert the key columns are named by the conditions alone. */
function updatedNames(text: string): readonly string[] {
  const [, key] = /t\."(\w+)" = b\.k0/.exec(text) ?? [];
  const [, set = ""] = /SET (.*)\s+FROM/s.exec(text) ?? [];
  const names = [...set.matchAll(/"(\w+)" = f\./g)].map(([, name = ""]) => name);
  if (key === undefined || names.length === 0) throw notUnderstood(text);
  return [key, ...names];
}

const namesIn = (list: string): readonly string[] =>
  list.split(", ").map((name) => name.replaceAll('"', ""));

const notUnderstood = (text: string): Error => new Error(`the model does not understand: ${text}`);
