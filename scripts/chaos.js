// Runs the chaos of test/chaos, which is TypeScript: see `npm run chaos -- --help`.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const root = fileURLToPath(new URL("..", import.meta.url));
const vite = await createViteServer({
  root,
  configFile: "vitest.config.ts",
  appType: "custom",
  logLevel: "error",
  server: { middlewareMode: true, ws: false, watch: null },
});
const { main } = await vite.ssrLoadModule("/test/chaos/main.ts");
process.exitCode = await main(process.argv.slice(2));
await vite.close();
