import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const sources = at("packages/sluice/src");
/** Tests run on the library's sources; only `test/package` sees what is published. */
const alias = [
  { find: /^sluice$/, replacement: `${sources}/index.ts` },
  { find: /^sluice\/postgres$/, replacement: `${sources}/sinks/postgres/index.ts` },
  { find: /^sluice\/clickhouse$/, replacement: `${sources}/systems/clickhouse.ts` },
  { find: /^sluice\/client-stats$/, replacement: `${sources}/systems/client-stats.ts` },
  { find: /^sluice\/pubsub$/, replacement: `${sources}/pubsub/index.ts` },
  { find: /^sluice\/agent-metadata$/, replacement: `${sources}/systems/agent-metadata.ts` },
  { find: /^sluice\/http$/, replacement: `${sources}/sinks/http/index.ts` },
  { find: /^sluice\/lru-cache$/, replacement: `${sources}/coalescer/lru-cache.ts` },
  { find: /^sluice\/statsig$/, replacement: `${sources}/systems/statsig.ts` },
  { find: /^sluice\/testing$/, replacement: `${sources}/testing/index.ts` },
];

const servers = ["postgres-server.ts", "clickhouse-server.ts"].map((name) =>
  at(`test/integration/${name}`),
);

export default defineConfig({
  test: {
    maxWorkers: 3, // also on two processors: while the tests of a file wait for a server, others work
    globalSetup: at("test/support/pglite-image.ts"),
    projects: [
      {
        resolve: { alias },
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts"],
          testTimeout: 60_000, // they wait for nothing, but may have to share their processor
        },
      },
      {
        resolve: { alias },
        test: {
          name: "repository",
          include: ["test/**/*.test.ts"],
          exclude: ["test/integration/**"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        resolve: { alias },
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          globalSetup: servers.filter((path) => existsSync(path)),
          pool: "forks", // chDB holds one data directory in a process
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
