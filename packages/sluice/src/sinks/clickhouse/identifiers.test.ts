import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { identifier, stringLiteral, tableName } from "./identifiers.ts";

/** Reads a quoted text as ClickHouse's lexer does: up to the first mark that is not escaped. */
function lex(text: string): { readonly value: string; readonly rest: string } {
  const mark = text[0];
  let value = "";
  for (let at = 1; at < text.length; at += 1) {
    const char = text[at] ?? "";
    if (char === "\\") {
      at += 1;
      value += text[at] === "0" ? "\0" : text[at];
    } else if (char === mark) return { value, rest: text.slice(at + 1) };
    else value += char;
  }
  return { value, rest: "never closed" };
}

const hostile = fc.string({
  unit: fc.constantFrom("`", "\\", "'", '"', ".", "a", "é", "\n", ";", "--"),
});

describe("names", () => {
  it("stay within their quotes, whatever they hold", () => {
    fc.assert(
      fc.property(hostile, (name) => {
        fc.pre(name !== "");
        expect(lex(identifier("column", name))).toEqual({ value: name, rest: "" });
      }),
    );
  });

  it.each([[""], ["a\0b"], ["\ud800"], [undefined], [null], [7], [{}]])("refuses %j", (name) => {
    expect(() => identifier("column", name)).toThrow(
      expect.objectContaining({ code: "SLUICE_ERR_CLICKHOUSE_IDENTIFIER" }),
    );
    expect(() => tableName("table", name)).toThrow(
      expect.objectContaining({ code: "SLUICE_ERR_CLICKHOUSE_IDENTIFIER" }),
    );
  });

  it("of tables may name their database, in one text or in parts", () => {
    expect(tableName("table", "events")).toMatchObject({ quoted: "`events`", text: "events" });
    const apart = { database: "stats", table: "events", quoted: "`stats`.`events`" };
    expect(tableName("table", "stats.events")).toMatchObject(apart);
    expect(tableName("table", { database: "stats", table: "events" })).toMatchObject(apart);
    expect(tableName("table", { database: "d", table: "a.b.c" }).quoted).toBe("`d`.`a.b.c`");
  });

  it("of tables with too many dots are refused, with the value", () => {
    expect(() => tableName("table", "a.b.c")).toThrow(/more than one dot.*"a.b.c"/);
    expect(() => tableName("table", ".b")).toThrow(/the database must be a name/);
  });
});

describe("string literals", () => {
  it("stay within their quotes, whatever they hold", () => {
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string({ unit: "binary" })), (text) => {
        expect(lex(stringLiteral(text))).toEqual({ value: text.toWellFormed(), rest: "" });
      }),
    );
    expect(stringLiteral("\0")).not.toContain("\0");
  });
});
