import { uniqueId } from "../clock.ts";
import { messageOf, SluiceError } from "../errors.ts";
import type { UnnamedEvent } from "../events.ts";
import type { Accumulator, Size } from "../shapes/shape.ts";
import { Admission } from "./admission.ts";
import type { Batcher, CloseOptions, FlushOptions, WaitOptions } from "./batcher.ts";
import { type Books, balance, openBooks, type Stats } from "./books.ts";
import { Circuit } from "./circuit.ts";
import { Delivery } from "./delivery.ts";
import { detached } from "./detached.ts";
import { emitter } from "./emitter.ts";
import { Lane } from "./lane.ts";
import { type Lanes, lanesOf, type MakeLane } from "./lanes.ts";
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
  closeIncomplete,
  closeReport,
  droppedError,
  type FlushStats,
  flushIncomplete,
  type Receipt,
  sumLandings,
} from "./reports.ts";
import { Room } from "./room.ts";
import type { Landing, Wait } from "./segment.ts";
import { race, receipt } from "./waits.ts";

/** The engine behind `createBatcher`: admission, the books, and the lanes that share them. */
export class Engine<Item, Batch, Entry> implements Batcher<Item, Batch> {
  readonly name: string;
  readonly #parts: Parts<Item, Batch, Entry>;
  readonly #books: Books = openBooks();
  readonly #lanes: Lanes<Item, Batch>;
  readonly #admission = new Admission<Item>();
  readonly #room: Room;
  readonly #delivery: Delivery<Batch, Entry>;
  readonly #circuit: Circuit;
  readonly #emit: (event: UnnamedEvent) => void;
  #limits: Limits;
  #settings: Settings;
  /** The accumulator that measured last. */
  #measured: Accumulator<Item, Batch> | undefined;
  /** What is gathered and has been told to leave, as far as nothing has come or landed since. */
  #hurried: "none" | "idle" | "all" = "none";
  #closing: Promise<CloseReport<Batch>> | undefined;

  /** `told` receives every event instead of `observe`. */
  constructor(options: BatcherOptions<Item, Batch, Entry>, told?: (event: UnnamedEvent) => void) {
    const parts = resolveParts(options);
    this.#parts = parts;
    this.#limits = { ...options };
    this.#settings = resolveLimits(options, parts.shape.keyed);
    this.name = parts.name;
    const { clock, random, shape, sink, deadLetter } = parts;
    const settings = (): Settings => this.#settings;
    const emit = told ?? emitter(parts.name, parts.observe, deadLetter !== undefined);
    this.#emit = emit;
    sink.check?.(shape.accumulator().seal(0).batch);
    this.#circuit = new Circuit(clock, random, () => this.#settings.retry, emit);
    const shared = { clock, random, books: this.#books, settings, emit };
    const delivery = (this.#delivery = new Delivery({ ...shared, shape, sink, deadLetter }));
    const [run, releases] = [uniqueId(), sink.releases === true];
    const onRoom = this.#onRoom.bind(this);
    const common = { ...shared, delivery, releases, onRoom };
    const make: MakeLane<Item, Batch> = (index, call) => {
      const writer = `${parts.name}:${run}:${index}`;
      return new Lane(shape, common, { writer, gate: call?.turn ?? this.#circuit, call });
    };
    this.#lanes = lanesOf(shape, parts.lanes, shared, make);
    this.#room = new Room(parts.name, this.#lanes, settings);
  }

  /** Takes the item in if it can at once, and says where. Throws when the item can never be. */
  offer(item: Item): Lane<Item, Batch> | undefined {
    this.#refuseWhenClosed();
    return this.#offer(item);
  }

  tryAdd(item: Item): boolean {
    return this.offer(item) !== undefined || this.#overflow(item) === "taken";
  }

  async add(item: Item, options?: WaitOptions): Promise<void> {
    const { signal } = callOptions("add", options, ["signal"]);
    await this.enter(item, signal);
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
    await this.enter(item, signal, (lane) => {
      const landing = receipt(lane, signal);
      landing.catch(() => undefined); // the caller sees it below, a tick later
      landings.push(landing);
    });
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
    const waits = this.#flushLanes("flush");
    const all = Promise.all(waits.map(async ({ landed }) => landings.push(await landed)));
    const report = (): FlushStats => {
      const { abandoned: _, ...figures } = sumLandings(landings);
      return { ...figures, durationMs: clock.now() - startedAt };
    };
    const leave = (): void => waits.forEach((wait) => wait.leave());
    const ended = await race(clock, all, timeoutMs, signal).finally(leave);
    if (ended === "timeout") {
      const open = `${waits.length - landings.length} of ${waits.length} batches are on their way`;
      const message = `${this.name}: after ${timeoutMs} ms, ${open}; delivery goes on`;
      const details = { cause: this.#books.lastError, report: report() };
      throw new SluiceError("SLUICE_ERR_FLUSH_TIMEOUT", message, details);
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
    if (report.committed === report.items) return;
    throw closeIncomplete(this.name, report, this.#books.lastError);
  }

  /** Takes the item in if it needs no room or there is some; `first` in the line of those who wait. */
  #offer(item: Item, first = false): Lane<Item, Batch> | undefined {
    const lane = this.#lanes.of(item);
    const { accumulator } = lane;
    if (accumulator.absorb?.(item) === true) {
      this.#books.accepted += 1;
      return lane;
    }
    try {
      accumulator.measure(item);
    } catch (error) {
      lane.spare();
      throw error;
    }
    if (accumulator.addsEntries > 0) {
      this.#measured = accumulator;
      if (!this.#room.has(accumulator) || (!first && this.#admission.waiting > 0)) {
        lane.spare();
        this.#room.refuseTooLarge(accumulator);
        return undefined;
      }
    }
    this.#room.take(accumulator); // for what is new, and for what makes held entries longer
    lane.extend();
    this.#books.accepted += accumulator.addsItems;
    accumulator.fold();
    this.#hurried = "none";
    return lane;
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
      if (this.#offer(item) === undefined) await this.enter(item, signal);
      report.accepted += 1;
    }
  }

  /** Takes the item in, or drops it, as `overflow` says; `taken` hears at once where it went. */
  async enter(
    item: Item,
    signal: AbortSignal | undefined,
    taken?: (lane: Lane<Item, Batch>) => void,
  ): Promise<void> {
    signal?.throwIfAborted();
    this.#refuseWhenClosed();
    const take = (candidate: Item, first: boolean): boolean => {
      const lane = this.#offer(candidate, first);
      if (lane !== undefined) taken?.(lane);
      return lane !== undefined;
    };
    if (take(item, false)) return;
    if (this.#settings.overflow !== "wait") {
      if (this.#overflow(item, taken) === "refused") throw this.#room.full();
      return;
    }
    const room = this.#admission.wait(item, (queued) => take(queued, true), signal);
    this.#hurry();
    this.#emit({ type: "blocked", waiting: this.#admission.waiting });
    await room;
  }

  /** Applies the overflow policy to the item measured last, for which there is no room. */
  #overflow(
    item: Item,
    taken?: (lane: Lane<Item, Batch>) => void,
  ): "taken" | "dropped" | "refused" {
    const { overflow } = this.#settings;
    const measured = this.#measured ?? { addsItems: 1, addsEntries: 1, addsBytes: 0 };
    const { addsItems: items, addsEntries: entries, addsBytes: bytes } = measured;
    this.#hurry(true);
    if (overflow === "drop-oldest" && this.#room.wouldHave(measured)) {
      while (this.#dropOldest()) {
        const lane = this.#offer(item, true);
        if (lane === undefined) continue;
        taken?.(lane);
        return "taken";
      }
    }
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
    let oldest: Lane<Item, Batch> | undefined;
    for (const lane of this.#lanes) {
      if ((lane.oldestAt ?? Infinity) < (oldest?.oldestAt ?? Infinity)) oldest = lane;
    }
    this.#room.forget();
    const error = (): SluiceError => droppedError("newer items needed its room");
    return oldest?.dropOldest("drop-oldest", error) ?? false;
  }

  #onRoom(left: Size): void {
    // Shapes with groups measure what they hold exactly, and may have too many lanes to ask.
    if (this.#parts.shape.group === undefined) this.#room.forget();
    else this.#room.give(left);
    if (this.#hurried === "idle") this.#hurried = "none";
    this.#admission.admit();
    if (this.#admission.waiting > 0) this.#hurry();
  }

  /** There is no room: nothing that is gathered may rest until it is due, least of all in idle lanes. */
  #hurry(idleOnly = false): void {
    if (this.#hurried === "all" || (idleOnly && this.#hurried === "idle")) return;
    this.#hurried = idleOnly ? "idle" : "all";
    // Lanes of groups are all awake then, and may be thousands.
    if (this.#settings.maxDelayMs === 0 && this.#parts.shape.group !== undefined) return;
    const lanes = Array.from(this.#lanes);
    const { maxBufferedEntries } = this.#settings;
    const full = lanes.reduce((n, lane) => n + lane.heldEntries, 0) >= maxBufferedEntries;
    for (const lane of lanes) {
      if (lane.idle || !idleOnly) lane.hurry(full ? "entries" : "bytes");
    }
  }

  #flushLanes(reason: "flush" | "close"): Wait<Batch>[] {
    return Array.from(this.#lanes).flatMap((lane) => lane.flush(reason));
  }

  async #close(timeoutMs: number): Promise<CloseReport<Batch>> {
    const { clock } = this.#parts;
    const startedAt = clock.now();
    this.#admission.rejectAll(() => this.#closed());
    const drained = Promise.all(this.#flushLanes("close").map(({ landed }) => landed));
    const over = drained.then(() => this.#delivery.handedOver());
    if ((await race(clock, over, timeoutMs)) === "timeout") {
      const reason = this.#closed();
      detached(() => {
        for (const part of [...this.#lanes, this.#delivery]) part.abort(reason);
      });
    }
    await over;
    const durationMs = clock.now() - startedAt;
    this.#emit({ type: "closed", durationMs });
    return closeReport(await drained, durationMs, this.stats());
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
}

const isAsync = <Item>(items: object | string): items is AsyncIterable<Item> =>
  Symbol.asyncIterator in Object(items);
