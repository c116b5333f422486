import { describe, expect, it } from "vitest";
import { Abort, onAbort } from "./abort.ts";

describe("Abort", () => {
  it("tells everybody once, and nobody who has left, also by what another does of it", () => {
    const abort = new Abort();
    const told: string[] = [];
    const last = (): void => void told.push("last");
    const gone = (): void => void told.push("gone");
    abort.add(() => {
      told.push("first");
      abort.delete(last);
      abort.add(() => told.push("too late"));
      abort.abort("again");
    });
    abort.add(gone);
    abort.add(last);
    abort.delete(gone);
    abort.abort("why");
    expect(told).toEqual(["first"]);
    expect([abort.aborted, abort.reason]).toEqual([true, "why"]);
  });
});

describe("onAbort", () => {
  it("tells all who wait on a signal through one listener, each once", () => {
    const controller = new AbortController();
    const told: number[] = [];
    const leave = [0, 1, 2, 3].map((index) => onAbort(controller.signal, () => told.push(index)));
    leave[1]?.();
    onAbort(controller.signal, () => leave[3]?.());
    controller.abort();
    expect(told).toEqual([0, 2, 3]);
    controller.abort();
    expect(told).toEqual([0, 2, 3]);
  });

  it("may be told of the same function twice", () => {
    const controller = new AbortController();
    let times = 0;
    const count = (): void => void (times += 1);
    onAbort(controller.signal, count);
    const leave = onAbort(controller.signal, count);
    onAbort(controller.signal, count);
    leave();
    controller.abort();
    expect(times).toBe(2);
  });
});
