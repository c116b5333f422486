/** How a promise stands. */
export interface Followed<T> {
  settled: "pending" | "resolved" | "rejected";
  value: T | undefined;
  error: unknown;
}

/** Follows a promise, so that a test can ask how it stands without waiting. */
export function follow<T>(promise: Promise<T>): Followed<T> {
  const state: Followed<T> = { settled: "pending", value: undefined, error: undefined };
  promise.then(
    (value) => Object.assign(state, { settled: "resolved", value }),
    (error: unknown) => Object.assign(state, { settled: "rejected", error }),
  );
  return state;
}
