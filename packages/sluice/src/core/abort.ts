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

const watched = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Runs `callback` when `signal` aborts, until the function that it returns is called. However many
 * wait on one signal, the signal has one listener: Node warns of a leak from eleven on, and a request
 * that asks fifty questions is none.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = watched.get(signal);
  if (callbacks === undefined) {
    const all = new Set<() => void>();
    callbacks = all;
    watched.set(signal, all);
    signal.addEventListener("abort", () => runAll(all), { once: true });
  }
  const own = (): void => callback();
  callbacks.add(own);
  return () => {
    callbacks.delete(own);
  };
}

function runAll(callbacks: Set<() => void>): void {
  for (const callback of Array.from(callbacks)) {
    if (callbacks.delete(callback)) callback();
  }
}
