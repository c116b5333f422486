import { quote, SluiceError } from "../errors.ts";

/** What tells groups and questions apart, compared as a `Map` compares: 1 and "1" are two. */
export type CallKey = string | number | bigint | boolean;

/** Refuses what would never equal another, or does not say what it is. */
export function checkKey(what: "group" | "key", value: unknown): CallKey {
  if (typeof value === "string" || typeof value === "bigint" || typeof value === "boolean") {
    return value;
  }
  if (typeof value === "number" && !Number.isNaN(value)) return value;
  const expected = "a string, number, bigint or boolean, which says everything that matters";
  const message = `${what}() must give ${expected}; it gave ${quote(value)}`;
  throw new SluiceError("SLUICE_ERR_KEY_INVALID", message);
}
