import type { Clock, Random } from "../clock.ts";
import type { UnnamedEvent } from "../events.ts";
import type { Abort } from "./abort.ts";
import type { Settings } from "./options.ts";
import { sleep } from "./waits.ts";

/**
 * An exponential pause with full jitter: anything up to min(cap, base · 2^(failures - 1)), and at
 * least 1 ms, so that no chance can make a failing sink be called without end, or never again.
 */
export function backoffMs(
  failures: number,
  retry: Pick<Settings["retry"], "baseDelayMs" | "maxDelayMs">,
  random: Random,
): number {
  const most = Math.min(retry.maxDelayMs, retry.baseDelayMs * 2 ** (failures - 1));
  return Math.max(1, Math.min(most, random() * most) || 0);
}

/** Leave to attempt: freely, or as the one probe of an open circuit. */
export type Leave = "free" | "probe";

/** Says when a batch may be attempted. */
export interface Gate {
  /**
   * Waits for leave to attempt. Resolves with none when `deadline` (on the clock) passes, or at
   * `abort`. Whoever is let through must report back: succeeded, failed or withdrawn.
   */
  admit(deadline: number, abort: Abort): Promise<Leave | undefined>;
  /** Waits `delayMs`, or until `abort`. */
  wait(delayMs: number, abort: Abort): Promise<void>;
  /** The store answered, be it with a rejection. */
  succeeded(leave: Leave): void;
  failed(leave: Leave, error: unknown): void;
  /** An attempt ended without telling anything about the store. */
  withdrawn(leave: Leave): void;
}

/**
 * Keeps an outage from costing the store anything: after `circuitAfter` failures in a row, over all
 * lanes, attempts are let through one at a time, each after a growing pause, until one succeeds.
 *
 *     closed ──failures ≥ circuitAfter──► open ──pause over──► one probe ──success──► closed
 *                                          ▲──────────────failure────────┘
 */
export class Circuit implements Gate {
  #failures = 0;
  #openUntil = 0;
  #probing = false;
  readonly #wakers = new Set<() => void>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #retry: () => Settings["retry"];
  readonly #emit: (event: UnnamedEvent) => void;

  constructor(
    clock: Clock,
    random: Random,
    retry: () => Settings["retry"],
    emit: (event: UnnamedEvent) => void,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#retry = retry;
    this.#emit = emit;
  }

  get open(): boolean {
    return this.#failures >= this.#retry().circuitAfter;
  }

  async admit(deadline: number, abort: Abort): Promise<Leave | undefined> {
    for (;;) {
      const now = this.#clock.now();
      if (abort.aborted || now >= deadline) return undefined;
      if (!this.open) return "free";
      if (!this.#probing && now >= this.#openUntil) {
        this.#probing = true;
        return "probe";
      }
      const until = this.#probing ? deadline : Math.min(deadline, this.#openUntil);
      await sleep(this.#clock, until - now, abort, this.#wakers);
    }
  }

  async wait(delayMs: number, abort: Abort): Promise<void> {
    await sleep(this.#clock, delayMs, abort);
  }

  succeeded(leave: Leave): void {
    const wasOpen = this.open;
    this.#failures = 0;
    if (leave === "probe") this.#probing = false;
    if (wasOpen) this.#emit({ type: "circuit", state: "closed" });
    this.#wake();
  }

  failed(leave: Leave, error: unknown): void {
    const wasOpen = this.open;
    this.#failures += 1;
    if (leave === "probe") this.#probing = false;
    if (!this.open) return;
    const retry = this.#retry();
    const probes = this.#failures - retry.circuitAfter + 1;
    this.#openUntil = this.#clock.now() + backoffMs(probes, retry, this.#random);
    if (!wasOpen) this.#emit({ type: "circuit", state: "open", error });
    this.#wake();
  }

  withdrawn(leave: Leave): void {
    if (leave === "probe") this.#probing = false;
    this.#wake();
  }

  #wake(): void {
    for (const wake of Array.from(this.#wakers)) wake();
  }
}
