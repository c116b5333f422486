/**
 * PGlite for tests. To set one up takes seconds of work, more than all that a test asks of it: the
 * first file of a run that needs one keeps its image, and every other is a copy.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { inject } from "vitest";

// Bound, so that a test may put openPglite in its place.
const create = PGlite.create.bind(PGlite);

let image: Promise<Blob> | undefined;

/** Opens a PGlite of its own, with nothing in it. */
export async function openPglite(): Promise<PGlite> {
  image ??= readImage();
  return create({ loadDataDir: await image });
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
