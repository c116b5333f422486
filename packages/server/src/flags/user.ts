import { createHash } from "node:crypto";
import { createRandom, type Random } from "../traffic/random.ts";

/** Whom flags are asked for, as it came in. */
export type FlagUser = Readonly<Record<string, unknown>>;

/** Whether a value is an object with names, and no list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** All of a user as JSON; users that are the same as JSON values have the same, in whatever order. */
export function canonicalUser(user: object): string {
  return JSON.stringify(user, (_key, value: unknown) => {
    if (!isRecord(value)) return value;
    // `fromEntries` makes properties of its own, so that `__proto__` is a name like any other.
    return Object.fromEntries(
      Object.keys(value)
        .toSorted()
        .map((name) => [name, value[name]]),
    );
  });
}

/** Creates a sequence of its own for everything that can be told apart as JSON. */
export function randomOf(...parts: readonly (string | number)[]): Random {
  return createRandom(createHash("sha256").update(JSON.stringify(parts)).digest().readUIntBE(0, 6));
}
