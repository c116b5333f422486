/**
 * Giving up: the engine's own way, and the callers' signals.
 */

/**
 * Ends what is under way, once. What an AbortController is, at a tenth of its cost: there is one for each
 * call. `reason` is what the one who aborts has to say.
 */
export class Abort {
  #aborted = false;
  #reason: unknown;
  #callbacks: Set<() => void> | undefined;

  get aborted(): boolean {
    return this.#aborted;
  }

  get reason(): unknown {
    return this.#reason;
  }

  /** Runs `callback` at the abort, unless it is deleted before. */
  add(callback: () => void): void {
    this.#callbacks ??= new Set();
    this.#callbacks.add(callback);
  }

  delete(callback: () => void): void {
    this.#callbacks?.delete(callback);
  }

  abort(reason: unknown): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    if (this.#callbacks !== undefined) runAll(this.#callbacks);
  }
}

/** Those who wait for one signal, behind its one listener. */
class Watch {
  readonly #signal: AbortSignal;
  readonly #callbacks = new Set<() => void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    watches.set(signal, this);
    signal.addEventListener("abort", this.#tell, { once: true });
  }

  add(callback: () => void): void {
    this.#callbacks.add(callback);
  }

  delete(callback: () => void): void {
    if (!this.#callbacks.delete(callback) || this.#callbacks.size > 0) return;
    watches.delete(this.#signal);
    this.#signal.removeEventListener("abort", this.#tell);
  }

  readonly #tell = (): void => {
    watches.delete(this.#signal);
    runAll(this.#callbacks);
  };
}

const watches = new WeakMap<AbortSignal, Watch>();

/**
 * Runs `callback` when `signal` aborts, until the function that it returns is called. However many
 * wait on one signal, the signal has one listener, and none when nobody does: Node warns of a leak from
 * eleven on, and a request that asks fifty questions is none.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const watch = watches.get(signal) ?? new Watch(signal);
  const own = (): void => callback();
  watch.add(own);
  return () => watch.delete(own);
}

function runAll(callbacks: Set<() => void>): void {
  for (const callback of Array.from(callbacks)) {
    if (callbacks.delete(callback)) callback();
  }
}
