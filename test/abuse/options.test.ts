/** Options drawn by chance: refused in our own words, or taken by something that then works. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ERRORS, isSluiceError, type Random } from "sluice";
import { manualClock, seededRandom } from "sluice/testing";
import { follow } from "../support/follow.ts";
import { FACTORIES } from "./factories.ts";
import { faultsOf, hostile, isPolluted, oneOf, plausible, refusalOf } from "./hostile.ts";

const RUNS = 200;

/** Names that no factory knows, some of which every object has. */
const STRANGE = ["x", "__proto__", "constructor", "toString", "then", ""];

type Options = Readonly<Record<string, unknown>>;

const isOptions = (value: unknown): value is Options =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** A shape, a sink, a clock: what has methods is no options, and is taken as it is. */
const isPart = (value: Options): boolean =>
  Object.values(value).some((member) => typeof member === "function");

/** The options with some replaced, those of options too, as an object of one kind or another. */
function drawOptions(random: Random, options: Options, drawValue = hostile): object {
  const changed = new Map(Object.entries(options));
  const changes = 1 + Math.floor(random() * 3);
  for (let change = 0; change < changes; change += 1) {
    const name = oneOf(random, random() < 0.9 ? [...changed.keys(), "x"] : STRANGE);
    const value = Object.hasOwn(options, name) ? options[name] : undefined;
    const deeper = isOptions(value) && !isPart(value) && random() < 0.5;
    changed.set(name, deeper ? drawOptions(random, value, drawValue) : drawValue(random));
  }
  const kind = oneOf(random, ["plain", "plain", "frozen", "bare", "getters"]);
  const made: object = kind === "bare" ? Object.create(null) : {};
  for (const [name, value] of changed) {
    const held = kind === "getters" ? { get: () => value } : { value, writable: true };
    Object.defineProperty(made, name, { configurable: true, enumerable: true, ...held });
  }
  return kind === "frozen" ? Object.freeze(made) : made;
}

describe("arguments that are", () => {
  it.each(FACTORIES)("drawn by chance are refused by $name, or taken", async ({ make, args }) => {
    expect(await refusalOf(() => make(...args()))).toBeUndefined();
    const faults: string[] = [];
    let refused = 0;
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const random = seededRandom(seed);
      const given = args().map((value) => {
        if (random() < 0.2) return hostile(random);
        return isOptions(value) ? drawOptions(random, value) : value;
      });
      const refusal = await refusalOf(() => make(...given));
      if (isSluiceError(refusal)) {
        refused += 1;
        expect(Object.keys(ERRORS)).toContain(refusal.code);
      }
      for (const fault of faultsOf(refusal)) faults.push(`seed ${seed}: ${fault}`);
    }
    expect(faults).toEqual([]);
    expect(isPolluted()).toBe(false);
    expect(refused).toBeGreaterThan(0);
  });

  it.each(FACTORIES)("missing are refused by $name, or have a default", async ({ make }) => {
    expect(faultsOf(await refusalOf(() => make()))).toEqual([]);
  });
});

/** What came in, and the accounts that it may have left by. */
type Accounts = readonly [came: string, left: readonly string[]];
const BATCHER: Accounts = ["accepted", ["committed", "deadLettered", "dropped", "unknown"]];
const COALESCER: Accounts = ["loads", ["answered", "failed", "aborted"]];

/** A batcher of any kind. */
interface Subject {
  close(): Promise<unknown>;
  stats(): Readonly<Record<string, unknown>>;
}

/** How each factory's batcher is given the item of this number. */
const ADDERS: Readonly<Record<string, (subject: never, n: number) => unknown>> = {
  "sluice: createBatcher": (batcher: { tryAdd(item: unknown): boolean }, n) => batcher.tryAdd(n),
  "sluice: createCoalescer": (asker: { load(request: unknown): Promise<unknown> }, n) => {
    asker.load(`${n}`).catch(() => undefined);
  },
  "sluice/client-stats: createClientStatsBatcher": (
    stats: { tryEnqueueLastSeen(client: string): boolean },
    n,
  ) => stats.tryEnqueueLastSeen(`client-${n}`),
  "sluice/agent-metadata: createAgentMetadataBatcher": (
    metadata: { tryAdd(agent: string, entries: unknown): boolean },
    n,
  ) => metadata.tryAdd("2ed6657d-e927-568b-95e1-2665a8aea6a2", [{ key: `${n}`, value: "" }]),
  "sluice/clickhouse: createRowBatcher": (rows: { tryInsert(row: unknown): boolean }, n) =>
    rows.tryInsert({ id: n }),
  "sluice/pubsub: createPublisher": (publisher: { publish(keys: string[]): void }, n) =>
    publisher.publish([`${n}`]),
};

const batchers = FACTORIES.filter(({ name }) => Object.hasOwn(ADDERS, name));

describe("what takes its options works:", () => {
  beforeEach(() => void vi.spyOn(process, "emitWarning").mockImplementation(() => undefined));
  afterEach(() => void vi.restoreAllMocks());

  it.each(batchers)("$name", async ({ name, make, args }) => {
    expect(batchers.length).toBe(Object.keys(ADDERS).length);
    const faults: string[] = [];
    let ended = 0;
    for (let seed = 1; seed <= 3 * RUNS; seed += 1) {
      const random = seededRandom(seed);
      const given = args();
      const clock = manualClock();
      const options = drawOptions(random, { ...(given.at(-1) as Options), clock }, plausible);
      if (Reflect.get(options, "clock") !== clock) continue; // of another there is no end to be had
      try {
        const subject = make(...given.with(-1, options)) as Subject;
        for (let n = 0; n < 20; n += 1) await refusalOf(() => ADDERS[name]?.(subject as never, n));
        const closing = follow(subject.close());
        for (let step = 0; closing.settled === "pending" && step < 1_000; step += 1) {
          if (!(await clock.next())) await clock.settle();
        }
        const figures = subject.stats();
        const [came, left] = figures["loads"] === undefined ? BATCHER : COALESCER;
        const balance = left.reduce(
          (rest, account) => rest - Number(figures[account]),
          Number(figures[came]),
        );
        if (closing.settled !== "resolved" || balance !== 0 || figures["held"] !== 0) {
          const closed = `close ${closing.settled}: ${String(closing.error)}`;
          faults.push(`seed ${seed}: ${closed}, ${JSON.stringify(figures)}`);
        }
        ended += 1;
      } catch (error) {
        faults.push(...faultsOf(error).map((fault) => `seed ${seed}: ${fault}`));
      }
    }
    expect(faults).toEqual([]);
    expect(ended).toBeGreaterThan(10);
  });
});
