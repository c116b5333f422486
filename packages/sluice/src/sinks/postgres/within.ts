import type { Clock } from "../../clock.ts";

/**
 * What `work` comes to, unless `ms` pass first, which rejects with what `late` makes, or `signal`
 * aborts, which rejects with its reason. What becomes of `work` after that is nobody's concern.
 */
export function within<T>(
  clock: Clock,
  ms: number,
  work: Promise<T>,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      clock.cancel(timer);
      signal?.removeEventListener("abort", abort);
    };
    const abort = (): void => {
      finish();
      reject(signal?.reason);
    };
    const timer = clock.schedule(() => {
      finish();
      reject(late());
    }, ms);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted === true) abort();
    work.then(
      (value) => {
        finish();
        resolve(value);
      },
      (error: unknown) => {
        finish();
        reject(error);
      },
    );
  });
}
