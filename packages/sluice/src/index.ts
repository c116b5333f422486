/**
 * Sluice lands many small writes as a few large ones, exactly once.
 */
export { type Clock, type Random, systemClock, systemRandom, type Timer } from "./clock.ts";
export type { Answers } from "./coalescer/answers.ts";
export type { AnswerCache, CacheStats, MakeCache } from "./coalescer/cache.ts";
export {
  type Coalescer,
  type CoalescerCloseOptions,
  type CoalescerCloseReport,
  type CoalescerStats,
  createCoalescer,
} from "./coalescer/coalescer.ts";
export { canonicalJson } from "./coalescer/canonical-json.ts";
export type { CallKey } from "./coalescer/key.ts";
export type { CallContext, CoalescerOptions } from "./coalescer/options.ts";
export {
  type Batcher,
  type CloseOptions,
  createBatcher,
  type FlushOptions,
  type WaitOptions,
} from "./core/batcher.ts";
export type { Stats } from "./core/books.ts";
export type {
  BatcherOptions,
  DeadLetter,
  Limits,
  Overflow,
  RetryOptions,
} from "./core/options.ts";
export type { CloseReport, FlushStats, Receipt, Undelivered } from "./core/reports.ts";
export {
  type Disposition,
  type ErrorCode,
  type ErrorDetails,
  ERRORS,
  isSluiceError,
  rejected,
  retryable,
  SluiceError,
  undecided,
} from "./errors.ts";
export type { DropReason, FlushReason, Observe, SluiceEvent } from "./events.ts";
export { type CallsOptions, calls } from "./shapes/calls.ts";
export {
  type ComposedBatch,
  type ComposedEntry,
  type ComposedItem,
  compose,
  type Parts,
} from "./shapes/compose.ts";
export { type DistinctOptions, distinct } from "./shapes/distinct.ts";
export type { KeyedBatch, KeyedEntry, KeyedFields } from "./shapes/keyed-batch.ts";
export { latest, type LatestItem, type LatestOptions } from "./shapes/latest.ts";
export type { LatestBatch, LatestEntry, LatestFields, Scalar } from "./shapes/latest-batch.ts";
export { type ListOptions, list } from "./shapes/list.ts";
export type { Accumulator, BatchAlgebra, Sealed, Shape, Size } from "./shapes/shape.ts";
export { type SumsItem, type SumsOptions, sums, type Time } from "./shapes/sums.ts";
export type { Version, VersionType } from "./shapes/versions.ts";
export type {
  BatchId,
  RejectedEntry,
  Sink,
  SinkFunction,
  WriteContext,
  WriteResult,
} from "./sinks/sink.ts";
