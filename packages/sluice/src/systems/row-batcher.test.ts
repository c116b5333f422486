import { describe, expect, it } from "vitest";
import type { SluiceEvent } from "../events.ts";
import { String as Text } from "../shapes/row-binary/texts.ts";
import { UInt32 } from "../shapes/row-binary/numbers.ts";
import type { Transport } from "../sinks/clickhouse/transport.ts";
import { manualClock } from "../testing/index.ts";
import {
  createRowBatcher,
  highThroughput,
  lowLatency,
  type RowBatcherOptions,
} from "./row-batcher.ts";

const columns = { id: UInt32, name: Text };
type Options = RowBatcherOptions<typeof columns>;

/** A batcher before a server of one table, which fails as often as it is told to. */
function opened(options: Partial<Options> = {}, failures = 0) {
  const clock = manualClock();
  const events: SluiceEvent[] = [];
  const inserted: number[] = [];
  let left = failures;
  const transport: Transport = {
    query: async (sql) => {
      if (sql.startsWith("DESCRIBE")) {
        return Object.entries(columns).map(([name, { type }]) => ({ name, type }));
      }
      return sql.includes("version()") ? [{ version: "18.16.1" }] : [];
    },
    command: async () => undefined,
    insert: async ({ body }) => {
      if (left-- > 0) throw new Error("lost");
      inserted.push(body.reduce((sum, { length }) => sum + length, 0));
    },
  };
  const batcher = createRowBatcher(transport, {
    table: "stats.events",
    columns,
    clock,
    random: () => 0,
    observe: (event) => events.push(event),
    ...options,
  });
  return { batcher, clock, events, inserted };
}

const rows = (count: number) =>
  Array.from({ length: count }, (_, id) => ({ id, name: String(id % 10) }));

describe("a row batcher", () => {
  it.each<[string, Partial<Options>]>([
    ["by default", {}],
    [
      "where options are undefined",
      { maxEntries: undefined, maxDelayMs: undefined, retry: undefined },
    ],
  ])("sends 50,000 rows, or what came within 5 s of the first (%s)", async (_, options) => {
    const { batcher, clock, inserted } = opened(options);
    await batcher.insertMany(rows(50_001));
    await clock.settle();
    expect(inserted).toEqual([300_000]);
    await clock.advance(4_999);
    expect(inserted).toHaveLength(1);
    await clock.advance(1);
    expect(inserted).toEqual([300_000, 6]);
    await batcher.close();
  });

  it("tries three more times from 100 ms, then one probe at a time, and gives no row up for it", async () => {
    const { batcher, clock, events } = opened({ random: () => 1 - 2 ** -20 }, 6);
    batcher.tryInsert({ id: 1, name: "a" });
    const flushed = batcher.flush();
    await clock.advance(60_000);
    expect(await flushed).toMatchObject({ rows: 1, committed: 1, attempts: 7, batches: 1 });
    const pauses = events.flatMap((event) => (event.type === "retried" ? [event.delayMs] : []));
    expect(pauses.slice(0, 3).map(Math.round)).toEqual([100, 200, 400]);
    const opening = events.findIndex(({ type }) => type === "circuit");
    expect(events.slice(0, opening).filter(({ type }) => type === "retried")).toHaveLength(3);
  });

  it.each([
    ["highThroughput", highThroughput, 100_000],
    ["lowLatency", lowLatency, 10_000],
  ])("has %s to spread", async (_, preset, most) => {
    const { batcher, clock, inserted } = opened({ ...preset });
    await batcher.insertMany(rows(most));
    await clock.settle();
    expect(inserted).toEqual([6 * most]);
    await batcher.close();
  });

  it("is named after its table, and says so of a row that it refuses", async () => {
    const { batcher } = opened();
    expect(batcher.name).toBe("stats.events");
    const wrong = { id: -1, name: "a" };
    expect(() => batcher.tryInsert(wrong)).toThrow(
      /^stats\.events: column "id" \(UInt32\): .*received -1$/,
    );
    await expect(batcher.insert(wrong)).rejects.toThrow(/^stats\.events: column "id"/);
    await expect(batcher.insertMany([{ id: 1, name: "a" }, wrong])).rejects.toMatchObject({
      report: { accepted: 1 },
      message: expect.stringMatching(
        /^stats\.events: 1 items were accepted, and not the next: .*"id"/,
      ),
    });
    expect(await batcher.close()).toMatchObject({ committed: 1 });
  });

  it("shows the rows of a batch that it hands back", async () => {
    const { batcher, clock } = opened({}, Infinity);
    await batcher.insertMany(rows(2));
    const closed = batcher.close({ timeoutMs: 1_000 });
    await clock.advance(1_000);
    const { undelivered } = await closed;
    expect(undelivered.flatMap(({ batch }) => batcher.rowsOf(batch))).toEqual([
      { id: 0, name: "0" },
      { id: 1, name: "1" },
    ]);
  });

  it.each<[string, object | undefined, string]>([
    ["no options", undefined, "createRowBatcher: the options must be an object"],
    [
      "an unknown one",
      { table: "t", columns, maxRows: 5 },
      'no option "createRowBatcher: maxRows"; there are table, columns',
    ],
    [
      "a retry that is none",
      { table: "t", columns, retry: 3 },
      "retry must be an object; received 3",
    ],
    ["no table", { columns }, "createRowBatcher: table"],
    ["an empty table", { table: "", columns }, 'received ""'],
    ["no columns", { table: "t" }, "rows: columns must be an object"],
  ])("refuses %s", (_, options, message) => {
    const nowhere: Transport = {
      query: async () => [],
      command: async () => undefined,
      insert: async () => undefined,
    };
    expect(() => createRowBatcher(nowhere, options as Options)).toThrow(message);
  });
});
