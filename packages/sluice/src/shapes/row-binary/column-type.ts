import type { RowReader } from "./row-reader.ts";
import type { RowWriter } from "./row-writer.ts";

/**
 * The type of a column: how a value becomes RowBinary and back. `In` is what an item may hold, `Out`
 * what a decoded row holds, which can be added again.
 *
 * Made by the functions and constants of `sluice/clickhouse`; its members are not for use.
 */
export interface ColumnType<In = never, Out = unknown> {
  /** As ClickHouse writes it: `Array(LowCardinality(String))`. */
  readonly type: string;
  /** Whether NULL is a value. A column that takes NULL may be left out of an item. */
  readonly nullable: boolean;
  /** Writes a value, or throws a `Refusal`; what it wrote until then is taken back. */
  readonly write: (value: In, to: RowWriter) => void;
  readonly read: (from: RowReader) => Out;
  /** The same `write` as straight-line code, where that is worth it. */
  readonly inline?: Inline | undefined;
  /** What `inline` writes without reserving, one element of each array within counted. Default 0. */
  readonly fixedBytes?: number | undefined;
  /** How a column of this type lies in a table, where that is not one column of its name: a Nested. */
  readonly flat?: FlatColumns<In, Out> | undefined;
}

/** Any type of column. */
export type AnyColumnType = ColumnType<never, unknown>;

/** Several columns of the table, each with a name of its own behind that of the column. */
interface FlatColumns<In = never, Out = unknown>
  extends Pick<ColumnType<In, Out>, "write" | "read"> {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
}

/**
 * Generates statements that write the variable `value`. Within them `w` is the writer, `b` its bytes
 * (a Uint8Array), `d` a DataView of them, `p` the place of the next byte, and `x` a scratch variable.
 */
type Inline = (value: string, code: CodeWriter) => string;

/** What `Inline` may ask of the code around it. */
export interface CodeWriter {
  /** Statements that write `value` by the `write` of a type: whatever its straight line leaves over. */
  call(type: AnyColumnType, value: string): string;
  /** Statements that write `value`, straight-line where the type has it. */
  put(type: AnyColumnType, value: string): string;
  /** A variable name of its own. */
  variable(): string;
  /** Statements that reserve `more` bytes, an expression. */
  reserve(more: string): string;
}

/** A value that a column does not take. The column's name is added on the way up. */
export class Refusal extends Error {
  readonly expected: string;
  readonly received: unknown;

  constructor(type: string, takes: string, received: unknown) {
    super();
    this.expected = `${type} takes ${takes}`;
    this.received = received;
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\0": "\\0",
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  "\\": "\\\\",
};

/** A name within a type, as ClickHouse writes it: it compares types as text. */
export function quotedName(mark: "'" | "`", name: string): string {
  const escaped = name.replace(/[\0\b\t\n\f\r\\]/g, (character) => ESCAPES[character] ?? character);
  return `${mark}${escaped.replaceAll(mark, `\\${mark}`)}${mark}`;
}

/** A type of fixed width whose common values are written where `when` holds, by `put`. */
export function fixed<In, Out>(options: {
  readonly type: string;
  readonly bytes: number;
  readonly takes: string;
  /** Writes the value at `at` of the view, or answers false: it is refused. */
  readonly store: (view: DataView, at: number, value: unknown) => boolean;
  readonly load: (view: DataView, at: number) => Out;
  /** A condition on the variable `v`, and statements that write it at `p` of `d`. */
  readonly fast?: readonly [when: (v: string) => string, put: (v: string) => string] | undefined;
}): ColumnType<In, Out> {
  const { type, bytes, takes, store, load, fast } = options;
  const self: ColumnType<In, Out> = {
    type,
    nullable: false,
    fixedBytes: bytes,
    write: (value, to) => {
      to.reserve(bytes);
      if (!store(to.view, to.at, value)) throw new Refusal(type, takes, value);
      to.at += bytes;
    },
    read: (from) => load(from.view, from.skip(bytes)),
    inline:
      fast &&
      ((v, code) =>
        `if (${fast[0](v)}) { ${fast[1](v)} p += ${bytes}; } else { ${code.call(self, v)} }`),
  };
  return self;
}
