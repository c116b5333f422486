/** Callers that may give up by a signal, and must be let go at once when they do. */
export class Leavers {
  readonly #waiting = new Set<AbortController>();
  readonly #left = new Set<AbortController>();

  /** Somebody waits, and may leave by this. */
  add(controller: AbortController): void {
    this.#waiting.add(controller);
  }

  /** Somebody has been told. */
  delete(controller: AbortController): void {
    this.#waiting.delete(controller);
    this.#left.delete(controller);
  }

  /** The first who can leaves. False where nobody can. */
  leaveOne(): boolean {
    const [controller] = this.#waiting;
    if (controller === undefined) return false;
    this.#waiting.delete(controller);
    this.#left.add(controller);
    controller.abort(new Error("the caller has left"));
    return true;
  }

  /** After a step: how many have left and were not told. */
  held(): number {
    const { size } = this.#left;
    this.#left.clear();
    return size;
  }
}
