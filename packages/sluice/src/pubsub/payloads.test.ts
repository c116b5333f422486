import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSluiceError } from "../errors.ts";
import { byteLength } from "../shapes/text.ts";
import { checkUuid, packTexts, packUuids, unpackTexts, unpackUuids } from "./payloads.ts";

const uuid = (index: number): string =>
  createHash("md5")
    .update(String(index))
    .digest("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
const uuids = (count: number): string[] => Array.from({ length: count }, (_, index) => uuid(index));

const failure = (work: () => unknown): { code: string; message: string } => {
  try {
    work();
  } catch (error) {
    if (isSluiceError(error)) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error("it did not throw");
};

describe("UUIDs in payloads", () => {
  it.each([
    [0, []],
    [1, [22]],
    [363, [7_986]],
    [364, [7_986, 22]],
    [600, [7_986, 5_214]],
    [726, [7_986, 7_986]],
    [727, [7_986, 7_986, 22]],
  ])("%d of them make payloads of %j bytes and come back in order", (count, lengths) => {
    const ids = uuids(count);
    const payloads = packUuids(ids);
    expect(payloads.map(byteLength)).toEqual(lengths);
    expect(payloads.flatMap(unpackUuids)).toEqual(ids);
  });

  it("600 are 363 and 237", () => {
    expect(packUuids(uuids(600)).map((payload) => unpackUuids(payload).length)).toEqual([363, 237]);
  });

  it("are the base64 of their bytes, without padding", () => {
    const ids = [
      "00000000-0000-0000-0000-000000000000",
      "ffffffff-ffff-ffff-ffff-ffffffffffff",
      "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    ];
    const fixed = "AAAAAAAAAAAAAAAAAAAAAA/////////////////////wa6e4EJ2tEdGAtADAT9QwyA";
    expect(packUuids(ids)).toEqual([fixed]);
    const bytes = ids.map((id) => Buffer.from(id.replaceAll("-", ""), "hex"));
    expect(bytes.map((each) => each.toString("base64").replace("==", "")).join("")).toBe(fixed);
    expect(unpackUuids(fixed)).toEqual(ids);
  });

  it("take any case and give lower case", () => {
    const upper = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8";
    expect(checkUuid(upper)).toBe(upper.toLowerCase());
    expect(packUuids([upper])).toEqual(packUuids([upper.toLowerCase()]));
    expect(unpackUuids(packUuids([upper])[0] ?? "")).toEqual([upper.toLowerCase()]);
  });

  it.each([
    "",
    "6ba7b8109dad11d180b400c04fd430c8",
    "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n",
    "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
    7,
    undefined,
  ])("are refused when they are none: %j", (id) => {
    const { code, message } = failure(() => checkUuid(id));
    expect(code).toBe("SLUICE_ERR_KEY_INVALID");
    expect(message).toContain(id === undefined ? "undefined" : JSON.stringify(id));
    expect(failure(() => packUuids([uuid(1), id as string])).code).toBe("SLUICE_ERR_KEY_INVALID");
  });

  it.each([
    ["half a slot", "AAAAAAAAAAA"],
    ["a slot and one character", "AAAAAAAAAAAAAAAAAAAAAAA"],
    ["another alphabet", "AAAAAAAAAAAAAAAAAAAA-A"],
    ["padding", "AAAAAAAAAAAAAAAAAAAA=="],
    ["bits behind the last byte", "AAAAAAAAAAAAAAAAAAAAAB"],
    ["a fault in the second slot", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!"],
  ])("do not come from %s", (_, payload) => {
    expect(failure(() => unpackUuids(payload)).code).toBe("SLUICE_ERR_PAYLOAD_INVALID");
  });

  it("come back whatever they are", () => {
    fc.assert(
      fc.property(fc.array(fc.uuid({ version: [1, 4, 7] }), { maxLength: 800 }), (ids) => {
        expect(packUuids(ids).flatMap(unpackUuids)).toEqual(ids);
      }),
      { numRuns: 50 },
    );
  });
});

describe("texts in payloads", () => {
  const wellFormed = fc
    .string({ unit: "binary", maxLength: 400 })
    .filter((text) => text.isWellFormed() && !text.includes("\0"));
  const key = fc.oneof(
    wellFormed,
    fc.string({
      unit: fc.constantFrom('"', "\\", "\n", "\u0001", "ü", "語", "😀"),
      maxLength: 900,
    }),
    fc.constantFrom("", "a", "null", "]"),
  );

  it("come back in order, in full payloads that can be published", () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 120 }), (keys) => {
        const payloads = packTexts(keys);
        expect(payloads.flatMap(unpackTexts)).toEqual(keys);
        for (const [index, payload] of payloads.entries()) {
          expect(byteLength(payload)).toBeLessThanOrEqual(7_999);
          const [next] = unpackTexts(payloads[index + 1] ?? "[]");
          if (next === undefined) continue;
          const more = JSON.stringify([...unpackTexts(payload), next]);
          expect(byteLength(more)).toBeGreaterThan(7_999);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("none make no payload", () => {
    expect(packTexts([])).toEqual([]);
  });

  it.each(["a", "ü", '"', "\u0001"])("fill a payload of exactly 7,999 bytes (%j)", (unit) => {
    const each = byteLength(JSON.stringify(unit)) - 2;
    const longest = unit.repeat(7_995 / each) + "a".repeat(7_995 % each);
    expect(packTexts([longest]).map(byteLength)).toEqual([7_999]);
    const { code, message } = failure(() => packTexts(["x", `${longest}a`]));
    expect(code).toBe("SLUICE_ERR_KEY_TOO_LONG");
    expect(message).toContain("8000 bytes");
    expect(message).toContain(JSON.stringify(longest.slice(0, 80)).slice(0, -1));
  });

  it("share a payload up to 7,999 bytes", () => {
    const half = "a".repeat(3_996);
    expect(packTexts([half, "b".repeat(3_996)]).map(byteLength)).toEqual([7_999]);
    expect(packTexts([half, "b".repeat(3_997)]).map(byteLength)).toEqual([4_000, 4_001]);
  });

  it.each([
    ["NUL", "a\0b"],
    ["a lone surrogate", "a\ud800"],
    ["no text", 7],
  ])("are refused with %s", (fault, text) => {
    const { code, message } = failure(() => packTexts([text as string]));
    expect(code).toBe("SLUICE_ERR_KEY_INVALID");
    expect(message).toContain(fault);
    expect(message).toContain(JSON.stringify(text));
  });

  it.each(["", "a", "{}", "null", "[1]", '["a",null]', '["a"', '["\\u0000"]', '["\\ud800"]'])(
    "do not come from %s",
    (payload) => {
      const { code, message } = failure(() => unpackTexts(payload));
      expect(code).toBe("SLUICE_ERR_PAYLOAD_INVALID");
      expect(message).toContain(JSON.stringify(payload));
    },
  );
});
