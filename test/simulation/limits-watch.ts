import { isSluiceError, type SluiceEvent, type Stats } from "sluice";
import { idOf } from "./attempts.ts";

/** What has become of the items of one batch, by its events. */
interface Flight {
  readonly sealedRan: number;
  readonly items: number;
  committed: number;
  deadLettered: number;
  unknown: number;
  deadLetters: number;
}

/** The limits that a program runs under. */
export interface WatchedLimits {
  maxDelayMs: number;
  maxEntries: number;
  readonly maxBytes: number;
  /** How many entries one item may have. */
  readonly entriesPerItem: number;
  readonly retry: {
    readonly maxDelayMs: number;
    readonly circuitAfter: number;
    readonly maxAttempts: number;
  };
  readonly deliveryTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly lanes: number;
  /** By how many bytes a held entry may grow without room. */
  readonly growthBytes: number;
  maxBufferedEntries: number;
  maxBufferedBytes: number;
}

const ENDINGS = ["committed", "deadLettered", "unknown"] as const;
/** What the items of a batch end in, and those of a batcher. */
type Ending = (typeof ENDINGS)[number];
type Account = Ending | "dropped";

/** Holds a batcher's own account of itself against its events and its limits, at every step. */
export class LimitsWatch {
  readonly flights = new Map<string, Flight>();
  readonly #writers = new Map<string, number>();
  readonly #sizes = new Set<string>();
  readonly #limits: WatchedLimits;
  readonly #ran: () => number;
  readonly #stats: () => Stats;
  readonly #fail: (what: string) => void;
  readonly #counted: Record<Account, number> = {
    committed: 0,
    deadLettered: 0,
    unknown: 0,
    dropped: 0,
  };
  #sealedEntries = 0;
  #droppedEntries = 0;
  /** When each entry that is gathered came to be, oldest first. */
  readonly #born: number[] = [];
  #created = 0;
  #allowedEntries: number;
  #allowedBytes: number;
  closing = false;

  constructor(
    limits: WatchedLimits,
    parts: {
      readonly ran: () => number;
      readonly stats: () => Stats;
      readonly fail: (what: string) => void;
    },
  ) {
    this.#limits = limits;
    this.#ran = parts.ran;
    this.#stats = parts.stats;
    this.#fail = parts.fail;
    this.#allowedEntries = limits.maxBufferedEntries;
    this.#allowedBytes = limits.maxBufferedBytes;
  }

  /** What has gathered under other limits may still be as large as those allowed. */
  #mostEntries = 0;
  /** When limits were last changed: what is too old by that leaves as soon as time goes on. */
  #configuredRan = -1;
  /** How many batches were sealed. */
  sealed = 0;
  /** Items that overflow has taken back: they were accepted, and have gone. */
  droppedOldest = 0;

  /** Failures in a row, as far as events tell. */
  #failures = 0;
  #isOpen = false;

  see(event: SluiceEvent): void {
    switch (event.type) {
      case "circuit":
        this.#isOpen = event.state === "open";
        return;
      case "retried":
        this.#retried(event);
        return;
      case "sealed":
        this.#sealed(event);
        return;
      case "committed":
        this.#counted.committed += event.items;
        this.answered();
        this.#flight(event.id).committed += event.items;
        return;
      case "dead-lettered":
        this.#counted.deadLettered += event.items;
        this.answered(); // for all that is known
        this.#flight(event.id).deadLettered += event.items;
        this.#flight(event.id).deadLetters += 1;
        return;
      case "unknown":
        this.#counted.unknown += event.items;
        this.answered();
        this.#flight(event.id).unknown += event.items;
        return;
      case "dropped":
        this.#counted.dropped += event.items;
        if (event.reason !== "drop-oldest") return;
        this.droppedOldest += event.items;
        this.#droppedEntries += event.entries;
        this.#note();
        this.#born.splice(0, event.entries);
        return;
      default:
        return;
    }
  }

  /** Whether a batch of this size was sealed; overflow may have taken from it before. */
  hasSealed(items: number, entries: number): boolean {
    return this.droppedOldest > 0 || this.#sizes.has(`${items}/${entries}`);
  }

  /** The store has answered: failures are counted anew. */
  answered(): void {
    this.#failures = 0;
  }

  /** After each step: the books, the limits, and the ages. */
  check(stats: Stats): void {
    const { accepted, committed, deadLettered, dropped, unknown, held } = stats;
    if (accepted !== committed + deadLettered + dropped + unknown + held) {
      const books = { accepted, committed, deadLettered, dropped, unknown, held };
      this.#fail(`the books do not balance: ${JSON.stringify(books)}`);
    }
    for (const [account, items] of Object.entries(this.#counted)) {
      const booked = stats[account as Account];
      if (booked !== items)
        this.#fail(`${account} is ${booked} in the books and ${items} by events`);
    }
    this.#checkLimits(stats);
    this.#checkAges(stats);
    this.#checkDeadlines();
  }

  /**
   * What the batches in flight have come to so far: a close that begins now tells of the whole of them.
   * Undefined where it cannot be told which they are: one may be waiting for its dead letters alone.
   */
  underWay(batches: number): Record<Ending, number> | undefined {
    const sum = { committed: 0, deadLettered: 0, unknown: 0 };
    let flights = 0;
    for (const flight of this.flights.values()) {
      const { items, committed, deadLettered, unknown } = flight;
      if (committed + deadLettered + unknown === items) continue;
      flights += 1;
      for (const ending of ENDINGS) sum[ending] += flight[ending];
    }
    return flights === this.sealed - batches ? sum : undefined;
  }

  /** The limits have changed: what is held already may stay, and what has gathered too long must go. */
  configure(
    changes: Pick<WatchedLimits, "maxBufferedEntries" | "maxEntries" | "maxDelayMs">,
  ): void {
    this.#mostEntries = Math.max(this.#mostEntries, this.#limits.maxEntries);
    Object.assign(this.#limits, changes);
    this.#configuredRan = this.#ran();
  }

  /** A pause is as long as the store asked for, or else within limits; after enough failures the circuit opens. */
  #retried({ id, attempt, delayMs, error }: Extract<SluiceEvent, { type: "retried" }>): void {
    const { maxDelayMs, circuitAfter, maxAttempts } = this.#limits.retry;
    const asked = isSluiceError(error) ? (error.retryAfterMs ?? 0) : 0;
    const least = Number.isFinite(asked) ? asked : 0;
    if (delayMs < Math.max(1, least) || delayMs > Math.max(1, maxDelayMs, least))
      this.#fail(
        `${idOf(id)} pauses for ${delayMs} ms: ${least} were asked, ${maxDelayMs} are the most`,
      );
    if (attempt >= maxAttempts) this.#fail(`${idOf(id)} is tried again after ${attempt} attempts`);
    this.#failures += 1;
    // With several lanes another may just have had an answer of which no event has told yet.
    if (this.#limits.lanes === 1 && this.#failures >= circuitAfter && !this.#isOpen)
      this.#fail(`the circuit is closed after ${this.#failures} failures in a row`);
  }

  /** A batch is no larger than it may be, but for an item that is. */
  #checkSize({ id, entries, bytes }: Extract<SluiceEvent, { type: "sealed" }>): void {
    const { maxEntries, maxBytes, entriesPerItem, growthBytes } = this.#limits;
    if (entries > Math.max(this.#mostEntries, maxEntries, entriesPerItem))
      this.#fail(`${idOf(id)} has ${entries} entries of ${maxEntries}`);
    if (entries > entriesPerItem && bytes > maxBytes + growthBytes * entries)
      this.#fail(`${idOf(id)} has ${bytes} bytes of ${maxBytes}`);
  }

  #checkLimits({ heldEntries, heldBytes, held }: Stats): void {
    const { maxBufferedEntries, maxBufferedBytes, growthBytes } = this.#limits;
    if (heldEntries > this.#allowedEntries)
      this.#fail(`${heldEntries} entries are held of ${this.#allowedEntries}`);
    if (heldBytes > this.#allowedBytes + growthBytes * heldEntries)
      this.#fail(`${heldBytes} bytes are held of ${this.#allowedBytes}`);
    this.#allowedEntries = Math.max(
      maxBufferedEntries,
      Math.min(this.#allowedEntries, heldEntries),
    );
    this.#allowedBytes = Math.max(maxBufferedBytes, Math.min(this.#allowedBytes, heldBytes));
    // A batch holds its room until its dead letters have been received, though its items have settled.
    if ((held > 0 && heldEntries === 0) || (heldEntries === 0 && heldBytes !== 0))
      this.#fail(`${held} items in ${heldEntries} entries of ${heldBytes} bytes are held`);
  }

  /** An idle lane keeps nothing for longer than maxDelayMs, counted from its first item. */
  #checkAges(stats: Stats): void {
    this.#note(stats);
    const { entries } = stats;
    const [oldest] = this.#born;
    const idle = this.#sealedEntries === entries;
    if (this.#limits.lanes > 1 || !idle || oldest === undefined) return;
    if (this.#ran() === this.#configuredRan) return;
    const age = this.#ran() - oldest;
    if (age > this.#limits.maxDelayMs + 1e-6)
      this.#fail(
        `an entry is ${age} ms old in an idle lane: maxDelayMs is ${this.#limits.maxDelayMs}`,
      );
  }

  /** Notes the birth of entries that have come to be. */
  #note(stats?: Stats): void {
    if (this.#limits.lanes > 1) return;
    const { heldEntries, entries } = stats ?? this.#stats();
    const created = heldEntries + entries + this.#droppedEntries;
    for (; this.#created < created; this.#created += 1) this.#born.push(this.#ran());
  }

  #checkDeadlines(): void {
    const { deliveryTimeoutMs, writeTimeoutMs } = this.#limits;
    for (const [name, flight] of this.flights) {
      const { sealedRan, items, committed, deadLettered, unknown, deadLetters } = flight;
      const settled = committed + deadLettered + unknown;
      if (settled > items) this.#fail(`${name}: ${settled} items of ${items} have settled`);
      // Each dead letter may be waited for.
      const late = this.#ran() - sealedRan - deliveryTimeoutMs - deadLetters * writeTimeoutMs;
      if (settled < items && late > 1e-6 && !this.closing)
        this.#fail(
          `${name}: ${items - settled} of ${items} items have not settled ${late} ms after their time`,
        );
    }
  }

  #sealed(event: Extract<SluiceEvent, { type: "sealed" }>): void {
    const { id, items, entries } = event;
    this.#checkSize(event);
    const before = this.#writers.get(id.writer) ?? 0;
    if (id.seq !== before + 1) this.#fail(`${idOf(id)} follows ${before}`);
    const flight = this.flights.get(`${id.writer}#${before}`);
    if (flight !== undefined && !this.closing) {
      const { committed, deadLettered, unknown } = flight;
      const open = flight.items - committed - deadLettered - unknown;
      if (open !== 0)
        this.#fail(`${idOf(id)} was sealed while ${open} items before it were in flight`);
    }
    this.#writers.set(id.writer, id.seq);
    this.sealed += 1;
    this.#sizes.add(`${items}/${entries}`);
    this.#sealedEntries += entries;
    this.#note();
    this.#born.splice(0, entries);
    this.flights.set(idOf(id), {
      sealedRan: this.#ran(),
      items,
      committed: 0,
      deadLettered: 0,
      unknown: 0,
      deadLetters: 0,
    });
    if (this.flights.size > 64) this.#forget();
  }

  /** Those that have settled need no watching. */
  #forget(): void {
    for (const [name, { items, committed, deadLettered, unknown }] of this.flights) {
      if (committed + deadLettered + unknown === items) this.flights.delete(name);
    }
  }

  #flight({ writer, seq }: { readonly writer: string; readonly seq: number }): Flight {
    const flight = this.flights.get(`${writer}#${seq}`);
    if (flight !== undefined) return flight;
    this.#fail(`${writer}#${seq} was never sealed`);
    return { sealedRan: 0, items: 0, committed: 0, deadLettered: 0, unknown: 0, deadLetters: 0 };
  }
}
