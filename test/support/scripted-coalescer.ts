import { type Coalescer, type CoalescerOptions, createCoalescer, type SluiceEvent } from "sluice";
import { type ManualClock, manualClock } from "sluice/testing";

export interface Request {
  readonly group: string;
  readonly key: number;
}
export type Options = CoalescerOptions<Request, string, number, string>;

/** A call of `resolve` that waits for the test to end it. */
export interface Call {
  readonly at: number;
  readonly group: string;
  readonly keys: readonly number[];
  readonly attempt: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Answers every key with its group and key. */
  answer(): void;
  fail(error: unknown): void;
}

/** A coalescer whose calls end when and how the test says. Pauses last 1 ms unless asked for. */
export function scriptedCoalescer(options: Partial<Options> = {}): {
  readonly clock: ManualClock;
  readonly calls: Call[];
  readonly events: SluiceEvent[];
  readonly coalescer: Coalescer<Request, string>;
  /** The keys of each call. */
  readonly asked: () => string;
} {
  const clock = manualClock();
  const calls: Call[] = [];
  const events: SluiceEvent[] = [];
  const coalescer = createCoalescer<Request, string, number, string>({
    group: ({ group }) => group,
    key: ({ key }) => key,
    resolve: (group, keys, { attempt, timeoutMs, signal }) =>
      new Promise((resolve, reject) => {
        const answer = (): void => resolve(keys.map((key) => `${group}/${key}`));
        const at = clock.now();
        calls.push({ at, group, keys, attempt, timeoutMs, signal, answer, fail: reject });
      }),
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    ...options,
  });
  const asked = (): string => calls.map(({ keys }) => keys.join("")).join();
  return { clock, calls, events, coalescer, asked };
}
