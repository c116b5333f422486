/**
 * Waits that may be given up, without a trace and without an effect on anybody else.
 */
import type { Clock } from "../clock.ts";
import type { SluiceError } from "../errors.ts";
import { type Abort, onAbort } from "./abort.ts";
import type { Lane } from "./lane.ts";
import type { Receipt } from "./reports.ts";

/** Waits until the item that `lane` folded last has landed. */
export function receipt<Item, Batch>(
  lane: Lane<Item, Batch>,
  signal: AbortSignal | undefined,
): Promise<Receipt> {
  return new Promise<Receipt>((resolve, reject) => {
    const unwatch = signal && onAbort(signal, () => reject(signal.reason));
    let failed: SluiceError | undefined;
    let open = 0;
    open = lane.claimFolded((error, { attempts, items, entries }) => {
      failed ??= error;
      open -= 1;
      if (open > 0) return;
      unwatch?.();
      if (failed === undefined) resolve({ attempts, items, entries });
      else reject(failed);
    });
  });
}

/** Waits `delayMs`, or until `abort`; `wakers` may end it as well. */
export async function sleep(
  clock: Clock,
  delayMs: number,
  abort: Abort,
  wakers?: Set<() => void>,
): Promise<void> {
  if (delayMs <= 0 || abort.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clock.cancel(timer);
      wakers?.delete(done);
      abort.delete(done);
      resolve();
    };
    const timer = delayMs === Infinity ? undefined : clock.schedule(done, delayMs);
    wakers?.add(done);
    abort.add(done);
  });
}

/** Waits for `work`, for at most `timeoutMs`. An abort of `signal` rejects with its reason. */
export async function race(
  clock: Clock,
  work: Promise<unknown>,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<"done" | "timeout"> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      if (timer !== undefined) clock.cancel(timer);
      unwatch?.();
      settle();
    };
    const giveUp = (): void => end(() => reject(signal?.reason));
    const onTimeout = (): void => end(() => resolve("timeout"));
    const timer = timeoutMs === Infinity ? undefined : clock.schedule(onTimeout, timeoutMs);
    const unwatch = signal && onAbort(signal, giveUp);
    if (signal?.aborted === true) giveUp();
    work.then(
      () => end(() => resolve("done")),
      (error: unknown) => end(() => reject(error)),
    );
  });
}

/**
 * What `work` comes to, unless `timeoutMs` pass first, which rejects with what `late` makes. What
 * becomes of it after that is nobody's concern.
 */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  work: Promise<T>,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<T> {
  if ((await race(clock, work, timeoutMs, signal)) === "timeout") throw late();
  return work;
}

/**
 * Does `works` one after another, and waits for them until the time `until` on the clock. What is left
 * then goes on by itself, still in turn, and each may take `timeoutMs`: `follow` is given the promise of
 * it. On `abort` all are begun at once. Failures go to `failed`.
 */
export async function inTurn(
  clock: Clock,
  works: readonly (() => unknown)[],
  until: number,
  timeoutMs: number,
  abort: Abort,
  failed: (error: unknown) => void,
  follow: (rest: Promise<void>) => void,
): Promise<void> {
  let done = 0;
  for (const work of works) {
    if (clock.now() >= until) break;
    const going = bounded(clock, work, until, abort, failed);
    if (going !== undefined) await going;
    done += 1;
  }
  const rest = async (): Promise<void> => {
    for (const work of works.slice(done)) {
      const going = bounded(clock, work, clock.now() + timeoutMs, abort, failed);
      if (going !== undefined) await going;
    }
  };
  if (done < works.length) follow(rest());
}

/**
 * Begins `work` and waits for it, unless it is done at once, until the time `until` on the clock, or
 * until `abort`; after either it is begun and not waited for. How it fails goes to `failed`; never rejects.
 */
function bounded(
  clock: Clock,
  work: () => unknown,
  until: number,
  abort: Abort,
  failed: (error: unknown) => void,
): Promise<void> | undefined {
  let given: PromiseLike<unknown> | undefined;
  try {
    given = work() as typeof given;
    if (typeof given?.then !== "function") return undefined;
  } catch (error) {
    failed(error);
    return undefined;
  }
  return new Promise((resolve) => {
    const end = (): void => {
      clock.cancel(timer);
      abort.delete(onAbort);
      resolve();
    };
    const fail = (error: unknown): void => {
      failed(error);
      end();
    };
    const onAbort = (): void => fail(abort.reason);
    const timer = clock.schedule(() => {
      fail(new Error("deadLetter took longer than writeTimeoutMs"));
    }, until - clock.now());
    abort.add(onAbort);
    Promise.resolve(given).then(end, fail);
    if (abort.aborted) onAbort();
  });
}
