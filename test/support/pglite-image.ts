/** Gives all test files of a run one folder for the image of a new PGlite, see pglite.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the image lies once a test file has made it. */
    pgliteFolder: string;
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "sluice-pglite-"));
  project.provide("pgliteFolder", folder);
  return () => rm(folder, { recursive: true, force: true });
}
