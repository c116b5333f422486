/**
 * Waits that may be given up, without a trace and without an effect on anybody else.
 */
import type { Clock } from "../clock.ts";
import type { SluiceError } from "../errors.ts";
import { type Abort, onAbort } from "./abort.ts";
import type { Lane } from "./lane.ts";
import type { Receipt } from "./reports.ts";
import type { Claim } from "./segment.ts";

/** Waits until the item that `lane` folded last has landed. */
export function receipt<Item, Batch>(
  lane: Lane<Item, Batch>,
  signal: AbortSignal | undefined,
): Promise<Receipt> {
  return new Promise<Receipt>((resolve, reject) => {
    let failed: SluiceError | undefined;
    let open = 0;
    const claim: Claim = (error, { attempts, items, entries }) => {
      failed ??= error;
      open -= 1;
      if (open > 0) return;
      unwatch?.();
      if (failed === undefined) resolve({ attempts, items, entries });
      else reject(failed);
    };
    const claimed = lane.claimFolded(claim);
    open = claimed.length;
    const unwatch =
      signal &&
      onAbort(signal, () => {
        for (const claims of claimed) claims.splice(claims.indexOf(claim), 1);
        reject(signal.reason);
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
 * Does `works` one after another, each for `timeoutMs` at most; on `abort` all are begun at once. Failures
 * go to `failed`; never rejects.
 */
export async function inTurn(
  clock: Clock,
  works: readonly (() => unknown)[],
  timeoutMs: number,
  abort: Abort,
  failed: (error: unknown) => void,
): Promise<void> {
  for (const work of works) {
    const going = bounded(clock, work, timeoutMs, abort, failed);
    if (going !== undefined) await going;
  }
}

/**
 * Begins `work` and waits for it, unless it is done at once, for `timeoutMs`, or until `abort`; after
 * either it is begun and not waited for. How it fails goes to `failed`; never rejects.
 */
function bounded(
  clock: Clock,
  work: () => unknown,
  timeoutMs: number,
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
    }, timeoutMs);
    abort.add(onAbort);
    Promise.resolve(given).then(end, fail);
    if (abort.aborted) onAbort();
  });
}
