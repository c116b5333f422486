import { checkObject } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";
import { type PostgresSink, postgresSink } from "./postgres-sink.ts";

/** PostgreSQL sinks by the part of a composed batch that each writes. */
export type SinkParts = Readonly<Record<string, PostgresSink<never>>>;

/** The batch that composed sinks take together. */
export type SinkBatches<P extends SinkParts> = {
  readonly [name in keyof P]: P[name] extends PostgresSink<infer Batch> ? Batch : never;
};

/**
 * Writes every part of a `compose` batch in one statement, in one transaction, under one ledger
 * entry. The sinks must share one driver and the same options `ledger`, `prepare` and `classify`.
 * Parts are written in the order in which they are named: name them as the shape does, in every process. What a
 * part has to tell is told under its name. No two parts may write to one table: within a statement
 * PostgreSQL changes a row once, and passes over what else would change it.
 *
 * @example
 * composeSinks({ requests: upsertSums(pool, { table: "requests" }), seen: touch(pool, { table: "clients" }) })
 */
export function composeSinks<const P extends SinkParts>(parts: P): PostgresSink<SinkBatches<P>> {
  checkObject("composeSinks: the parts", parts);
  const sinks = Object.entries(parts) as [string, PostgresSink<unknown>][];
  const [first] = sinks;
  if (first === undefined) throw optionError("name at least one sink");
  for (const [name, sink] of sinks) {
    if (isPostgresSink(sink)) continue;
    throw optionError(`part ${quote(name)} must be a PostgreSQL sink; received ${quote(sink)}`);
  }
  const { driver, options } = first[1];
  for (const [name, sink] of sinks) {
    const differs = (["ledger", "prepare", "classify"] as const).find(
      (option) => sink.options[option] !== options[option],
    );
    if (sink.driver !== driver || differs !== undefined) {
      throw optionError(
        `parts ${quote(first[0])} and ${quote(name)} differ in ${differs ?? "driver"}`,
      );
    }
  }
  const tables = sinks.flatMap(([name, sink]) => sink.tables.map((table) => ({ name, table })));
  for (const [index, { name, table }] of tables.entries()) {
    const twin = tables.slice(0, index).find((other) => mayBeOne(other.table, table));
    if (twin === undefined) continue;
    const both = `parts ${quote(twin.name)} and ${quote(name)} write to ${quote(twin.table)} and ${quote(table)}`;
    throw optionError(`${both}: in one statement a row changes once, so they may not be one table`);
  }
  const { ledger, prepare, classify } = options;
  const names = tables.map(({ table }) => table);
  return postgresSink(driver, { ledger, prepare, classify }, names, (batch: SinkBatches<P>) => {
    // To the type system a batch with more parts is as good; here they would count as landed.
    const stray = Object.keys(batch).find((name) => !Object.hasOwn(parts, name));
    if (stray !== undefined) throw optionError(`no sink writes part ${quote(stray)}`);
    const missing = Object.keys(parts).find((name) => !Object.hasOwn(batch, name));
    if (missing !== undefined) throw optionError(`the shape has no part ${quote(missing)}`);
    return sinks.flatMap(([name, sink]) =>
      sink.writes(batch[name as keyof P]).map((write) => ({
        ...write,
        details: (row) => {
          const details = write.details(row);
          return Object.keys(details).length === 0 ? {} : { [name]: details };
        },
      })),
    );
  });
}

const isPostgresSink = (sink: unknown): boolean =>
  typeof sink === "object" &&
  sink !== null &&
  "writes" in sink &&
  typeof sink.writes === "function" &&
  "tables" in sink &&
  Array.isArray(sink.tables) &&
  sink.tables.every((table) => typeof table === "string") &&
  "options" in sink &&
  typeof sink.options === "object" &&
  sink.options !== null;

/** Whether two names may mean one table. With a schema and without, only the server could tell. */
function mayBeOne(a: string, b: string): boolean {
  const last = (table: string): string | undefined => table.split(".").at(-1);
  return a.includes(".") === b.includes(".") ? a === b : last(a) === last(b);
}

function optionError(message: string): SluiceError {
  return new SluiceError("SLUICE_ERR_POSTGRES_OPTION", `composeSinks: ${message}`);
}
