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
