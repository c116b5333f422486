import { calls } from "../shapes/calls.ts";
import {
  type Accumulator,
  ONE_GROUP,
  type Sealed,
  type Shape,
  type Size,
} from "../shapes/shape.ts";
import type { Question } from "./question.ts";

/** Questions of one group that enter the engine together. */
export type Together<Request, Answer> = readonly Question<Request, Answer>[];

/**
 * `calls`, of which an item is all that a group asked in a piece of running code: the engine has its work
 * with each item, and an entry for each question.
 */
export function questionsShape<Request, Answer>(
  grouped: boolean,
): Shape<Together<Request, Answer>, Together<Request, Answer>, Question<Request, Answer>> {
  const { partition: _, ...algebra } = calls<Question<Request, Answer>>();
  return {
    ...algebra,
    size: ({ length }) => ({ items: length, entries: length, bytes: length }),
    partition: () => undefined,
    group: ([first]) => (grouped ? first?.home.group : ONE_GROUP),
    accumulator: () => new QuestionsAccumulator<Question<Request, Answer>>(),
  };
}

/** Counts a byte for each: questions are limited by number, what they hold is the callers' own. */
class QuestionsAccumulator<Entry> implements Accumulator<readonly Entry[], readonly Entry[]> {
  addsItems = 0;
  addsEntries = 0;
  addsBytes = 0;
  #entries: Entry[] = [];
  /** How many at the front were dropped. */
  #gone = 0;
  #measured: readonly Entry[] = [];
  #nextOrdinal = 0;

  get items(): number {
    return this.entries;
  }

  get entries(): number {
    return this.#entries.length - this.#gone;
  }

  get bytes(): number {
    return this.entries;
  }

  measure(item: readonly Entry[]): void {
    this.#measured = item;
    this.addsItems = item.length;
    this.addsEntries = item.length;
    this.addsBytes = item.length;
  }

  fold(): void {
    if (this.entries === 0) this.#entries = this.#measured.slice();
    else for (const entry of this.#measured) this.#entries.push(entry);
    this.#nextOrdinal += this.#measured.length;
  }

  ordinals(): readonly number[] {
    const { length } = this.#measured;
    return Array.from({ length }, (_, index) => this.#nextOrdinal - length + index);
  }

  seal(entries: number): Sealed<readonly Entry[]> {
    const all = this.#gone === 0 && entries === this.#entries.length;
    const end = this.#gone + entries;
    const batch = all ? this.#entries : this.#entries.slice(this.#gone, end);
    this.#entries = all ? [] : this.#entries.slice(end);
    this.#gone = 0;
    return { batch: Object.freeze(batch), items: entries, entries, bytes: entries };
  }

  dropOldest(): Size {
    this.#gone += 1;
    if (this.entries === 0) {
      this.#entries = [];
      this.#gone = 0;
    }
    return { items: 1, entries: 1, bytes: 1 };
  }
}
