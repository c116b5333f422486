import { uniqueId } from "../clock.ts";
import { messageOf, SluiceError } from "../errors.ts";
import type { UnnamedEvent } from "../events.ts";
import type { Accumulator } from "../shapes/shape.ts";
import { Admission } from "./admission.ts";
import type { Batcher, CloseOptions, FlushOptions, WaitOptions } from "./batcher.ts";
import { type Books, balance, openBooks, type Stats } from "./books.ts";
import { Circuit } from "./circuit.ts";
import { Delivery } from "./delivery.ts";
import { detached } from "./detached.ts";
import { emitter } from "./emitter.ts";
import { Lane } from "./lane.ts";
import {
  type BatcherOptions,
  type Limits,
  mergeLimits,
  type Parts,
  resolveLimits,
  resolveParts,
  type Settings,
} from "./options.ts";
import { callOptions, checkTimeout, invalidOption } from "./validate.ts";
import {
  type CloseReport,
  describeShortfall,
  type FlushStats,
  flushIncomplete,
  type Receipt,
  sumLandings,
  undelivered,
} from "./reports.ts";
import { Room } from "./room.ts";
import type { Landing } from "./segment.ts";
import { race, receipt } from "./waits.ts";

type Taken<Item, Batch> = (lane: Lane<Item, Batch>) => void;

/** The engine behind `createBatcher`: admission, the books, and the lanes that share them. */
export class Engine<Item, Batch, Entry> implements Batcher<Item, Batch> {
  readonly name: string;
  readonly #parts: Parts<Item, Batch, Entry>;
  readonly #books: Books = openBooks();
  readonly #lanes: readonly [Lane<Item, Batch>, ...Lane<Item, Batch>[]];
  readonly #admission = new Admission<Item>();
  readonly #room: Room;
  readonly #circuit: Circuit;
  readonly #emit: (event: UnnamedEvent) => void;
  #limits: Limits;
  #settings: Settings;
  #nextLane = 0;
  /** The accumulator that measured last. */
  #measured: Accumulator<Item, Batch>;
  #closing: Promise<CloseReport<Batch>> | undefined;

  constructor(options: BatcherOptions<Item, Batch, Entry>) {
    const parts = resolveParts(options);
    this.#parts = parts;
    this.#limits = { ...options };
    this.#settings = resolveLimits(options, parts.shape.keyed);
    this.name = parts.name;
    const { clock, random, shape, sink, deadLetter } = parts;
    const settings = (): Settings => this.#settings;
    const emit = emitter(parts.name, parts.observe, deadLetter !== undefined);
    this.#emit = emit;
    sink.check?.(shape.accumulator().seal(0).batch);
    this.#circuit = new Circuit(clock, random, () => this.#settings.retry, emit);
    const shared = { clock, random, books: this.#books, settings, emit };
    const sending = { ...shared, shape, sink, circuit: this.#circuit, deadLetter };
    const delivery = new Delivery<Batch, Entry>(sending);
    const [run, releases] = [uniqueId(), sink.releases === true];
    const onRoom = this.#onRoom.bind(this);
    const lane = (index: number): Lane<Item, Batch> => {
      const writer = `${parts.name}:${run}:${index}`;
      return new Lane(shape, { ...shared, writer, delivery, releases, onRoom });
    };
    const others = Array.from({ length: parts.lanes - 1 }, (_, index) => lane(index + 1));
    this.#lanes = [lane(0), ...others];
    this.#room = new Room(parts.name, this.#lanes, settings);
    this.#measured = this.#lanes[0].accumulator;
  }

  tryAdd(item: Item): boolean {
    this.#refuseWhenClosed();
    return this.#offer(item) || this.#overflow(item) === "taken";
  }

  async add(item: Item, options?: WaitOptions): Promise<void> {
    const { signal } = callOptions("add", options, ["signal"]);
    const fate = await this.#enter(item, signal);
    if (fate === "refused") throw this.#full();
  }

  async addMany(items: Iterable<Item> | AsyncIterable<Item>, options?: WaitOptions): Promise<void> {
    if (!(Symbol.iterator in Object(items) || isAsync(items))) {
      throw invalidOption("addMany: items", "an iterable of items", items);
    }
    const { signal } = callOptions("addMany", options, ["signal"]);
    const report = { accepted: 0 };
    try {
      this.#refuseWhenClosed();
      if (!isAsync(items)) await this.#addEach(items, signal, report);
      else for await (const item of items) await this.#addEach([item], signal, report);
    } catch (cause) {
      const message = `${report.accepted} items were accepted, and not the next: ${messageOf(cause)}`;
      const details = { cause, report };
      throw new SluiceError("SLUICE_ERR_ADD_INCOMPLETE", `${this.name}: ${message}`, details);
    }
  }

  async deliver(item: Item, options?: WaitOptions): Promise<Receipt> {
    const { signal } = callOptions("deliver", options, ["signal"]);
    const landings: Promise<Receipt>[] = [];
    const fate = await this.#enter(item, signal, (lane) => {
      const landing = receipt(lane, signal);
      landing.catch(() => undefined); // the caller sees it below, a tick later
      landings.push(landing);
    });
    if (fate === "refused") throw this.#full();
    const [landing] = landings;
    if (landing === undefined) throw droppedError("the buffer was full");
    return landing;
  }

  async flush(options?: FlushOptions): Promise<FlushStats> {
    const { clock } = this.#parts;
    const startedAt = clock.now();
    const { signal, timeoutMs: stated } = callOptions("flush", options, ["signal", "timeoutMs"]);
    signal?.throwIfAborted();
    const timeoutMs = checkTimeout(stated, Infinity);
    const landings: Landing<Batch>[] = [];
    const pending = this.#flushLanes("flush").map(async (landing) => landings.push(await landing));
    const report = (): FlushStats => {
      const { abandoned: _, ...figures } = sumLandings(landings);
      return { ...figures, durationMs: clock.now() - startedAt };
    };
    const ended = await race(clock, Promise.all(pending), timeoutMs, signal);
    if (ended === "timeout") {
      const waits = `${pending.length - landings.length} of ${pending.length} batches are on their way`;
      throw new SluiceError(
        "SLUICE_ERR_FLUSH_TIMEOUT",
        `${this.name}: after ${timeoutMs} ms, ${waits}; delivery goes on`,
        { cause: this.#books.lastError, report: report() },
      );
    }
    const stats = report();
    const [shortfall] = landings.flatMap(({ shortfalls }) => shortfalls);
    if (stats.committed === stats.items && shortfall === undefined) return stats;
    throw flushIncomplete(stats, shortfall?.error);
  }

  async close(options?: CloseOptions): Promise<CloseReport<Batch>> {
    const { timeoutMs: stated } = callOptions("close", options, ["timeoutMs"]);
    const timeoutMs = checkTimeout(stated, this.#settings.closeTimeoutMs);
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  stats(): Stats {
    return balance(this.#books, this.#lanes, {
      now: this.#parts.clock.now(),
      waiting: this.#admission.waiting,
      circuit: this.#circuit.open ? "open" : "closed",
    });
  }

  configure(limits: Limits): void {
    const merged = mergeLimits(this.#limits, limits);
    this.#settings = resolveLimits(merged, this.#parts.shape.keyed);
    this.#limits = merged;
    this.#room.forget();
    for (const lane of this.#lanes) lane.reconfigure();
    this.#admission.admit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const report = await this.close();
    const { items, committed, rejected, unknown, abandoned } = report;
    if (committed === items) return;
    const figures = { items, committed, deadLettered: rejected, dropped: abandoned, unknown };
    throw new SluiceError(
      "SLUICE_ERR_CLOSE_INCOMPLETE",
      `${this.name}: ${describeShortfall(figures)}`,
      { cause: this.#books.lastError, report },
    );
  }

  /** Takes the item in if it needs no room or there is some; `first` in the line of those who wait. */
  #offer(item: Item, taken?: Taken<Item, Batch>, first = false): boolean {
    const lane = this.#laneOf(item);
    const { accumulator } = lane;
    if (accumulator.absorb?.(item) === true) {
      this.#books.accepted += 1;
      taken?.(lane);
      return true;
    }
    accumulator.measure(item);
    if (accumulator.addsEntries > 0) {
      this.#measured = accumulator;
      if (!this.#room.has(accumulator) || (!first && this.#admission.waiting > 0)) {
        this.#room.refuseTooLarge(accumulator);
        return false;
      }
    }
    this.#room.take(accumulator); // for what is new, and for what makes held entries longer
    lane.extend();
    this.#books.accepted += accumulator.addsItems;
    accumulator.fold();
    taken?.(lane);
    return true;
  }

  /** Counts what it adds as it goes, and makes no promise where there is room. */
  async #addEach(
    items: Iterable<Item>,
    signal: AbortSignal | undefined,
    report: { accepted: number },
  ): Promise<void> {
    for (const item of items) {
      signal?.throwIfAborted();
      this.#refuseWhenClosed();
      const fate = this.#offer(item) || (await this.#enter(item, signal));
      if (fate === "refused") throw this.#full();
      report.accepted += 1;
    }
  }

  async #enter(
    item: Item,
    signal: AbortSignal | undefined,
    taken?: Taken<Item, Batch>,
  ): Promise<"taken" | "dropped" | "refused"> {
    signal?.throwIfAborted();
    this.#refuseWhenClosed();
    if (this.#offer(item, taken)) return "taken";
    if (this.#settings.overflow !== "wait") return this.#overflow(item, taken);
    const room = this.#admission.wait(item, (queued) => this.#offer(queued, taken, true), signal);
    this.#hurry();
    this.#emit({ type: "blocked", waiting: this.#admission.waiting });
    await room;
    return "taken";
  }

  /** Applies the overflow policy to the item measured last, for which there is no room. */
  #overflow(item: Item, taken?: Taken<Item, Batch>): "taken" | "dropped" | "refused" {
    const { overflow } = this.#settings;
    this.#hurry(true);
    if (overflow === "drop-oldest" && this.#room.wouldHave(this.#measured)) {
      while (this.#dropOldest()) {
        if (this.#offer(item, taken, true)) return "taken";
      }
    }
    const { addsItems: items, addsEntries: entries, addsBytes: bytes } = this.#measured;
    if (overflow === "wait" || overflow === "reject") {
      this.#books.refused += items;
      this.#emit({ type: "refused", items });
      return "refused";
    }
    // Nothing older can make room, or the policy spares what is older: this item goes.
    this.#books.accepted += items;
    this.#books.droppedByReason["drop-newest"] += items;
    this.#emit({ type: "dropped", reason: "drop-newest", items, entries, bytes });
    return "dropped";
  }

  #dropOldest(): boolean {
    const oldest = this.#lanes.reduce((a, b) =>
      (b.oldestAt ?? Infinity) < (a.oldestAt ?? Infinity) ? b : a,
    );
    return oldest.dropOldest(() => droppedError("newer items needed its room"));
  }

  #onRoom(): void {
    this.#admission.admit();
    if (this.#admission.waiting > 0) this.#hurry();
  }

  /** There is no room: nothing that is gathered may rest until it is due, least of all in idle lanes. */
  #hurry(idleOnly = false): void {
    const { maxBufferedEntries } = this.#settings;
    const full = this.#lanes.reduce((n, lane) => n + lane.heldEntries, 0) >= maxBufferedEntries;
    for (const lane of this.#lanes) {
      if (lane.idle || !idleOnly) lane.hurry(full ? "entries" : "bytes");
    }
  }

  #laneOf(item: Item): Lane<Item, Batch> {
    const first = this.#lanes[0];
    if (this.#lanes.length === 1) return first;
    const partition = this.#parts.shape.partition(item) ?? this.#nextLane++;
    return this.#lanes[partition % this.#lanes.length] ?? first;
  }

  #flushLanes(reason: "flush" | "close"): Promise<Landing<Batch>>[] {
    return this.#lanes.flatMap((lane) => lane.flush(reason));
  }

  async #close(timeoutMs: number): Promise<CloseReport<Batch>> {
    const { clock } = this.#parts;
    const startedAt = clock.now();
    this.#admission.rejectAll(() => this.#closed());
    const drained = Promise.all(this.#flushLanes("close"));
    if ((await race(clock, drained, timeoutMs)) === "timeout") {
      const reason = this.#closed();
      detached(() => {
        for (const lane of this.#lanes) lane.abort(reason);
      });
    }
    const landings = await drained;
    const { items, committed, deadLettered, abandoned, unknown } = sumLandings(landings);
    const durationMs = clock.now() - startedAt;
    this.#emit({ type: "closed", durationMs });
    return {
      items,
      committed,
      rejected: deadLettered,
      unknown,
      abandoned,
      durationMs,
      undelivered: undelivered(landings),
      stats: this.stats(),
    };
  }

  #refuseWhenClosed(): void {
    if (this.#closing !== undefined) throw this.#closed();
  }

  #closed(): SluiceError {
    return new SluiceError(
      "SLUICE_ERR_BATCHER_CLOSED",
      `${this.name} is closed and takes nothing more`,
    );
  }

  #full(): SluiceError {
    const { heldEntries, heldBytes } = this.stats();
    return new SluiceError(
      "SLUICE_ERR_BATCHER_FULL",
      `${this.name} is full: it holds ${heldEntries} entries and ${heldBytes} bytes; slow down, or raise its limits`,
    );
  }
}

const isAsync = <Item>(items: object | string): items is AsyncIterable<Item> =>
  Symbol.asyncIterator in Object(items);

function droppedError(why: string): SluiceError {
  return new SluiceError("SLUICE_ERR_DELIVERY_DROPPED", `the item was dropped: ${why}`);
}
