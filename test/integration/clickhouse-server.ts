/** Starts the ClickHouse server once for all integration tests, where it is installed. */
import type { TestProject } from "vitest/node";
import { clickHouseServerMissing, startClickHouse } from "../../scripts/clickhouse-server.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The server's HTTP interface; null where it is not installed. */
    clickhouseUrl: string | null;
    /** What to install; null where it is. */
    clickhouseMissing: string | null;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const missing = clickHouseServerMissing() ?? null;
  project.provide("clickhouseMissing", missing);
  if (missing !== null) {
    project.provide("clickhouseUrl", null);
    return async () => undefined;
  }
  const { url, stop } = await startClickHouse();
  project.provide("clickhouseUrl", url);
  return stop;
}
