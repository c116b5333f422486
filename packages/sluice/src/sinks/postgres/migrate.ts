import { invalidOption, refuseUnknown } from "../../core/validate.ts";
import { type PostgresDriver, transactor } from "./driver.ts";
import { identifier, tableName, typeName } from "./identifiers.ts";
import { ledgerDdl } from "./ledger.ts";

/** The options of `sumsDdl`. */
export interface SumsDdlOptions {
  readonly table: string;
  /** Key columns: names, or names with types other than text. */
  readonly key: readonly string[] | Readonly<Record<string, string>>;
  readonly sum: readonly string[];
  readonly last?: readonly string[] | undefined;
  readonly updatedAt?: string | undefined;
}

/**
 * The DDL of a table for `upsertSums`. Counters change all the time: at fillfactor 50 a changed row
 * finds room on its own page and no index is touched (HOT). So never index a counter or a timestamp.
 */
export function sumsDdl(options: SumsDdlOptions): string {
  refuseUnknown(options, ["table", "key", "sum", "last", "updatedAt"], "sumsDdl: ");
  const key = keyColumns(options.key);
  const sum = columnList("sum", options.sum);
  const last = columnList("last", options.last ?? []);
  const column = (name: string, type: string): string =>
    `${identifier("sumsDdl: column", name)} ${type}`;
  const columns = [
    ...key.map(([name, type]) => column(name, `${typeName("sumsDdl: key type", type)} NOT NULL`)),
    ...sum.map((name) => column(name, "bigint NOT NULL DEFAULT 0")),
    ...last.map((name) => column(name, "timestamptz")),
    ...(options.updatedAt === undefined
      ? []
      : [column(options.updatedAt, "timestamptz NOT NULL DEFAULT now()")]),
    `PRIMARY KEY (${key.map(([name]) => identifier("sumsDdl: key", name)).join(", ")})`,
  ];
  return `CREATE TABLE IF NOT EXISTS ${tableName("sumsDdl: table", options.table)} (
  ${columns.join(",\n  ")}
) WITH (fillfactor = 50);`;
}

/** The columns of the key, each with its type. */
function keyColumns(
  key: SumsDdlOptions["key"],
): readonly (readonly [name: string, type: string])[] {
  const typed = typeof key === "object" && key !== null && !Array.isArray(key);
  const columns = typed
    ? Object.entries(key as Readonly<Record<string, string>>)
    : columnList("key", key).map((name) => [name, "text"] as const);
  if (columns.length === 0) throw invalidOption("sumsDdl: key", "at least one column", key);
  return columns;
}

function columnList(option: string, names: unknown): readonly string[] {
  if (Array.isArray(names)) return Array.from<string>(names);
  throw invalidOption(`sumsDdl: ${option}`, "a list of columns", names);
}

/** Any number that only Sluice uses: it lets one process at a time create tables. */
const MIGRATION_LOCK = 5_710_483_920_117;

/**
 * Creates the ledger and whatever `ddl` creates, in one transaction, once: processes that start
 * together wait for each other. Safe to run at every start as long as `ddl` is.
 *
 * @example
 * await migrate(pool, sumsDdl({ table: "usage_by_client", key: ["client"], sum: ["requests"] }));
 */
export async function migrate(driver: PostgresDriver, ...ddl: readonly string[]): Promise<void> {
  for (const text of ddl) {
    if (typeof text !== "string") throw invalidOption("migrate: ddl", "SQL", text);
  }
  await transactor(driver)(async (session) => {
    await session.exec(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    for (const text of [ledgerDdl(), ...ddl]) await session.exec(text);
  });
}
