/**
 * The transaction pooler of integration tests, where it is installed.
 */
import { describe } from "vitest";
import { pgbouncerMissing } from "../../scripts/pgbouncer-server.js";

/**
 * A block of tests with pgbouncer. Where it is not installed they are skipped, and the block's name
 * says why.
 */
export function describePgbouncer(name: string, tests: () => void): void {
  const missing = pgbouncerMissing();
  const reason = missing === undefined ? "" : ` (${missing})`;
  describe.skipIf(missing !== undefined)(`${name}${reason}`, () => {
    tests();
  });
}
