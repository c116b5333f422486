/**
 * PGlite for tests. To set one up takes seconds of work, more than all that a test asks of it: the
 * first file of a run that needs one keeps its image, and every other is a copy.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { beforeAll, inject, vi } from "vitest";

const create = PGlite.create.bind(PGlite);

let image: Promise<Blob> | undefined;
const imageOf = (): Promise<Blob> => (image ??= readImage());

/** Opens a PGlite of its own, with nothing in it. */
export async function openPglite(): Promise<PGlite> {
  return create({ loadDataDir: await imageOf() });
}

/** Has what the tests of a file run open such copies, where it opens PGlite by itself. */
export function copyPglite(): void {
  beforeAll(async () => {
    await imageOf(); // to set one up, PGlite calls its own `create`
    vi.spyOn(PGlite, "create").mockImplementation(openPglite);
  });
}

async function readImage(): Promise<Blob> {
  const path = join(inject("pgliteFolder"), "image.tar");
  const kept = await readFile(path).catch(() => undefined);
  return kept === undefined ? makeImage(path) : new Blob([kept]);
}

/** Files that make it at the same time put equal images in each other's place. */
async function makeImage(path: string): Promise<Blob> {
  const database = await create();
  const made = await database.dumpDataDir("none");
  await database.close();
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, made.stream());
  await rename(unfinished, path);
  return made;
}
