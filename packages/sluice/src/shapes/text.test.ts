import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareText, textFault } from "./text.ts";

const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

describe("compareText", () => {
  it("is the order of UTF-8 bytes, for any two texts that UTF-8 can hold", () => {
    const unit = fc.constantFrom(
      "",
      "a",
      "\u007f",
      "\u0080",
      "\u07ff",
      "\u0800",
      "\ud7ff",
      "\ue000",
    );
    const astral = fc.constantFrom(
      "\uf8ff",
      "\uf900",
      "\ufb01",
      "\uffff",
      "\u{10000}",
      "\u{1f600}",
      "\u{10ffff}",
    );
    const corner = fc
      .array(fc.oneof(unit, astral), { maxLength: 4 })
      .map((units) => units.join(""));
    const text = fc.oneof(corner, fc.string({ unit: "binary" }));
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(order(a, b));
      }),
      { numRuns: 5_000, seed: 1 },
    );
  });

  it("puts a prefix first and finds equal texts equal", () => {
    expect(compareText("", "")).toBe(0);
    expect(compareText("ab", "ab")).toBe(0);
    expect(compareText("ab", "abc")).toBeLessThan(0);
    expect(compareText("b", "abc")).toBeGreaterThan(0);
  });
});

describe("textFault", () => {
  it("finds NUL and lone surrogates, and nothing else", () => {
    expect(textFault("a\0b")).toBe("NUL");
    expect(textFault("a\ud800")).toBe("a lone surrogate");
    expect(textFault("\udc00")).toBe("a lone surrogate");
    for (const fine of ["", "a", "\u0001", "\u{1f600}", "__proto__"]) {
      expect(textFault(fine)).toBeUndefined();
    }
  });
});
