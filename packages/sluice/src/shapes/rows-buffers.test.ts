import { describe, expect, it } from "vitest";
import { String as Text } from "./row-binary/texts.ts";
import { rows } from "./rows.ts";

/** Rows of ten bytes, in buffers of 32: three in each. */
function tens(bufferShrinkBytes = 1_024) {
  const accumulator = rows({ text: Text }, { bufferBytes: 32, bufferShrinkBytes }).accumulator();
  const add = (count: number, letter: string): void => {
    for (let index = 0; index < count; index += 1) {
      accumulator.measure({ text: letter.repeat(9) });
      accumulator.fold();
    }
  };
  const seal = (entries: number) => accumulator.seal(entries).batch;
  return { accumulator, add, seal };
}

type Batch = ReturnType<ReturnType<typeof tens>["seal"]>;
const memory = (batch: Batch) => batch.chunks.map(({ bytes }) => bytes.buffer);
const letters = (batch: Batch) =>
  batch.chunks.map(({ bytes }) => Buffer.from(bytes).toString().replaceAll("\t", "")).join("");

describe("the buffers of landed batches", () => {
  it("take the rows to come", () => {
    const { accumulator, add, seal } = tens();
    add(6, "a");
    const first = seal(6);
    const before = memory(first);
    add(1, "b"); // moves on to a third buffer: the second is full
    accumulator.recycle?.(first);
    add(5, "b");
    const [, second] = memory(seal(6));
    expect(before).toContain(second);
  });

  it("are left alone while another batch lies in them, or rows that are held", () => {
    const { accumulator, add, seal } = tens();
    add(3, "a");
    const [first, second] = [seal(1), seal(1)];
    accumulator.recycle?.(first);
    add(9, "b");
    expect(letters(second)).toBe("a".repeat(9));
    accumulator.recycle?.(second);
    add(9, "c");
    expect(letters(seal(1))).toBe("a".repeat(9));
  });

  it("are kept up to bufferShrinkBytes, and no further", () => {
    const { accumulator, add, seal } = tens(64);
    add(12, "a");
    const first = seal(12);
    const before = new Set(memory(first));
    add(1, "b");
    accumulator.recycle?.(first);
    add(14, "b");
    const again = memory(seal(15)).filter((buffer) => before.has(buffer));
    expect(before.size).toBe(4);
    expect(again).toHaveLength(2);
  });

  it("are not kept where they were made for one large row", () => {
    const { accumulator, add, seal } = tens();
    accumulator.measure({ text: "x".repeat(100) });
    accumulator.fold();
    const large = seal(1);
    accumulator.recycle?.(large);
    add(12, "a");
    expect(memory(seal(12))).not.toContain(memory(large)[0]);
  });
});
