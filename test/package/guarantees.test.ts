import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

it("every proof of the README's guarantees is a test that exists", () => {
  const [, proofs = ""] = readFileSync(`${root}README.md`, "utf8").split("### Proof\n");
  const lines = proofs.split("\n## ")[0]?.match(/^\d+\. .*$/gm) ?? [];
  expect(lines.length).toBeGreaterThan(15);
  for (const line of lines) {
    const sources = [...line.matchAll(/\]\(([^)]+\.test\.ts)\)/g)].map(([, path = ""]) =>
      readFileSync(`${root}${path}`, "utf8"),
    );
    expect(sources, line).not.toEqual([]);
    for (const [, title = ""] of line.matchAll(/"([^"]+)"/g)) {
      expect(sources.join("\n")).toContain(title);
    }
  }
});
