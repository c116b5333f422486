/**
 * The options of a batcher: types, defaults (the one table), and their validation.
 */
import { type Clock, type Random, systemClock, systemRandom } from "../clock.ts";
import type { Observe } from "../events.ts";
import type { Shape } from "../shapes/shape.ts";
import type { BatchId, Sink, SinkFunction } from "../sinks/sink.ts";
import {
  atMost,
  checkOneOf,
  count,
  duration,
  invalidOption,
  refuseAbove,
  refuseUnknown,
} from "./validate.ts";

/** What happens to an item that needs room when there is none. */
export type Overflow = "wait" | "reject" | "drop-newest" | "drop-oldest";

/** An entry that will never land as it is, handed back to its owner. */
export interface DeadLetter<Entry = unknown> {
  readonly entry: Entry;
  /** How many items were folded into the entry. */
  readonly items: number;
  /** `rejected` by the sink, or `expired`: out of time and certainly not applied. */
  readonly outcome: "rejected" | "expired";
  /** The sink's own error: of a PostgreSQL sink it carries `code`, the SQLSTATE. */
  readonly cause: unknown;
  /** How many attempts the entry took part in. */
  readonly attempts: number;
  readonly id: BatchId;
}

/** Pauses between attempts: exponential, full jitter, capped. */
export interface RetryOptions {
  /** The most that the first pause may last, in milliseconds. Default 100. */
  readonly baseDelayMs?: number | undefined;
  /** The most that any pause may last, in milliseconds. Default 30,000. */
  readonly maxDelayMs?: number | undefined;
  /**
   * Failures in a row, over all lanes, after which only one probe at a time is sent. Default 5. Shapes
   * with groups have no circuit: it would let one group's failures hold up the others.
   */
  readonly circuitAfter?: number | undefined;
  /** Attempts at most, the first included. Default `Infinity`: deliveryTimeoutMs alone ends them. */
  readonly maxAttempts?: number | undefined;
}

/** Limits that may be changed while the batcher runs, with `configure`. */
export interface Limits {
  /** A batch is sealed when it holds this many entries. Default 1,000, or maxBufferedEntries if less. */
  readonly maxEntries?: number | undefined;
  /** A batch is sealed before it holds more bytes than this. Default 4 MiB. A larger entry goes alone. */
  readonly maxBytes?: number | undefined;
  /**
   * A batch is sealed at the latest this long after its first item, in milliseconds. Default 250.
   * Up to a tenth less, by chance, so that replicas do not flush on the same tick. 0 waits only for
   * the end of the running code.
   */
  readonly maxDelayMs?: number | undefined;
  /**
   * With groups: what comes while its group has nothing under way does not wait for maxDelayMs, nor
   * what has gathered by the time that the group's last batch lands. Default false. Without groups it
   * is what `maxDelayMs: 0` is.
   */
  readonly dispatchWhenIdle?: boolean | undefined;
  /** Entries held at most, in flight included. Default 50,000, or 4 × maxEntries if that is more. */
  readonly maxBufferedEntries?: number | undefined;
  /** Bytes held at most, in flight included. Default 64 MiB, or 4 × maxBytes if that is more. */
  readonly maxBufferedBytes?: number | undefined;
  /** What happens when there is no room. Default "wait". */
  readonly overflow?: Overflow | undefined;
  readonly retry?: RetryOptions | undefined;
  /**
   * How long a sealed batch may take to land, all attempts together, in milliseconds. Default
   * 120,000; `Infinity` for keyed shapes, which absorb an outage in memory proportional to their keys.
   */
  readonly deliveryTimeoutMs?: number | undefined;
  /** How long one attempt may take, in milliseconds. Default 30,000, never above deliveryTimeoutMs. */
  readonly writeTimeoutMs?: number | undefined;
  /** How long `close()` may take, in milliseconds. Default 15,000. */
  readonly closeTimeoutMs?: number | undefined;
}

/** The options of `createBatcher`. */
export interface BatcherOptions<Item, Batch, Entry = unknown> extends Limits {
  /** Names the batcher in events, errors and its writer id, in 1 to 200 characters. Default: the kind of its shape. */
  readonly name?: string | undefined;
  readonly shape: Shape<Item, Batch, Entry>;
  /** Where batches land: a sink, or any function that takes a batch. */
  readonly sink: Sink<Batch> | SinkFunction<Batch>;
  /**
   * Strictly serial paths to the sink; entries are assigned by key, and by group to whichever is free
   * where the shape has groups. Default 1.
   */
  readonly lanes?: number | undefined;
  /**
   * Receives each entry that will never land. A batch waits for writeTimeoutMs in all, no longer. What a
   * slower handler has not been given then follows in turn: no limit counts it, and only `close()` waits for it.
   */
  readonly deadLetter?: ((letter: DeadLetter<Entry>) => unknown) | undefined;
  readonly observe?: Observe | undefined;
  /** Default: real time. */
  readonly clock?: Clock | undefined;
  /** Jitter. Default: real chance. */
  readonly random?: Random | undefined;
}

/** Limits with every default filled in. */
export interface Settings {
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly maxDelayMs: number;
  readonly dispatchWhenIdle: boolean;
  readonly maxBufferedEntries: number;
  readonly maxBufferedBytes: number;
  readonly overflow: Overflow;
  readonly retry: {
    readonly baseDelayMs: number;
    readonly maxDelayMs: number;
    readonly circuitAfter: number;
    readonly maxAttempts: number;
  };
  readonly deliveryTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly closeTimeoutMs: number;
}

const MIB = 1_048_576;
const OVERFLOWS: readonly Overflow[] = ["wait", "reject", "drop-newest", "drop-oldest"];
/** The names of the options that are not limits. */
export const FIXED: readonly string[] = [
  "name",
  "shape",
  "sink",
  "lanes",
  "deadLetter",
  "observe",
  "clock",
  "random",
];
/** The names of the limits. */
export const LIMITS: readonly string[] = [
  "maxEntries",
  "maxBytes",
  "maxDelayMs",
  "dispatchWhenIdle",
  "maxBufferedEntries",
  "maxBufferedBytes",
  "overflow",
  "retry",
  "deliveryTimeoutMs",
  "writeTimeoutMs",
  "closeTimeoutMs",
];
const RETRY = ["baseDelayMs", "maxDelayMs", "circuitAfter", "maxAttempts"];

/**
 * Fills in the defaults and refuses what is out of range or contradicts itself. A default gives way
 * to what was stated: only two stated values can contradict each other.
 */
export function resolveLimits(limits: Limits, keyed: boolean): Settings {
  const { retry = {}, overflow = "wait", dispatchWhenIdle = false } = limits;
  const maxEntries = count(
    "maxEntries",
    limits.maxEntries,
    atMost(limits.maxBufferedEntries, 1_000),
  );
  const maxBytes = count("maxBytes", limits.maxBytes, atMost(limits.maxBufferedBytes, 4 * MIB));
  refuseUnknown(retry, RETRY, "retry.");
  const baseDelayMs = duration(
    "retry.baseDelayMs",
    retry.baseDelayMs,
    atMost(retry.maxDelayMs, 100),
    1,
  );
  const deliveryTimeoutMs = duration(
    "deliveryTimeoutMs",
    limits.deliveryTimeoutMs,
    keyed ? Infinity : 120_000,
    1,
    Infinity,
  );
  const settings: Settings = {
    maxEntries,
    maxBytes,
    maxDelayMs: duration("maxDelayMs", limits.maxDelayMs, 250, 0),
    dispatchWhenIdle,
    maxBufferedEntries: count(
      "maxBufferedEntries",
      limits.maxBufferedEntries,
      Math.max(50_000, 4 * maxEntries),
    ),
    maxBufferedBytes: count(
      "maxBufferedBytes",
      limits.maxBufferedBytes,
      Math.max(64 * MIB, 4 * maxBytes),
    ),
    overflow,
    retry: {
      baseDelayMs,
      maxDelayMs: duration("retry.maxDelayMs", retry.maxDelayMs, Math.max(30_000, baseDelayMs), 1),
      circuitAfter: count("retry.circuitAfter", retry.circuitAfter, 5),
      maxAttempts:
        retry.maxAttempts === Infinity
          ? Infinity
          : count("retry.maxAttempts", retry.maxAttempts, Infinity),
    },
    deliveryTimeoutMs,
    writeTimeoutMs: duration(
      "writeTimeoutMs",
      limits.writeTimeoutMs,
      Math.min(30_000, deliveryTimeoutMs),
      1,
    ),
    closeTimeoutMs: duration("closeTimeoutMs", limits.closeTimeoutMs, 15_000, 0),
  };
  checkOneOf("overflow", overflow, OVERFLOWS);
  if (typeof dispatchWhenIdle !== "boolean") {
    throw invalidOption("dispatchWhenIdle", "true or false", dispatchWhenIdle);
  }
  refuseAbove("maxEntries", settings.maxEntries, "maxBufferedEntries", settings.maxBufferedEntries);
  refuseAbove("maxBytes", settings.maxBytes, "maxBufferedBytes", settings.maxBufferedBytes);
  refuseAbove("writeTimeoutMs", settings.writeTimeoutMs, "deliveryTimeoutMs", deliveryTimeoutMs);
  refuseAbove("retry.baseDelayMs", baseDelayMs, "retry.maxDelayMs", settings.retry.maxDelayMs);
  return settings;
}

/** What a batcher is made of, checked. */
export interface Parts<Item, Batch, Entry> {
  readonly name: string;
  readonly shape: Shape<Item, Batch, Entry>;
  readonly sink: Sink<Batch>;
  readonly lanes: number;
  readonly deadLetter: ((letter: DeadLetter<Entry>) => unknown) | undefined;
  readonly observe: Observe | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** Checks everything about the options that is not a limit. */
export function resolveParts<Item, Batch, Entry>(
  options: BatcherOptions<Item, Batch, Entry>,
): Parts<Item, Batch, Entry> {
  refuseUnknown(options, [...FIXED, ...LIMITS]);
  const { shape, sink, deadLetter, observe, random } = options;
  if (typeof shape?.accumulator !== "function") {
    throw invalidOption("shape", "a shape, such as list() or sums({ … })", shape);
  }
  if (typeof sink !== "function" && typeof sink?.write !== "function") {
    throw invalidOption("sink", "a function or an object with write()", sink);
  }
  const { name = shape.kind, clock = systemClock } = options;
  checkName(name);
  for (const [option, value] of Object.entries({ deadLetter, observe, random })) {
    if (value !== undefined && typeof value !== "function") {
      throw invalidOption(option, "a function", value);
    }
  }
  for (const method of ["now", "epochMs", "schedule", "cancel"] as const) {
    if (typeof clock?.[method] !== "function") {
      throw invalidOption("clock", `an object with ${method}()`, clock);
    }
  }
  return {
    name,
    shape,
    sink: typeof sink === "function" ? functionSink(sink) : sink,
    lanes: count("lanes", options.lanes, 1, 1_024),
    deadLetter,
    observe,
    clock,
    random: random ?? systemRandom,
  };
}

/** Refuses a name that cannot be part of a writer's id, which is the key of a ledger row. */
export function checkName(name: unknown): void {
  if (typeof name === "string" && /^[^\0\ud800-\udfff]{1,200}$/u.test(name)) return;
  throw invalidOption("name", "1 to 200 characters without NUL or lone surrogates", name);
}

/** The limits after `configure(changes)`. Refuses options that are not limits. */
export function mergeLimits(limits: Limits, changes: Limits): Limits {
  refuseUnknown(changes, LIMITS);
  const { retry = {}, ...others } = changes;
  refuseUnknown(retry, RETRY, "retry.");
  return { ...limits, ...given(others), retry: { ...limits.retry, ...given(retry) } };
}

/** The options that are there: one that is `undefined` is not given, and changes nothing. */
export function given<Options extends object>(options: Options): Partial<Options> {
  const pairs = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(pairs) as Partial<Options>;
}

function functionSink<Batch>(write: SinkFunction<Batch>): Sink<Batch> {
  // What a plain function returns says nothing about the batch: it may be a driver's own result.
  return {
    async write(batch, context) {
      await write(batch, context);
    },
  };
}
