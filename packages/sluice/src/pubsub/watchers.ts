/**
 * Readers that want to know when something changes: they read for themselves, when a payload names
 * their key, when payloads may have been missed, and every few seconds in any case.
 */
import { onAbort } from "../core/abort.ts";
import type { Clock, Random } from "../clock.ts";
import { race, within } from "../core/waits.ts";
import { messageOf, quote } from "../errors.ts";
import type { Pubsub, Subscription } from "./pubsub.ts";

/** What watchers of one channel share. */
export interface WatcherParts<View> {
  readonly pubsub: Pubsub;
  readonly channel: string;
  /** The keys that a payload names. */
  readonly unpack: (payload: string) => readonly string[];
  /** Reads what a key stands for. `state` is equal for equal views. */
  readonly read: (
    key: string,
    signal: AbortSignal,
  ) => Promise<{ readonly view: View; readonly state: string }>;
  readonly clock: Clock;
  readonly random: Random;
  /** A watcher reads at least this often. */
  readonly pollIntervalMs: number;
  /** And at most this often. */
  readonly readIntervalMs: number;
  /** Is told of reads that fail, and of payloads that name nothing. */
  readonly warn: (error: unknown) => void;
}

/** How long a first read waits for the subscription before it. */
const SUBSCRIBE_PATIENCE_MS = 2_000;
/** The least pause after a read that failed; it doubles up to `pollIntervalMs`. */
const FIRST_RETRY_MS = 1_000;
/** How long a read may take. */
const READ_TIMEOUT_MS = 10_000;

/** One who watches. */
interface Watcher {
  /** There may be something new to read. */
  changed: boolean;
  /** Ends a pause. */
  wake: () => void;
  /** Aborted when it is to end. */
  readonly end: AbortController;
}

/** All watchers of one channel in this process. They share one subscription while there are any. */
export class Watchers<View> {
  readonly #parts: WatcherParts<View>;
  readonly #watchers = new Map<string, Set<Watcher>>();
  #subscription: Subscription | undefined;
  /** The subscription that is ready. */
  #ready: Subscription | undefined;
  #closed = false;

  constructor(parts: WatcherParts<View>) {
    this.#parts = parts;
  }

  /**
   * Views of a key: the first at once, then each that differs from the one before. Ends when `signal`
   * is aborted, and with `close()`. A read that fails is a warning, and is tried again after a pause.
   */
  watch(key: string, signal?: AbortSignal): AsyncIterableIterator<View, void, undefined> {
    const watcher: Watcher = { changed: false, wake: () => undefined, end: new AbortController() };
    const views = this.#views(key, watcher, signal);
    return {
      next: () => views.next(),
      // A generator alone would return only after the view that is being waited for.
      return: () => {
        endOf(watcher);
        return views.return();
      },
      throw: (error) => {
        endOf(watcher);
        return views.throw(error);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async *#views(
    key: string,
    watcher: Watcher,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<View, void, undefined> {
    if (this.#closed || signal?.aborted === true) return;
    const { clock, random, pollIntervalMs, readIntervalMs } = this.#parts;
    const ended = watcher.end.signal;
    const subscription = this.#enter(key, watcher);
    const unwatch =
      signal &&
      onAbort(signal, () => {
        endOf(watcher);
        this.#leave(key, watcher); // at once, also where nobody waits for the next view
      });
    let state: string | undefined;
    let failures = 0;
    try {
      if (this.#ready !== subscription) await this.#pause(watcher, SUBSCRIBE_PATIENCE_MS);
      while (!ended.aborted) {
        watcher.changed = false;
        const readAt = clock.now();
        const found = await this.#read(key, ended);
        failures = found === undefined ? failures + 1 : 0;
        if (found !== undefined && found.state !== state) {
          state = found.state;
          yield found.view;
        }
        const from = found === undefined ? clock.now() : readAt;
        // Up to a tenth earlier, so that watchers do not all read on the same tick.
        const pollMs = pollIntervalMs * (1 - random() / 10);
        const retryMs = Math.max(readIntervalMs, FIRST_RETRY_MS) * 2 ** (failures - 1);
        const leastMs = failures === 0 ? readIntervalMs : Math.min(pollMs, retryMs);
        const mostMs = failures === 0 ? pollMs : leastMs;
        // What changes before it may read again needs no read of its own.
        for (;;) {
          const pauseMs = from + (watcher.changed ? leastMs : mostMs) - clock.now();
          if (pauseMs <= 0 || ended.aborted) break;
          await this.#pause(watcher, pauseMs);
        }
      }
    } finally {
      unwatch?.();
      this.#leave(key, watcher);
    }
  }

  /** Ends all watchers. */
  close(): void {
    this.#closed = true;
    this.#each(endOf);
    this.#watchers.clear();
    this.#subscription?.close();
    this.#subscription = undefined;
  }

  #enter(key: string, watcher: Watcher): Subscription {
    const subscription = (this.#subscription ??= this.#subscribe());
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(watcher));
    return subscription;
  }

  #leave(key: string, watcher: Watcher): void {
    const watchers = this.#watchers.get(key);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#watchers.delete(key);
    if (this.#watchers.size > 0) return;
    this.#subscription?.close();
    this.#subscription = undefined;
  }

  #subscribe(): Subscription {
    const { pubsub, channel, unpack, warn } = this.#parts;
    const subscription = pubsub.subscribe(channel, {
      onPayload: (payload) => {
        try {
          for (const key of unpack(payload)) this.#watchers.get(key)?.forEach(look);
        } catch (error) {
          warn(error);
        }
      },
      onGap: () => this.#each(look),
    });
    // Those who wait for it go on, and those who did not may have missed something.
    void subscription.ready.then(() => {
      this.#ready = subscription;
      this.#each(look);
    });
    return subscription;
  }

  #each(call: (watcher: Watcher) => void): void {
    for (const watchers of this.#watchers.values()) watchers.forEach(call);
  }

  async #read(
    key: string,
    ended: AbortSignal,
  ): Promise<{ readonly view: View; readonly state: string } | undefined> {
    const { clock, read, warn } = this.#parts;
    const giveUp = new AbortController();
    try {
      const late = (): Error =>
        new Error(`reading ${quote(key)} took longer than ${READ_TIMEOUT_MS} ms`);
      return await within(clock, READ_TIMEOUT_MS, read(key, giveUp.signal), ended, late);
    } catch (error) {
      if (!ended.aborted)
        warn(new Error(`a watcher cannot read: ${messageOf(error)}`, { cause: error }));
    } finally {
      giveUp.abort();
    }
    return undefined;
  }

  /** Waits until somebody wakes the watcher, or time has passed. */
  async #pause(watcher: Watcher, timeoutMs: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      watcher.wake = resolve;
    });
    await race(this.#parts.clock, woken, timeoutMs);
  }
}

function look(watcher: Watcher): void {
  watcher.changed = true;
  watcher.wake();
}

function endOf(watcher: Watcher): void {
  watcher.end.abort();
  watcher.wake();
}
