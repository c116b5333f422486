/**
 * Readers that want to know when something changes: they read for themselves, when a payload names
 * their key, when payloads may have been missed, and every few seconds in any case.
 */
import type { Clock, Random } from "../clock.ts";
import { race, within } from "../core/waits.ts";
import { quote } from "../errors.ts";
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
  #closed = false;

  constructor(parts: WatcherParts<View>) {
    this.#parts = parts;
  }

  /**
   * Views of a key: the first at once, then each that differs from the one before. Ends when `signal`
   * is aborted, and with `close()`. A read that fails is a warning, and is tried again.
   */
  async *watch(key: string, signal?: AbortSignal): AsyncGenerator<View, void, undefined> {
    if (this.#closed || signal?.aborted === true) return;
    const { clock, random, pollIntervalMs, readIntervalMs } = this.#parts;
    const watcher: Watcher = { changed: false, wake: () => undefined, end: new AbortController() };
    const ended = watcher.end.signal;
    const onAbort = (): void => endOf(watcher);
    const subscription = this.#enter(key, watcher);
    signal?.addEventListener("abort", onAbort);
    try {
      await this.#pause(watcher, SUBSCRIBE_PATIENCE_MS, subscription.ready);
      for (let state: string | undefined; !ended.aborted; ) {
        const readAt = clock.now();
        watcher.changed = false;
        const found = await this.#read(key, ended);
        if (found === undefined) {
          watcher.changed = true; // try again
        } else if (found.state !== state) {
          state = found.state;
          yield found.view;
        }
        // Up to a tenth earlier, so that watchers do not all read on the same tick.
        const pollAt = readAt + pollIntervalMs * (1 - random() / 10);
        while (!watcher.changed && !ended.aborted && clock.now() < pollAt) {
          await this.#pause(watcher, pollAt - clock.now());
        }
        // What changes until then needs no read of its own.
        while (!ended.aborted && clock.now() < readAt + readIntervalMs) {
          await this.#pause(watcher, readAt + readIntervalMs - clock.now());
        }
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#leave(key, watcher);
    }
  }

  /** Ends all watchers. */
  close(): void {
    this.#closed = true;
    this.#each(endOf);
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
    // Those who did not wait for it may have missed something.
    void subscription.ready.then(() => this.#each(look));
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
      if (!ended.aborted) warn(error);
    } finally {
      giveUp.abort();
    }
    return undefined;
  }

  /** Waits until somebody wakes the watcher, `until` resolves, or time has passed. */
  async #pause(watcher: Watcher, timeoutMs: number, until?: Promise<void>): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      watcher.wake = resolve;
    });
    const { clock } = this.#parts;
    await race(clock, until === undefined ? woken : Promise.race([woken, until]), timeoutMs);
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
