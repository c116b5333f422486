/**
 * Bundles the simulation, which is TypeScript, into files that Node runs: with the library's sources as
 * they are, or with one change planted in them.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * @typedef {{ readonly file: string, readonly find: string, readonly replace: string }} Change
 *   In the copy of `file`, below packages/sluice/src, that is bundled: `find` occurs once there.
 */

/**
 * Bundles `main.ts` and `worker.ts`. Within the repository, so that packages are found from there.
 * @param {Change} [change]
 * @returns {Promise<{ main: string; worker: string; remove: () => Promise<void> }>}
 */
export async function bundleSimulation(change) {
  const cache = join(root, "node_modules", ".cache");
  await mkdir(cache, { recursive: true });
  const outdir = await mkdtemp(join(cache, "simulation-"));
  const remove = () => rm(outdir, { recursive: true, force: true });
  let changed = 0;
  try {
    await build({
      absWorkingDir: root,
      entryPoints: ["main", "worker"].map((name) => `test/simulation/${name}.ts`),
      outdir,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      sourcemap: "inline",
      external: ["cli-progress"],
      logLevel: "warning",
      plugins: [
        {
          name: "planted-change",
          setup: ({ onLoad }) => {
            if (change === undefined) return;
            onLoad({ filter: /\.ts$/ }, async ({ path }) => {
              if (path !== join(root, "packages/sluice/src", change.file)) return undefined;
              const text = await readFile(path, "utf8");
              const places = text.split(change.find);
              if (places.length !== 2) {
                const times = places.length - 1;
                throw new Error(`${change.file} has ${times} times: ${change.find}`);
              }
              changed += 1;
              return { contents: places.join(change.replace), loader: "ts" };
            });
          },
        },
      ],
    });
    if (change !== undefined && changed === 0) throw new Error(`${change.file} is not bundled`);
  } catch (error) {
    await remove();
    throw error;
  }
  return { main: join(outdir, "main.mjs"), worker: join(outdir, "worker.mjs"), remove };
}
