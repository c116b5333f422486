import { expect, test } from "vitest";
import { agentIdOf } from "./agent-id.ts";

test("an agent's id is the one that RFC 9562 computes as its example", () => {
  expect(agentIdOf("www.example.com")).toBe("2ed6657d-e927-568b-95e1-2665a8aea6a2");
});

test("every id has the version and the variant, and its bytes are of UTF-8", () => {
  const ids = Array.from({ length: 100 }, (_, index) => agentIdOf(`é${index}`));
  expect(new Set(ids).size).toBe(100);
  for (const id of ids) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  // As uuid5(NAMESPACE_DNS, "é") of Python.
  expect(agentIdOf("é")).toBe("ebfe0af8-3997-5ade-b634-ba92cf69f557");
});
