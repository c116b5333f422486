import { Buffer } from "node:buffer";
import { count, invalidOption, refuseUnknown } from "../core/validate.ts";
import { quote, SluiceError } from "../errors.ts";
import { checkType, type Fields, type FieldsIn, type FieldsOut } from "./row-binary/composites.ts";
import type { RowBatch, RowChunk, RowColumn } from "./row-binary/row-batch.ts";
import { decodeRow, type EncodeRow, type RowField, rowEncoder } from "./row-binary/row-encoder.ts";
import { rowHeader } from "./row-binary/row-header.ts";
import { RowReader } from "./row-binary/row-reader.ts";
import { RowWriter } from "./row-binary/row-writer.ts";
import type { Accumulator, Sealed, Shape, Size } from "./shape.ts";

/** The options of a `rows` shape. */
export interface RowsOptions {
  /** Names the table in messages. Default "rows". */
  readonly table?: string | undefined;
  /** How large the buffers are that rows are encoded into, in bytes. Default 1 MiB. */
  readonly bufferBytes?: number | undefined;
  /**
   * Buffers whose rows have landed are kept for rows to come, up to this many bytes; what a burst
   * needed beyond is let go. Default 16 MiB. A row larger than a buffer gets one of its own, which is
   * never kept.
   */
  readonly bufferShrinkBytes?: number | undefined;
}

/** Columns by name. */
export type Columns = Fields;
/** What `add` takes for these columns. Columns that take NULL may be left out. */
export type RowOf<C extends Columns> = FieldsIn<C>;
/** A row as dead letters show it: exact, and fit to be added again. */
export type DecodedRow<C extends Columns> = FieldsOut<C>;

const MIB = 1_048_576;

/**
 * Typed rows for ClickHouse, each encoded as RowBinary when it is added. Neither row nor values are
 * kept: they may be changed afterwards. Columns that the table fills in by itself are left out.
 *
 * @example
 * rows({ id: UInt64, at: DateTime64(3), name: String, tags: Array(LowCardinality(String)) })
 */
export function rows<const C extends Columns>(
  columns: C,
  options: RowsOptions = {},
): Shape<RowOf<C>, RowBatch, DecodedRow<C>> {
  refuseUnknown(options, ["table", "bufferBytes", "bufferShrinkBytes"], "rows: ");
  const { table = "rows" } = options;
  if (typeof table !== "string") throw invalidOption("rows: table", "text", table);
  const bufferBytes = count("rows: bufferBytes", options.bufferBytes, MIB, 1024 * MIB);
  const keepBytes = count("rows: bufferShrinkBytes", options.bufferShrinkBytes, 16 * MIB);
  const fields = fieldsOf(columns);
  const schema = physicalColumns(columns);
  const batchOf = (chunks: readonly RowChunk[]): RowBatch => frozenBatch(schema, chunks);
  const header = rowHeader(schema);
  const kind = "rows";
  return {
    kind,
    keyed: false,
    accumulator: () => new RowAccumulator(fields, batchOf, table, { bufferBytes, keepBytes }),
    partition: () => undefined,
    size: (batch) => ({ items: batch.rows, entries: batch.rows, bytes: batch.bytes }),
    entryAt: (batch, index) => {
      const [{ bytes }] = splitBatch(batch, index, batchOf)[1].chunks as readonly [RowChunk];
      return decodeRow(fields, new RowReader(bytes)) as DecodedRow<C>;
    },
    itemsAt: () => 1,
    split: (batch, at) => splitBatch(batch, at, batchOf),
    merge: (first, second) => batchOf([...first.chunks, ...second.chunks]),
    encode: ({ chunks }) => Buffer.concat([header, ...chunks.map(({ bytes }) => bytes)]),
    decode: (bytes) => batchOf(chunksOf(bytes, header, fields)),
  };
}

function fieldsOf(columns: Columns): readonly RowField[] {
  if (typeof columns !== "object" || columns === null || Object.keys(columns).length === 0) {
    throw invalidOption("rows: columns", "an object with a type per column", columns);
  }
  return Object.entries(columns).map(([name, of]) => {
    if (name === "" || !name.isWellFormed() || name.includes("\0")) {
      throw invalidOption("rows: a column", "a name without NUL or lone surrogates", name);
    }
    checkType(`rows: column ${quote(name)}`, of);
    const { write, read } = of.flat ?? of;
    return { name, of: of.flat === undefined ? of : { ...of, write, read } };
  });
}

function physicalColumns(columns: Columns): readonly RowColumn[] {
  const physical = Object.entries(columns).flatMap(([name, { type, flat }]) =>
    flat === undefined
      ? { name, type }
      : flat.columns.map((part) => ({ name: `${name}.${part.name}`, type: part.type })),
  );
  const names = new Set<string>();
  for (const { name } of physical) {
    if (names.has(name)) {
      throw new SluiceError(
        "SLUICE_ERR_OPTION_CONFLICT",
        `rows: two columns would be named ${quote(name)}`,
      );
    }
    names.add(name);
  }
  return physical;
}

type BatchOf = (chunks: readonly RowChunk[]) => RowBatch;

function frozenBatch(columns: readonly RowColumn[], chunks: readonly RowChunk[]): RowBatch {
  let [rowCount, bytes] = [0, 0];
  for (const chunk of chunks) {
    rowCount += chunk.ends.length;
    bytes += chunk.bytes.length;
  }
  return Object.freeze({ columns, chunks: Object.freeze(chunks), rows: rowCount, bytes });
}

/** The first `at` rows and the rest; bytes are shared, not copied. */
function splitBatch(
  { chunks }: RowBatch,
  at: number,
  batchOf: BatchOf,
): readonly [RowBatch, RowBatch] {
  const [head, tail]: [RowChunk[], RowChunk[]] = [[], []];
  let left = at;
  for (const chunk of chunks) {
    const { bytes, ends, base } = chunk;
    if (left <= 0) tail.push(chunk);
    else if (left >= ends.length) head.push(chunk);
    else {
      const middle = ends[left - 1] ?? base;
      head.push({ bytes: bytes.subarray(0, middle - base), ends: ends.subarray(0, left), base });
      tail.push({ bytes: bytes.subarray(middle - base), ends: ends.subarray(left), base: middle });
    }
    left -= ends.length;
  }
  return [batchOf(head), batchOf(tail)];
}

/** Finds the rows in an encoded batch by reading them. */
function chunksOf(
  bytes: Uint8Array,
  header: Uint8Array,
  fields: readonly RowField[],
): readonly RowChunk[] {
  const invalid = (cause?: unknown): SluiceError =>
    new SluiceError("SLUICE_ERR_BATCH_INVALID", "rows: these bytes are no rows of these columns", {
      cause,
    });
  if (Buffer.compare(bytes.subarray(0, header.length), header) !== 0) throw invalid();
  const body = bytes.subarray(header.length);
  const reader = new RowReader(body);
  const ends: number[] = [];
  try {
    while (reader.at < body.length) {
      decodeRow(fields, reader);
      ends.push(reader.at);
    }
  } catch (cause) {
    throw invalid(cause);
  }
  return ends.length === 0 ? [] : [{ bytes: body, ends: Uint32Array.from(ends), base: 0 }];
}

/** Rows in one buffer, of which the first may have left. */
interface Segment {
  readonly buffer: Buffer;
  ends: Uint32Array;
  rows: number;
  /** How many rows have left, and where the first that is held begins. */
  gone: number;
  start: number;
}

function longer(ends: Uint32Array): Uint32Array {
  const copy = new Uint32Array(ends.length * 2);
  copy.set(ends);
  return copy;
}

class RowAccumulator<Row extends object> implements Accumulator<Row, RowBatch> {
  entries = 0;
  bytes = 0;
  readonly addsItems = 1;
  readonly addsEntries = 1;
  addsBytes = 0;
  readonly #writer: RowWriter;
  readonly #where: string;
  readonly #encode: EncodeRow;
  readonly #batchOf: BatchOf;
  readonly #bufferBytes: number;
  readonly #segments: Segment[] = [];
  /** The segment that the row folded last is in. */
  #last: Segment | undefined;
  #nextOrdinal = 0;
  /** By buffer, how many batches have been sealed out of it that did not come back. */
  readonly #lent = new WeakMap<ArrayBufferLike, { readonly buffer: Buffer; batches: number }>();
  /** Whether a row is being read: its getters run. */
  #reading = false;

  constructor(
    fields: readonly RowField[],
    batchOf: BatchOf,
    where: string,
    sizes: { readonly bufferBytes: number; readonly keepBytes: number },
  ) {
    this.#writer = new RowWriter(sizes.bufferBytes, sizes.keepBytes);
    this.#where = where;
    this.#encode = rowEncoder(fields, this.#writer, where);
    this.#batchOf = batchOf;
    this.#bufferBytes = sizes.bufferBytes;
  }

  get items(): number {
    return this.entries;
  }

  /** Encodes the row behind those that are held, where the next one goes unless `fold` keeps it. */
  measure(row: Row): void {
    const writer = this.#writer;
    if (this.#reading) {
      throw new SluiceError("SLUICE_ERR_ITEM_INVALID", `${this.#where}: a row may not add rows`);
    }
    this.#shrink();
    writer.at = writer.start;
    this.#reading = true;
    try {
      this.#encode(row);
    } catch (error) {
      this.#shrink();
      throw error;
    } finally {
      this.#reading = false;
    }
    this.addsBytes = writer.at - writer.start;
  }

  fold(): void {
    const writer = this.#writer;
    const { at } = writer;
    let segment = this.#last;
    if (segment?.buffer !== writer.bytes) segment = this.#open();
    if (segment.rows === segment.ends.length) segment.ends = longer(segment.ends);
    segment.ends[segment.rows] = at;
    segment.rows += 1;
    writer.start = at;
    this.entries += 1;
    this.bytes += this.addsBytes;
    this.#nextOrdinal += 1;
    this.#shrink();
  }

  /** A buffer that had to be large serves no other row, and is held by the row alone. */
  #shrink(): void {
    if (this.#writer.bytes.length > this.#bufferBytes) this.#writer.release();
  }

  ordinals(): readonly number[] {
    return [this.#nextOrdinal - 1];
  }

  seal(entries: number): Sealed<RowBatch> {
    const chunks: RowChunk[] = [];
    for (let left = entries; left > 0; ) {
      const buffer = this.#segments[0]?.buffer;
      const chunk = this.#leave(left);
      left -= chunk.ends.length;
      chunks.push(chunk);
      if (buffer !== undefined) this.#lend(buffer);
    }
    const batch = this.#batchOf(chunks);
    return { batch, items: batch.rows, entries: batch.rows, bytes: batch.bytes };
  }

  #lend(buffer: Buffer): void {
    const lent = this.#lent.get(buffer.buffer);
    if (lent === undefined) this.#lent.set(buffer.buffer, { buffer, batches: 1 });
    else lent.batches += 1;
  }

  recycle({ chunks }: RowBatch): void {
    for (const { bytes } of chunks) {
      const lent = this.#lent.get(bytes.buffer);
      if (lent === undefined) continue;
      lent.batches -= 1;
      const { buffer } = lent;
      const isHeld = buffer === this.#writer.bytes || this.#segments[0]?.buffer === buffer;
      if (lent.batches === 0 && !isHeld) this.#writer.giveBack(buffer);
    }
  }

  dropOldest(): Size {
    return { items: 1, entries: 1, bytes: this.#leave(1).bytes.length };
  }

  /** Begins a segment where the row measured last lies. */
  #open(): Segment {
    const { bytes: buffer, start } = this.#writer;
    const segment = { buffer, ends: new Uint32Array(64), rows: 0, gone: 0, start };
    this.#segments.push(segment);
    this.#last = segment;
    return segment;
  }

  /** Takes out the oldest rows, at most so many, as far as they lie in one buffer. */
  #leave(most: number): RowChunk {
    const segment = this.#segments[0];
    if (segment === undefined) throw new RangeError(`${most} rows are not held`);
    const { buffer, ends, gone, start: base } = segment;
    const to = Math.min(segment.rows, gone + most);
    const end = ends[to - 1] ?? base;
    segment.gone = to;
    segment.start = end;
    this.entries -= to - gone;
    this.bytes -= end - base;
    if (to === segment.rows) {
      this.#segments.shift();
      if (this.#segments.length === 0) this.#last = undefined;
    }
    return { bytes: buffer.subarray(base, end), ends: ends.subarray(gone, to), base };
  }
}
