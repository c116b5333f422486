import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

const OUTPUT: Readonly<Record<string, string>> = {
  "agents-to-postgres.js": "disk: not mounted, load: 0.9\n",
  "coalesced-calls.js":
    "one call about ann: search, new_checkout\none call about bob: search\n" +
    "search true, again true, new_checkout true\n",
  "list-to-function.js": "one write of 3: alpha, beta, gamma\n",
  "rows-to-clickhouse.js": "2 rows, 1 insert, deduplication by token\n",
  "usage-to-postgres.js": "10000 items, 3 entries, 1 batch\n",
};

describe("the examples", () => {
  it("are all tested", () => {
    expect(readdirSync(`${root}examples`).sort()).toEqual(Object.keys(OUTPUT).sort());
  });

  it.each(Object.entries(OUTPUT))("%s prints what it says", async (name, output) => {
    const { stdout } = await run(process.execPath, [`${root}examples/${name}`]);
    expect(stdout).toBe(output);
  });

  it.each(Object.keys(OUTPUT))("%s stands in the README as it is", (name) => {
    const [, ...code] = readFileSync(`${root}examples/${name}`, "utf8").split("\n");
    expect(readFileSync(`${root}README.md`, "utf8")).toContain(code.join("\n").trim());
  });
});
