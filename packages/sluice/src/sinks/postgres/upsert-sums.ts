import { refuseUnknown } from "../../core/validate.ts";
import type { KeyedBatch } from "../../shapes/keyed-batch.ts";
import type { PostgresDriver } from "./driver.ts";
import { identifier, tableName } from "./identifiers.ts";
import {
  type ColumnOptions,
  isInLockOrder,
  keyedColumns,
  keyedValues,
  lockOrder,
  unnestSql,
} from "./keyed-columns.ts";
import {
  type PostgresSink,
  type PostgresSinkOptions,
  SINK_OPTIONS,
  tableSink,
} from "./postgres-sink.ts";
import type { TableWrite } from "./table-write.ts";

/** The options of `upsertSums`. */
export interface UpsertSumsOptions extends PostgresSinkOptions, ColumnOptions {
  /** The table, with or without its schema. It needs a unique constraint over the key columns. */
  readonly table: string;
  /** A column to set to the database's `now()` whenever a row is written. */
  readonly updatedAt?: string | undefined;
}

/**
 * Adds the sums of a `sums` batch to a table: one row per key, inserted or added to. Columns are
 * named like the fields unless `columns` says otherwise; key columns are text unless `types` does;
 * sums are bigint; `last` fields are timestamptz and never move backwards. See `sumsDdl`.
 *
 * @example
 * upsertSums(pool, { table: "usage_by_client" })
 */
export function upsertSums(
  driver: PostgresDriver,
  options: UpsertSumsOptions,
): PostgresSink<KeyedBatch> {
  refuseUnknown(
    options,
    [...SINK_OPTIONS, "table", "columns", "types", "updatedAt"],
    "upsertSums: ",
  );
  const table = tableName("upsertSums: table", options.table);
  const updatedAt =
    options.updatedAt === undefined
      ? undefined
      : identifier("upsertSums: updatedAt", options.updatedAt);
  const write: TableWrite<KeyedBatch> = {
    sql: (batch, first, gate, name) => {
      const { key, sum, last } = keyedColumns("upsertSums", batch, options);
      const all = [...key, ...sum, ...last];
      const names = all.map(({ name }) => name);
      const values = all.map(({ alias }) => `u.${alias}`);
      const changes = [
        ...sum.map(({ name }) => `${name} = coalesce(t.${name}, 0) + excluded.${name}`),
        ...last.map(({ name }) => `${name} = greatest(t.${name}, excluded.${name})`),
      ];
      if (updatedAt !== undefined) {
        names.push(updatedAt);
        values.push("now()");
        changes.push(`${updatedAt} = excluded.${updatedAt}`);
      }
      const conflict = key.map(({ name }) => name).join(", ");
      const order = isInLockOrder(key) ? "" : ` ORDER BY ${lockOrder(key, "u")}`;
      const action = changes.length === 0 ? "NOTHING" : `UPDATE SET ${changes.join(", ")}`;
      return `${name} AS (INSERT INTO ${table} AS t (${names.join(", ")})
  SELECT ${values.join(", ")} FROM ${unnestSql(all, first)} WHERE ${gate}${order}
  ON CONFLICT (${conflict}) DO ${action}
  RETURNING 1)`;
    },
    values: keyedValues,
  };
  return tableSink(driver, options, write);
}
