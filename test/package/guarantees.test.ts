import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

it("every proof of the README's guarantees is a test that exists", () => {
  const proofs = readFileSync(`${root}README.md`, "utf8").split("### Proof\n")[1]?.split("\n## ")[0];
  const named = [...(proofs ?? "").matchAll(/\]\((\S+\.test\.ts)\)((?:[^\n[]*"[^"]+")*)/g)];
  expect(named.length).toBeGreaterThan(15);
  for (const [, path = "", titles = ""] of named) {
    const source = readFileSync(`${root}${path}`, "utf8");
    for (const [, title = ""] of titles.matchAll(/"([^"]+)"/g)) expect(source).toContain(title);
  }
});
