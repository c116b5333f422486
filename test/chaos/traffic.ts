/** The kinds of traffic that PostgreSQL takes: their tables, their batchers, and what is counted. */
import {
  type Batcher,
  type BatcherOptions,
  compose,
  createBatcher,
  distinct,
  latest,
  list,
  type Random,
  sums,
} from "sluice";
import {
  composeSinks,
  insertRows,
  type PostgresDriver,
  sumsDdl,
  touch,
  upsertSums,
  writeLatest,
} from "sluice/postgres";
import { count, keep, type Tally, textOf } from "./tally.ts";

const KEYS = 200;

/** A batcher, and how one more item comes to it. */
export interface Writer {
  readonly batcher: Batcher<never>;
  /** Adds an item, waiting for room or not, and counts it if it was accepted. */
  add(wait: boolean): Promise<void>;
}

/** What a writer is made with. */
interface WriterParts {
  readonly driver: PostgresDriver;
  readonly sink: { readonly ledger?: false; readonly prepare?: boolean };
  readonly options: Omit<BatcherOptions<never, never>, "shape" | "sink">;
  /** Of all writers of one kind; its items differ from those of the others. */
  readonly number: number;
  readonly writers: number;
  readonly random: Random;
  readonly tally: Tally;
}

/** A kind of traffic. */
export interface Traffic {
  readonly name: string;
  /** Whether it counts: what comes twice is seen. Others come out the same, however often they come. */
  readonly counts: boolean;
  readonly tables: readonly string[];
  /** Makes its tables. */
  readonly ddl: string;
  open(parts: WriterParts): Writer;
}

const peopleDdl = (table: string): string =>
  `CREATE TABLE ${table} (k text PRIMARY KEY, seen timestamptz) WITH (fillfactor = 50);
INSERT INTO ${table} SELECT 'key-' || i FROM generate_series(0, ${KEYS - 1}) i ORDER BY random();`;

const keyOf = (random: Random): string => `key-${Math.floor(random() * KEYS)}`;

const timeOf = (random: Random): number => 1_000 + Math.floor(random() * 1e9);

const usage = sums({ key: ["k"], sum: ["n"] });
const seen = distinct({ key: ["k"], last: ["seen"] });

/** Draws an item, and what to do to the tally when it has been accepted. */
type Draw<Item> = () => readonly [item: Item, accepted: () => unknown];

function writer<Item>(batcher: Batcher<Item>, draw: Draw<Item>): Writer {
  return {
    batcher,
    add: async (wait) => {
      const [item, accepted] = draw();
      if (wait) await batcher.add(item);
      else if (!batcher.tryAdd(item)) return;
      accepted();
    },
  };
}

export const TRAFFIC: readonly Traffic[] = [
  {
    name: "sums",
    counts: true,
    tables: ["usage"],
    ddl: sumsDdl({ table: "usage", key: ["k"], sum: ["n"] }),
    open: ({ driver, sink, options, random, tally }) =>
      writer(
        createBatcher({
          ...options,
          shape: usage,
          sink: upsertSums(driver, { ...sink, table: "usage" }),
        }),
        () => {
          const [k, n] = [keyOf(random), 1 + Math.floor(random() * 9)];
          return [{ k, n }, () => count(tally.sums, k, n)];
        },
      ),
  },
  {
    name: "touches",
    counts: false,
    tables: ["people"],
    ddl: peopleDdl("people"),
    open: ({ driver, sink, options, random, tally }) =>
      writer(
        createBatcher({
          ...options,
          shape: seen,
          sink: touch(driver, { ...sink, table: "people" }),
        }),
        () => {
          const [k, at] = [keyOf(random), timeOf(random)];
          return [{ k, seen: at }, () => keep(tally.seen, k, at)];
        },
      ),
  },
  {
    name: "newest values",
    counts: false,
    tables: ["newest"],
    ddl: `CREATE TABLE newest (k text PRIMARY KEY, v text, rev bigint NOT NULL) WITH (fillfactor = 50);`,
    open: ({ driver, sink, options, number, writers, random, tally }) => {
      let added = 0;
      // Versions of all writers mingle; no two are equal.
      const next = (): number => {
        added += 1;
        return writers * (added + Math.floor(random() * 200)) + number;
      };
      return writer(
        createBatcher({
          ...options,
          shape: latest({ key: ["k"], value: ["v"], version: "rev", versionType: "number" }),
          sink: writeLatest(driver, { ...sink, table: "newest", onMissing: "insert" }),
        }),
        () => {
          const [k, rev] = [keyOf(random), next()];
          return [{ k, v: textOf(rev), rev }, () => keep(tally.newest, k, rev)];
        },
      );
    },
  },
  {
    name: "rows",
    counts: true,
    tables: ["entries"],
    // Without a constraint: a row that comes twice is there twice.
    ddl: `CREATE TABLE entries (id text NOT NULL, v text NOT NULL);`,
    open: ({ driver, sink, options, number, tally }) => {
      let added = 0;
      return writer(
        createBatcher({
          ...options,
          shape: list<{ id: string; v: string }>(),
          sink: insertRows(driver, {
            ...sink,
            table: "entries",
            columns: { id: "text", v: "text" },
          }),
        }),
        () => {
          added += 1;
          const [id, v] = [`${number}-${added}`, textOf(added)];
          return [{ id, v }, () => tally.rows.set(id, v)];
        },
      );
    },
  },
  {
    name: "composed",
    counts: true,
    tables: ["both_usage", "both_people"],
    ddl: `${sumsDdl({ table: "both_usage", key: ["k"], sum: ["n"] })} ${peopleDdl("both_people")}`,
    open: ({ driver, sink, options, random, tally }) =>
      writer(
        createBatcher({
          ...options,
          shape: compose({ usage, seen }),
          sink: composeSinks({
            usage: upsertSums(driver, { ...sink, table: "both_usage" }),
            seen: touch(driver, { ...sink, table: "both_people" }),
          }),
        }),
        () => {
          const [k, person, at] = [keyOf(random), keyOf(random), timeOf(random)];
          const accepted = (): void => {
            count(tally.both.sums, k, 1);
            keep(tally.both.seen, person, at);
          };
          return [{ usage: { k, n: 1 }, seen: { k: person, seen: at } }, accepted];
        },
      ),
  },
];
