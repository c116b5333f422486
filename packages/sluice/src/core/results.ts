import type { RejectedEntry, WriteResult } from "../sinks/sink.ts";

/** What a sink told about an attempt that succeeded, with every default filled in. */
export interface Told {
  readonly rejected: readonly RejectedEntry[];
  readonly duplicate: boolean;
  readonly statements: number;
  readonly details?: unknown;
}

/**
 * What a sink returned for a batch of `entries`, as far as it makes sense. That it returned says:
 * applied. An entry named twice, or one that is not there, must not upset the books.
 */
export function readResult(
  returned: unknown,
  entries: number,
  warn: (error: unknown) => void,
): Told {
  try {
    const told = (returned ?? {}) as Partial<Record<keyof WriteResult, unknown>>;
    const { rejected = [], duplicate, statements, details } = told;
    const sent = Number.isSafeInteger(statements) && Number(statements) >= 0;
    if (!Array.isArray(rejected)) throw new TypeError("the sink's `rejected` is not a list");
    return {
      rejected: plausible(rejected as readonly unknown[], entries, warn),
      duplicate: duplicate === true,
      statements: sent ? Number(statements) : 1,
      ...(details === undefined ? {} : { details }),
    };
  } catch (error) {
    warn(error);
    return { rejected: [], duplicate: false, statements: 1 };
  }
}

function plausible(
  named: readonly unknown[],
  entries: number,
  warn: (error: unknown) => void,
): readonly RejectedEntry[] {
  const places = new Map<number, RejectedEntry>();
  for (const entry of named) {
    const { index, cause } = (entry ?? {}) as Partial<Record<keyof RejectedEntry, unknown>>;
    const place = Number.isInteger(index) ? Number(index) : -1;
    if (place >= 0 && place < entries) places.set(place, { index: place, cause });
    else warn(new Error(`the sink rejected entry ${String(index)} of a batch of ${entries}`));
  }
  return [...places.values()];
}
