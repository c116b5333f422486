import { readFileSync } from "node:fs";

/**
 * The gzipped size of everything a subpath loads, minified, per subpath of the library.
 * A subpath without a limit fails, so a new export is weighed on the day it appears.
 * @type {Record<string, string>}
 */
const limits = {
  ".": "26 kB",
  "./postgres": "15 kB",
  "./client-stats": "26 kB",
  "./clickhouse": "35 kB",
  "./pubsub": "18 kB",
  "./agent-metadata": "29 kB",
  "./http": "23 kB",
  "./lru-cache": "7.5 kB",
  "./statsig": "33.5 kB",
  "./testing": "3.5 kB",
};

const manifest = JSON.parse(
  readFileSync(new URL("packages/sluice/package.json", import.meta.url), "utf8"),
);

/** @type {[string, { default: string } | string][]} */
const subpaths = Object.entries(manifest.exports);

export default subpaths.flatMap(([subpath, target]) => {
  if (typeof target === "string") return [];
  const limit = limits[subpath];
  if (limit === undefined) throw new Error(`.size-limit.js states no limit for ${subpath}`);
  return {
    name: subpath.replace(".", "sluice"),
    path: `packages/sluice/${target.default.replace("./", "")}`,
    limit,
    gzip: true,
    /** @param {object} config */
    modifyEsbuildConfig: (config) => ({ ...config, platform: "node", format: "esm" }),
  };
});
