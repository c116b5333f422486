import { invalidOption, refuseUnknown } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";
import type { LatestBatch, LatestFields, Scalar } from "../../shapes/latest-batch.ts";
import { writeVersion } from "../../shapes/versions.ts";
import { textArray } from "./array-literal.ts";
import type { PostgresDriver } from "./driver.ts";
import { tableName } from "./identifiers.ts";
import {
  type Column,
  type ColumnOptions,
  columnOf,
  lockOrder,
  refuseStray,
  unnestSql,
} from "./keyed-columns.ts";
import {
  type PostgresSink,
  type PostgresSinkOptions,
  SINK_OPTIONS,
  tableSink,
} from "./postgres-sink.ts";
import type { TableWrite } from "./table-write.ts";

/** The options of `writeLatest`. */
export interface WriteLatestOptions extends PostgresSinkOptions, ColumnOptions {
  /** The table, with or without its schema. It needs a unique constraint over the key columns. */
  readonly table: string;
  /** What becomes of a key without a row: `ignore` (default) passes it over, `insert` makes its row. */
  readonly onMissing?: "ignore" | "insert" | undefined;
}

/** What became of the entries of a batch; keys are lists of their parts. */
export type LatestDetails = {
  /** Rows that were written, inserted ones included. */
  readonly changed: number;
  /** Keys whose row has a newer version, or for which another entry of the batch stood. */
  readonly stale: readonly (readonly string[])[];
  /**
   * Keys without a row: passed over or, with `onMissing: "insert"`, inserted. There it is as the
   * statement found the table when it began: a row that another writer inserted meanwhile counts too.
   */
  readonly missing: readonly (readonly string[])[];
};

/**
 * Writes a `latest` batch to a table in one statement: a row changes only if its version is not newer
 * than what is written, or is NULL. So however late a batch comes, from whichever process, no row ever
 * goes back to an older version; of equal versions the one that is written last stays. Rows are locked
 * in the order of their keys, so that concurrent writers never deadlock.
 *
 * Columns are named like the fields unless `columns` says otherwise. They are text, the version
 * timestamptz or bigint, unless `types` says otherwise: say it for key columns that are not text, and
 * for a `timestamp`, which otherwise depends on the session's time zone. The version column keeps what
 * it is given, to the microsecond: not `timestamptz(3)`, where a newer version can look equal. Key
 * columns have no nondeterministic collation; `citext` does what those are for.
 * The `committed` event carries `LatestDetails`.
 *
 * @example
 * writeLatest(pool, { table: "settings", onMissing: "insert" })
 */
export function writeLatest(
  driver: PostgresDriver,
  options: WriteLatestOptions,
): PostgresSink<LatestBatch> {
  refuseUnknown(
    options,
    [...SINK_OPTIONS, "table", "columns", "types", "onMissing"],
    "writeLatest: ",
  );
  const table = tableName("writeLatest: table", options.table);
  const { onMissing = "ignore" } = options;
  if (onMissing !== "ignore" && onMissing !== "insert") {
    throw invalidOption("writeLatest: onMissing", '"ignore" or "insert"', onMissing);
  }
  const inserts = onMissing === "insert";
  const write: TableWrite<LatestBatch> = {
    sql: (batch, first, gate, name) => {
      const { key, value, version } = columnsOf(batch, options);
      const all = [...key, ...value, version];
      const written = [...value, version];
      const names = (columns: readonly Column[]): string =>
        columns.map((column) => column.name).join(", ");
      const match = (of: string): string =>
        key.map((column) => `t.${column.name} = ${of}.${column.alias}`).join(" AND ");
      const guard = (incoming: string): string =>
        `(t.${version.name} <= ${incoming} OR t.${version.name} IS NULL)`;
      // Two texts may be one value of their type, as with uuid or citext: the newer of them counts.
      const one = key.map(({ alias }) => `a.${alias}`).join(", ");
      const order = lockOrder(key, "b");
      const ctes = [
        `${name}_all AS (SELECT * FROM ${unnestSql(all, first, "place")} WHERE ${gate})`,
        `${name}_batch AS (SELECT DISTINCT ON (${one}) a.* FROM ${name}_all AS a
  ORDER BY ${one}, a.${version.alias} DESC, a.place DESC)`,
        `${name}_found AS (SELECT b.* FROM ${name}_batch AS b JOIN ${table} AS t ON ${match("b")}
  ${inserts ? "" : `ORDER BY ${order} FOR NO KEY UPDATE OF t`})`,
        inserts
          ? `${name} AS (INSERT INTO ${table} AS t (${names(all)})
  SELECT ${all.map(({ alias }) => `b.${alias}`).join(", ")} FROM ${name}_batch AS b ORDER BY ${order}
  ON CONFLICT (${names(key)}) DO UPDATE
  SET ${written.map((column) => `${column.name} = excluded.${column.name}`).join(", ")}
  WHERE ${guard(`excluded.${version.name}`)}
  RETURNING ${key.map((column) => `t.${column.name} AS ${column.alias}`).join(", ")})`
          : `${name} AS (UPDATE ${table} AS t
  SET ${written.map((column) => `${column.name} = f.${column.alias}`).join(", ")}
  FROM ${name}_found AS f WHERE ${match("f")} AND ${guard(`f.${version.alias}`)}
  RETURNING f.place)`,
      ];
      return ctes.join(",\n");
    },
    values: ({ fields, entries }) => [
      ...fields.key.map((_, index) => textArray(entries.map(({ key }) => key[index] ?? null))),
      ...fields.value.map((_, index) =>
        textArray(entries.map(({ values }) => asText(values[index] ?? null))),
      ),
      textArray(entries.map(({ version }) => writeVersion(fields.versionType, version))),
    ],
    details: {
      columns: (name, { fields }) => {
        const same = fields.key.map((_, index) => `w.k${index} = b.k${index}`).join(" AND ");
        const changed = inserts
          ? `SELECT b.place FROM ${name}_batch AS b JOIN ${name} AS w ON ${same}`
          : `SELECT place FROM ${name}`;
        const missing = `SELECT place FROM ${name}_batch EXCEPT SELECT place FROM ${name}_found`;
        const list = (query: string): string => `array_to_string(ARRAY(${query} ORDER BY 1), ',')`;
        // Mostly every row changes, and there is nothing to look for.
        const some = `(SELECT count(*) FROM ${name}) < (SELECT count(*) FROM ${name}_all)`;
        const lookedFor = (query: string): string => `CASE WHEN ${some} THEN ${list(query)} END`;
        return {
          stale: lookedFor(
            `SELECT place FROM ${name}_all EXCEPT (${inserts ? changed : `${changed} UNION (${missing})`})`,
          ),
          missing: inserts ? list(missing) : lookedFor(missing),
        };
      },
      read: ({ count, stale, missing }, { entries }): LatestDetails => {
        const keys = (places: unknown): (readonly string[])[] =>
          places === "" || places === null
            ? []
            : String(places)
                .split(",")
                .map((place) => entries[Number(place) - 1]?.key ?? []);
        return { changed: Number(count), stale: keys(stale), missing: keys(missing) };
      },
    },
  };
  return tableSink(driver, options, write);
}

function columnsOf(
  batch: LatestBatch,
  options: ColumnOptions,
): {
  readonly key: readonly Column[];
  readonly value: readonly Column[];
  readonly version: Column;
} {
  const fields = batch?.fields as Partial<LatestFields> | undefined;
  const { key, value, version, versionType } = fields ?? {};
  if (key === undefined || value === undefined || version === undefined) {
    const message = `writeLatest writes batches of latest; received ${quote(batch)}`;
    throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
  }
  const all = [...key, ...value, version];
  refuseStray("writeLatest", options, all, all);
  const type = versionType === "number" ? "bigint" : "timestamptz";
  return {
    key: key.map(columnOf("writeLatest", options, "k", "text")),
    value: value.map(columnOf("writeLatest", options, "v", "text")),
    version: columnOf("writeLatest", options, "version", type)(version, 0),
  };
}

const asText = (value: Scalar): string | null => (value === null ? null : String(value));
