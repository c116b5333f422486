/**
 * A batch of the `rows` shape: rows as ClickHouse's RowBinary, in the buffers in which they were
 * encoded. Nothing is copied on the way out, and a buffer that a batch refers to is never written
 * again where the batch can see it, so that a late attempt still sends what it should.
 */

/** A column of the table, as rows write it: a Nested column stands here as its subcolumns. */
export interface RowColumn {
  readonly name: string;
  /** The type as ClickHouse writes it: `Array(LowCardinality(String))`. */
  readonly type: string;
}

/** Rows that lie side by side in one buffer. */
export interface RowChunk {
  /** The bytes of these rows and of no others. */
  readonly bytes: Uint8Array;
  /** Where each row ends, counted from the start of the buffer, and so by `base` from `bytes`. */
  readonly ends: Uint32Array;
  readonly base: number;
}

/** Rows, encoded and in order. */
export interface RowBatch {
  readonly columns: readonly RowColumn[];
  readonly chunks: readonly RowChunk[];
  readonly rows: number;
  readonly bytes: number;
}
