import { AsyncLocalStorage } from "node:async_hooks";
import { describe, expect, expectTypeOf, it } from "vitest";
import { rejected } from "../errors.ts";
import type { SluiceEvent, UnnamedEvent } from "../events.ts";
import { list } from "../shapes/list.ts";
import { manualClock } from "../testing/index.ts";
import { createBatcher } from "./batcher.ts";

describe("the callers' AsyncLocalStorage context", () => {
  it("is left behind in the sink, in dead letters, in observers called from lanes and in timers", async () => {
    const tenant = new AsyncLocalStorage<string>();
    const manual = manualClock();
    const seen: [string, string | undefined][] = [];
    const see = (where: string): void => void seen.push([where, tenant.getStore()]);
    let calls = 0;
    const batcher = createBatcher({
      shape: list<string>(),
      sink: (_, { signal }) => {
        calls += 1;
        see("sink");
        signal.addEventListener("abort", () => see("abort"));
        if (calls === 1) throw new Error("again");
        if (calls === 2) throw rejected("poison", { ambiguous: false });
        return calls > 6 ? new Promise(() => undefined) : undefined;
      },
      deadLetter: () => see("deadLetter"),
      observe: ({ type }) => {
        if (type !== "closed" && type !== "blocked" && type !== "refused") see(type);
      },
      clock: {
        ...manual,
        now: () => manual.now(),
        schedule: (callback, delayMs) => {
          see("schedule");
          return manual.schedule(callback, delayMs);
        },
      },
      maxEntries: 2,
      maxBufferedEntries: 2,
    });
    await tenant
      .run("acme", async () => {
        batcher.tryAdd("a");
        await manual.advance(1_000);
        for (const text of "abcdef") {
          void batcher.add(text);
          await manual.advance(1_000);
        }
      })
      .catch(() => undefined);
    const inside = seen.filter(([, store]) => store !== undefined);
    expect(inside).toEqual([]);
    expect(new Set(seen.map(([where]) => where))).toEqual(
      new Set([
        "schedule",
        "sealed",
        "sink",
        "retried",
        "dead-lettered",
        "deadLetter",
        "committed",
      ]),
    );
    seen.length = 0;
    await tenant.run("acme", async () => {
      batcher.tryAdd("h");
      const closed = batcher.close({ timeoutMs: 10 });
      await manual.advance(10);
      await closed;
    });
    expect(seen.filter(([where, store]) => where !== "schedule" && store !== undefined)).toEqual(
      [],
    );
  });
});

describe("observe", () => {
  it("that throws hurts nothing; what it threw becomes a process warning", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on("warning", onWarning);
    const clock = manualClock();
    const batcher = createBatcher({
      name: "usage",
      shape: list<string>(),
      sink: () => undefined,
      clock,
      observe: () => {
        throw new Error("observer broke");
      },
    });
    batcher.tryAdd("a");
    expect(await batcher.flush()).toMatchObject({ committed: 1 });
    expect(await batcher.close()).toMatchObject({ stats: { committed: 1 } });
    await clock.settle();
    process.off("warning", onWarning);
    expect(warnings.length).toBe(3);
    for (const { name, message } of warnings) {
      expect(name).toBe("SluiceWarning");
      expect(message).toMatch(/usage: observe threw: Error: observer broke/);
    }
  });

  it("left out, gives one process warning when the store stays away, and only one", async () => {
    const warnings: string[] = [];
    const hear = ({ message }: Error): void => void warnings.push(message);
    process.on("warning", hear);
    const clock = manualClock();
    const batcher = createBatcher({
      name: "usage",
      shape: list<string>(),
      sink: () => {
        throw new Error("no such table");
      },
      clock,
      retry: { circuitAfter: 2 },
    });
    batcher.tryAdd("a");
    await clock.advance(60_000);
    process.off("warning", hear);
    expect(warnings).toEqual([
      "usage: cannot deliver, and keeps trying: no such table. Pass `observe` to hear of this.",
    ]);
  });

  it.each([
    ["what is lost", undefined, ["lost what will never land, for want of a `deadLetter`: no"]],
    ["nothing that has an owner", () => undefined, []],
  ])("left out, tells the process of %s, once", async (_, deadLetter, expected) => {
    const warnings: string[] = [];
    const hear = ({ message }: Error): void => void warnings.push(message);
    process.on("warning", hear);
    const clock = manualClock();
    const batcher = createBatcher({
      name: "usage",
      shape: list<string>(),
      sink: () => {
        throw rejected("no");
      },
      clock,
      deadLetter,
    });
    for (const text of "ab") batcher.tryAdd(text);
    await clock.advance(60_000);
    process.off("warning", hear);
    expect(warnings).toEqual(
      expected.map((text) => `usage: ${text}. Pass \`observe\` to hear of this.`),
    );
  });

  it("gets a union that a switch can exhaust, every event with the batcher's name", () => {
    const describeEvent = (event: SluiceEvent): string => {
      switch (event.type) {
        case "sealed":
        case "committed":
        case "retried":
        case "bisected":
        case "dead-lettered":
        case "unknown":
        case "dropped":
        case "refused":
        case "blocked":
        case "circuit":
        case "late":
        case "warning":
        case "closed":
          return `${event.name}: ${event.type}`;
        default:
          event satisfies never;
          return "";
      }
    };
    expect(describeEvent({ name: "a", type: "closed", durationMs: 1 })).toBe("a: closed");
    expectTypeOf<SluiceEvent["name"]>().toEqualTypeOf<string>();
    expectTypeOf<UnnamedEvent["type"]>().toEqualTypeOf<SluiceEvent["type"]>();
  });
});
