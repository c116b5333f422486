import { readFileSync, writeFileSync } from "node:fs";
import type { FailedSeed } from "./pool.ts";

const FILE = "test/simulation/regressions.json";

/** A seed that has failed once, and what it had found. */
type Regression = Pick<FailedSeed, "seed"> & { readonly found: string };

/** The seeds that have failed before: they are lived first, by every run from the repository's root. */
export function known(): readonly Regression[] {
  return JSON.parse(readFileSync(FILE, "utf8")) as Regression[];
}

/** Keeps seeds that have failed, and says where; not in CI, which has nobody to commit them. */
export function keep(failed: readonly FailedSeed[]): string | undefined {
  if (process.env["CI"] !== undefined) return undefined;
  const kept = known();
  const fresh = failed
    .slice(0, 10)
    .filter(({ seed }) => !kept.some((regression) => regression.seed === seed))
    .map(({ seed, subject, failures }) => ({ seed, found: `${subject}: ${failures[0]}` }));
  writeFileSync(FILE, `${JSON.stringify([...kept, ...fresh], null, 2)}\n`);
  return FILE;
}
