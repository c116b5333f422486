import { endOfTick, type Timer } from "../clock.ts";
import { SluiceError } from "../errors.ts";
import type { DropReason, FlushReason } from "../events.ts";
import type { Accumulator, Sealed, Shape, Size } from "../shapes/shape.ts";
import { Abort } from "./abort.ts";
import { detached } from "./detached.ts";
import type { Settings } from "./options.ts";
import type { LaneIdentity, LaneOfGroup, LaneParts } from "./lane-parts.ts";
import { type Claim, type Landing, type Segment, segmentOf, settle, type Wait } from "./segment.ts";

/** A strictly serial path to the sink: one accumulator, one loop, at most one batch in flight. */
export class Lane<Item, Batch> {
  place = -1;
  readonly accumulator: Accumulator<Item, Batch>;
  readonly #parts: LaneParts<Batch>;
  readonly #identity: LaneIdentity;
  readonly #call: LaneOfGroup | undefined;
  readonly #segments: Segment<Batch>[] = [];
  readonly #abort = new Abort();
  #inFlight: { segment: Segment<Batch>; items: number; entries: number; bytes: number } | undefined;
  #running = false;
  #timer: Timer;
  #nextOrdinal = 0;
  #seq = 0;
  #dropReason: DropReason = "close";

  constructor(shape: Shape<Item, Batch>, parts: LaneParts<Batch>, identity: LaneIdentity) {
    this.accumulator = shape.accumulator();
    this.#parts = parts;
    this.#identity = identity;
    this.#call = identity.call;
  }

  /** Nothing is in flight or about to be. */
  get idle(): boolean {
    return !this.#running;
  }

  get heldItems(): number {
    return this.accumulator.items + (this.#inFlight?.items ?? 0);
  }

  get heldEntries(): number {
    return this.accumulator.entries + (this.#inFlight?.entries ?? 0);
  }

  get heldBytes(): number {
    return this.accumulator.bytes + (this.#inFlight?.bytes ?? 0);
  }

  /** Whether a batch is gathering that something may still join. */
  get gathers(): boolean {
    const open = this.#segments[this.#segments.length - 1];
    return open !== undefined && open.reason === undefined;
  }

  /** When the oldest gathered item came, on the clock; `undefined` when nothing is gathered. */
  get oldestAt(): number | undefined {
    return this.#segments[0]?.firstAt;
  }

  /** Claims the entries that hold the item folded last: the claims on each of them, this one among them. */
  claimFolded(claim: Claim): readonly Claim[][] {
    return this.accumulator.ordinals().map((ordinal) => {
      const segment = segmentOf(this.#segments, ordinal);
      const claims = segment?.claims.get(ordinal) ?? [];
      if (claims.push(claim) === 1) segment?.claims.set(ordinal, claims);
      return claims;
    });
  }

  /** Lets everything gathered leave as soon as it can. */
  hurry(reason: FlushReason): void {
    const open = this.#segments.at(-1);
    if (open !== undefined) this.#close(open, reason);
  }

  /** Nothing came. */
  spare(): void {
    if (!this.#running && this.#segments.length === 0) this.#call?.ended();
  }

  /** What is gathered is due, and gathers on until it can leave. */
  expedite(): void {
    for (const segment of this.#segments) segment.patience = 0;
    if (this.#segments.length > 0) this.#wake();
  }

  /** Lets everything gathered leave, and tells what becomes of it and of what is in flight. */
  flush(reason: FlushReason): Wait<Batch>[] {
    this.hurry(reason);
    const segments = [...this.#segments];
    if (this.#inFlight !== undefined) segments.unshift(this.#inFlight.segment);
    return segments.map((segment) => {
      const before = segment.droppedItems;
      let leave = (): void => undefined;
      const landed = new Promise<Landing<Batch>>((resolve) => {
        const watcher = (landing: Landing<Batch>): void => {
          const [items, droppedItems] = [landing.items - before, landing.droppedItems - before];
          resolve({ ...landing, items, droppedItems });
        };
        segment.watchers.add(watcher);
        leave = () => void segment.watchers.delete(watcher);
      });
      return { landed, leave: () => leave() };
    });
  }

  /** Tells what becomes of the batch that gathers. */
  watch(watcher: (landing: Landing<Batch>) => void): void {
    this.#segments[this.#segments.length - 1]?.watchers.add(watcher);
  }

  /** Forgets the oldest entry that is not sealed. False when there is none. */
  dropOldest(reason: DropReason, error: () => SluiceError): boolean {
    const segment = this.#segments[0];
    if (segment === undefined) return false;
    const size = this.accumulator.dropOldest();
    this.#parts.books.droppedByReason[reason] += size.items;
    segment.droppedItems += size.items;
    const claims = segment.claims.get(segment.first) ?? [];
    segment.claims.delete(segment.first);
    for (const claim of claims) claim(error(), { attempts: 0, items: 0, entries: 0 });
    segment.first += 1;
    segment.entries -= 1;
    segment.bytes = Math.max(0, segment.bytes - size.bytes);
    if (segment.entries === 0) {
      this.#segments.shift();
      this.#rearm();
      settle(segment, undefined, undefined, 0);
    }
    this.#parts.emit({ type: "dropped", reason, ...size });
    return true;
  }

  /** Applies changed limits to what is gathered already. */
  reconfigure(): void {
    const open = this.#segments.at(-1);
    if (open?.reason === undefined && open !== undefined)
      this.#closeIfFull(open, this.#parts.settings());
    this.#rearm();
  }

  /** Gives up: what is in flight becomes unknown, what is gathered abandoned. */
  abort(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /** Nobody cares any more: what is gathered is never sent, what is in flight is given up. */
  withdraw(error: SluiceError): void {
    this.#dropReason = "withdrawn";
    for (const segment of this.#segments) segment.reason ??= "flush"; // nothing joins it any more
    this.#abort.abort(error);
    const left = { items: 0, entries: this.accumulator.entries, bytes: this.accumulator.bytes };
    while (this.dropOldest("withdrawn", () => error));
    this.#parts.onRoom(left);
  }

  /** Makes place in the segments for the entries that the item measured last is about to add. */
  extend(): void {
    const settings = this.#parts.settings();
    const { addsEntries: entries } = this.accumulator;
    const bytes = this.accumulator.addsBytes - this.#grow(settings);
    if (entries === 0) return;
    const { maxEntries, maxBytes } = settings;
    let open = this.#segments[this.#segments.length - 1]; // .at(-1) is a call, and this is hot
    if (open?.reason === undefined && open !== undefined) {
      if (open.entries + entries > maxEntries) this.#close(open, "entries");
      else if (open.bytes + bytes > maxBytes) this.#close(open, "bytes");
    }
    if (open === undefined || open.reason !== undefined) open = this.#begin(settings);
    open.entries += entries;
    open.bytes += bytes;
    this.#nextOrdinal += entries;
    this.#closeIfFull(open, settings);
  }

  /** Held entries become longer, or shorter; says by how much. A segment may be full by that. */
  #grow(settings: Settings): number {
    if (this.accumulator.growth === undefined) return 0;
    let sum = 0;
    for (const { ordinal, bytes } of this.accumulator.growth()) {
      const segment = segmentOf(this.#segments, ordinal);
      sum += bytes;
      if (segment === undefined) continue;
      segment.bytes += bytes;
      if (segment.reason === undefined) this.#closeIfFull(segment, settings);
    }
    return sum;
  }

  /** A new segment, whose time begins. */
  #begin({ maxDelayMs, dispatchWhenIdle }: Settings): Segment<Batch> {
    const { clock, random } = this.#parts;
    const hasTime = maxDelayMs > 0 && !(dispatchWhenIdle && (this.#call?.alone() ?? true));
    const segment: Segment<Batch> = {
      first: this.#nextOrdinal,
      entries: 0,
      bytes: 0,
      firstAt: clock.now(),
      patience: hasTime ? 1 - random() / 10 : 0,
      reason: undefined,
      droppedItems: 0,
      watchers: new Set(),
      claims: new Map(),
    };
    this.#segments.push(segment);
    if (hasTime) this.#rearm();
    else this.#wake();
    return segment;
  }

  #closeIfFull(open: Segment<Batch>, { maxEntries, maxBytes }: Settings): void {
    if (open.entries >= maxEntries) this.#close(open, "entries");
    else if (open.bytes >= maxBytes) this.#close(open, "bytes");
  }

  #dueAt(segment: Segment<Batch>): number {
    return segment.firstAt + this.#parts.settings().maxDelayMs * segment.patience;
  }

  #close(segment: Segment<Batch>, reason: FlushReason): void {
    segment.reason ??= reason;
    this.#wake();
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    this.#cancelTimer();
    detached(() => {
      void this.#run();
    });
  }

  /** Arms the one timer of an idle lane for the age of its oldest segment. */
  #rearm(): void {
    if (this.#running) return;
    this.#cancelTimer();
    const oldest = this.#segments[0];
    const { clock } = this.#parts;
    if (oldest === undefined) {
      this.#call?.ended();
      return;
    }
    detached(() => {
      this.#timer = clock.schedule(() => {
        this.#timer = undefined;
        this.#wake();
      }, this.#dueAt(oldest) - clock.now());
    });
  }

  #cancelTimer(): void {
    if (this.#timer !== undefined) this.#parts.clock.cancel(this.#timer);
    this.#timer = undefined;
  }

  async #run(): Promise<void> {
    const { clock, settings } = this.#parts;
    const call = this.#call;
    // The caller's own code goes on first: a sink never runs inside add.
    await (call === undefined ? undefined : endOfTick());
    for (;;) {
      const segment = this.#segments[0];
      if (segment === undefined) break;
      const startedAt = clock.now();
      if (segment.reason === undefined && startedAt < this.#dueAt(segment)) break;
      if (call?.turn.tryTake() === false) {
        await call.turn.take(startedAt + settings().deliveryTimeoutMs, this.#abort);
        if (this.#segments[0] !== segment) continue; // withdrawn meanwhile
      }
      this.#segments.shift();
      await this.#send(segment, segment.reason ?? "delay", startedAt);
    }
    call?.turn.giveBack(); // what is left, if anything, is not due
    this.#running = false;
    this.#rearm();
  }

  async #send(segment: Segment<Batch>, reason: FlushReason, startedAt: number): Promise<void> {
    const { books, clock, delivery, emit, onRoom, releases } = this.#parts;
    const { call, gate, writer } = this.#identity;
    const sealed = this.#seal(segment);
    if (sealed === undefined) return;
    const { batch, items, entries, bytes } = sealed;
    const flight = { segment, items, entries, bytes };
    this.#inFlight = flight;
    this.#seq += 1;
    const id = Object.freeze({ writer, seq: this.#seq });
    const ageMs = clock.now() - segment.firstAt;
    emit({ type: "sealed", id, reason, ageMs, items, entries, bytes });
    const release = (released: number): void => {
      flight.items -= released;
    };
    const rest = (): Size => flight;
    const settlement = await delivery.deliver({
      batch,
      id,
      gate,
      apart: call !== undefined,
      startedAt,
      abort: this.#abort,
      dropReason: () => this.#dropReason,
      release,
      rest,
    });
    this.#inFlight = undefined;
    books.batches += 1;
    books.entries += entries;
    settle(segment, sealed, settlement, ageMs);
    // An attempt before the last may still be reading it.
    const taken = settlement.attempts === 1 && settlement.committed === items;
    if (releases && taken) this.accumulator.recycle?.(batch);
    onRoom(sealed);
  }

  /** A shape of somebody else's may throw: its items stay held, and nobody waits for ever. */
  #seal(segment: Segment<Batch>): Sealed<Batch> | undefined {
    try {
      return this.accumulator.seal(segment.entries);
    } catch (error) {
      this.#parts.emit({ type: "warning", error });
      const lost = new SluiceError("SLUICE_ERR_DELIVERY_UNKNOWN", "the batch could not be sealed", {
        cause: error,
      });
      settle(segment, undefined, undefined, 0, lost);
      return undefined;
    }
  }
}
