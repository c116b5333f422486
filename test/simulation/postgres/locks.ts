import type { OwnedClock } from "../virtual-time.ts";
import { SqlError } from "../simulated-error.ts";

/** Somebody who holds rows until its transaction ends. */
export interface Holder {
  readonly held: Set<string>;
  waitsFor: Holder | undefined;
}

interface Waiting {
  readonly holder: Holder;
  readonly grant: () => void;
  /** Ends the wait without an answer. */
  readonly forget: () => void;
}

/** Locks of rows, first come, first served, with the deadlocks that follow from them. */
export class Locks {
  readonly #holders = new Map<string, Holder>();
  readonly #queues = new Map<string, Waiting[]>();
  readonly #clock: OwnedClock;
  deadlocks = 0;

  constructor(clock: OwnedClock) {
    this.#clock = clock;
  }

  /** Waits for a row. Throws at a deadlock, and after `timeoutMs`. */
  async take(holder: Holder, row: string, timeoutMs: number): Promise<void> {
    const owner = this.#holders.get(row);
    if (owner === holder) return;
    if (owner === undefined) {
      this.#give(row, holder);
      return;
    }
    holder.waitsFor = owner;
    if (isCircle(holder)) {
      holder.waitsFor = undefined;
      this.deadlocks += 1;
      throw new SqlError("40P01", "deadlock detected");
    }
    await new Promise<void>((resolve, reject) => {
      const queue = this.#queues.get(row) ?? [];
      this.#queues.set(row, queue);
      const waiting: Waiting = {
        holder,
        grant: () => {
          this.#clock.cancel(timer);
          holder.waitsFor = undefined;
          resolve();
        },
        forget: () => this.#clock.cancel(timer),
      };
      const timer = this.#clock.schedule(() => {
        queue.splice(queue.indexOf(waiting), 1);
        holder.waitsFor = undefined;
        reject(new SqlError("55P03", "canceling statement due to lock timeout"));
      }, timeoutMs);
      queue.push(waiting);
    });
  }

  /** Lets go of all that it holds, and of what it waits for, for ever. */
  release(holder: Holder): void {
    for (const queue of this.#queues.values()) {
      const index = queue.findIndex((waiting) => waiting.holder === holder);
      if (index >= 0) for (const { forget } of queue.splice(index, 1)) forget();
    }
    holder.waitsFor = undefined;
    for (const row of holder.held) {
      this.#holders.delete(row);
      const next = this.#queues.get(row)?.shift();
      if (next === undefined) continue;
      this.#give(row, next.holder);
      for (const { holder: other } of this.#queues.get(row) ?? []) other.waitsFor = next.holder;
      next.grant();
    }
    holder.held.clear();
  }

  #give(row: string, holder: Holder): void {
    this.#holders.set(row, holder);
    holder.held.add(row);
  }
}

function isCircle(start: Holder): boolean {
  for (let at = start.waitsFor; at !== undefined; at = at.waitsFor) if (at === start) return true;
  return false;
}
