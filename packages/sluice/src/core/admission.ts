import { onAbort } from "./abort.ts";

/** A producer that waits for room. */
interface Producer<Item> {
  readonly item: Item;
  /** Takes the item in, or answers false: there is still no room. Throws when it never can be. */
  readonly admit: (item: Item) => boolean;
  readonly reject: (error: unknown) => void;
}

/** Producers that wait for room, first come, first served. */
export class Admission<Item> {
  // A Set keeps the order of arrival and lets a caller that gives up leave from the middle.
  readonly #waiting = new Set<Producer<Item>>();

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Waits until `admit` takes the item. An abort ends this caller's wait and nobody else's. */
  async wait(item: Item, admit: (item: Item) => boolean, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.delete(producer);
        unwatch?.();
      };
      const producer: Producer<Item> = {
        item,
        admit: (candidate) => {
          // Of those behind one signal the first to hear of it lets in the next.
          if (signal?.aborted === true) reject(signal.reason);
          else if (admit(candidate)) resolve();
          else return false;
          leave();
          return true;
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      this.#waiting.add(producer);
      const unwatch =
        signal &&
        onAbort(signal, () => {
          leave();
          reject(signal.reason);
          this.admit(); // those behind may need less room
        });
    });
  }

  /** Room was freed: lets in as many as fit, in order. */
  admit(): void {
    for (const producer of this.#waiting) {
      try {
        if (!producer.admit(producer.item)) return;
      } catch (error) {
        producer.reject(error);
      }
    }
  }

  /** Sends everybody away. */
  rejectAll(error: () => unknown): void {
    for (const producer of this.#waiting) producer.reject(error());
  }
}
