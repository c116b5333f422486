/** Tells which attempts end after one that began later. */
export class Arrivals {
  #begun = 0;
  #newestEnded = 0;

  begin(): number {
    return (this.#begun += 1);
  }

  /** An attempt ends; whether one that began after it has ended before. */
  isOvertaken(began: number): boolean {
    const overtaken = began < this.#newestEnded;
    this.#newestEnded = Math.max(this.#newestEnded, began);
    return overtaken;
  }
}
