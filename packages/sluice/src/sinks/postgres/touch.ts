import { refuseUnknown } from "../../core/validate.ts";
import { quote, SluiceError } from "../../errors.ts";
import type { KeyedBatch } from "../../shapes/keyed-batch.ts";
import type { PostgresDriver } from "./driver.ts";
import { identifier, tableName } from "./identifiers.ts";
import { type ColumnOptions, keyedColumns, keyedValues, unnestSql } from "./keyed-columns.ts";
import {
  type PostgresSink,
  type PostgresSinkOptions,
  SINK_OPTIONS,
  tableSink,
} from "./postgres-sink.ts";
import type { TableWrite } from "./table-write.ts";

/** The options of `touch`. */
export interface TouchOptions extends PostgresSinkOptions, ColumnOptions {
  /** The table, with or without its schema. */
  readonly table: string;
  /**
   * The timestamp column to set for batches without a `last` field: to the database's `now()`. With
   * one, the column is that field's, and it never moves backwards.
   */
  readonly set?: string | undefined;
  /** Match keys without regard to case: `lower(column) = lower(key)`. Index `lower(column)` for it. */
  readonly caseInsensitive?: boolean | undefined;
  /** Touch only rows in which this column is NULL, such as `deleted_at`. */
  readonly whereNull?: string | undefined;
  /** A column to set to the database's `now()` whenever a row is touched. */
  readonly updatedAt?: string | undefined;
}

const OPTIONS = ["table", "columns", "types", "set", "caseInsensitive", "whereNull", "updatedAt"];

/**
 * Sets a timestamp on the existing rows whose keys are in a `distinct` batch. Keys without a row are
 * passed over. Rows are locked in the order of their keys, so that concurrent writers never deadlock.
 *
 * @example
 * touch(pool, { table: "clients", columns: { client: "client_name", at: "last_seen_at" } })
 */
export function touch(driver: PostgresDriver, options: TouchOptions): PostgresSink<KeyedBatch> {
  refuseUnknown(options, [...SINK_OPTIONS, ...OPTIONS], "touch: ");
  const table = tableName("touch: table", options.table);
  const optional = (what: string, name: string | undefined): string | undefined =>
    name === undefined ? undefined : identifier(`touch: ${what}`, name);
  const set = optional("set", options.set);
  const whereNull = optional("whereNull", options.whereNull);
  const updatedAt = optional("updatedAt", options.updatedAt);
  const fold = options.caseInsensitive === true ? (text: string) => `lower(${text})` : plain;

  const write: TableWrite<KeyedBatch> = {
    sql: (batch, first, gate, name) => {
      const { key, sum, last } = keyedColumns("touch", batch, options);
      const time = last[0];
      const column = time?.name ?? set;
      if (sum.length > 0 || last.length > 1 || column === undefined || (time && set)) {
        const message = `touch sets one timestamp: from the one \`last\` field of its shape, or the column \`set\`; received fields ${quote(batch.fields)} and set ${quote(options.set)}`;
        throw new SluiceError("SLUICE_ERR_POSTGRES_OPTION", message);
      }
      const newest = time === undefined ? "now()" : `max(u.${time.alias})`;
      const folded = key.map(({ alias }) => fold(`u.${alias}`));
      const living = whereNull === undefined ? "true" : `r.${whereNull} IS NULL`;
      const match = key.map(({ name, alias }) => `${fold(`r.${name}`)} = x.${alias}`);
      const columns = key.map(({ name, alias }) => `r.${name} AS ${alias}`);
      const order = key.map(({ name }) => `r.${name}::text COLLATE "C"`);
      const changes = [`${column} = greatest(t.${column}, locked.at)`];
      if (updatedAt !== undefined) changes.push(`${updatedAt} = now()`);
      const same = key.map(({ name, alias }) => `t.${name} = locked.${alias}`);
      return `${name} AS (UPDATE ${table} AS t SET ${changes.join(", ")}
  FROM (
    SELECT ${columns.join(", ")}, x.at
    FROM (
      SELECT ${folded.map((text, index) => `${text} AS k${index}`).join(", ")}, ${newest} AS at
      FROM ${unnestSql([...key, ...last], first)} GROUP BY ${folded.join(", ")}
    ) AS x JOIN ${table} AS r ON ${match.join(" AND ")}
    WHERE ${living} AND ${gate}
    ORDER BY ${order.join(", ")}
    FOR NO KEY UPDATE OF r
  ) AS locked
  WHERE ${same.join(" AND ")} AND ${living.replace("r.", "t.")}
  RETURNING 1)`;
    },
    values: keyedValues,
  };
  return tableSink(driver, options, write);
}

const plain = (text: string): string => text;
