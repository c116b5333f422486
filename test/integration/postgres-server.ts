/** Starts PostgreSQL once for all integration tests, and stops it when the run ends. */
import type { TestProject } from "vitest/node";
import { startPostgres } from "../../scripts/postgres-server.js";

declare module "vitest" {
  interface ProvidedContext {
    /** The server's maintenance database, as its superuser. */
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { url, stop } = await startPostgres();
  project.provide("postgresUrl", url);
  return stop;
}
