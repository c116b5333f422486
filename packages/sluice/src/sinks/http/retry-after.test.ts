import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { retryAfterMs } from "./retry-after.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 0);
const read = (header: string | null): number | undefined => retryAfterMs(header, NOW, 60_000);

describe("retryAfterMs", () => {
  beforeEach(() => {
    vi.stubEnv("TZ", "Asia/Tokyo"); // the dates are those of Greenwich wherever they are read
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each([
    ["0", 0],
    ["7", 7_000],
    ["007", 7_000],
    ["-5", 0],
    ["60", 60_000],
    ["61", 60_000],
    ["9".repeat(400), 60_000],
  ])("reads seconds: %s", (header, expected) => {
    expect(read(header)).toBe(expected);
  });

  it.each([
    ["Thu, 01 Jan 2026 12:00:30 GMT", 30_000],
    ["Thursday, 01-Jan-26 12:00:30 GMT", 30_000],
    ["Thu Jan  1 12:00:30 2026", 30_000],
    ["Thu, 01 Jan 2026 13:00:00 GMT", 60_000],
    ["Thu, 01 Jan 2026 11:59:00 GMT", 0],
    ["Fri, 31 Dec 1999 23:59:59 GMT", 0],
  ])("reads dates, relative to now: %s", (header, expected) => {
    expect(read(header)).toBe(expected);
  });

  it.each([
    null,
    "",
    "soon",
    "1.5",
    "1e3",
    "0x10",
    "5, 10",
    "try 5 times",
    "+5",
    "2026-01-01T12:00:30Z",
    "Thu, 01 Jan 2026 12:00:30 CET",
    "Thu, 01 Jan 2026 99:00:30 GMT",
  ])("ignores what is neither: %s", (header) => {
    expect(read(header)).toBeUndefined();
  });
});
