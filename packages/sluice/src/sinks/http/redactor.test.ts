import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { excerpt } from "./excerpt.ts";
import { createRedactor } from "./redactor.ts";

const TOKEN = `s3cr3t"<t/ok&en>'+=\\x`;
const html = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
const unicodeEscapes = (text: string): string =>
  [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("");

describe("createRedactor", () => {
  it.each([
    ["as it is", TOKEN],
    ["in JSON", JSON.stringify(TOKEN).slice(1, -1)],
    ["in JSON with escaped slashes", JSON.stringify(TOKEN).slice(1, -1).replaceAll("/", "\\/")],
    ["in JSON of JSON", JSON.stringify(JSON.stringify(TOKEN)).slice(3, -3)],
    ["in JSON, all escaped", unicodeEscapes(TOKEN)],
    ["in a URL", encodeURIComponent(TOKEN)],
    ["in a URL of a URL", encodeURIComponent(encodeURIComponent(TOKEN))],
    ["in HTML", html(TOKEN)],
    ["in another case", TOKEN.toUpperCase()],
  ])("finds a secret %s", (_, spelling) => {
    expect(createRedactor([`Bearer ${TOKEN}`]).redact(`<${spelling}>`)).toBe("<[redacted]>");
  });

  it.each([
    ["Bearer abcdef123", "abcdef123"],
    ['Digest username=someone, response="0123456789"', "0123456789"],
    ["sid=abcdef123; theme=darkness", "abcdef123"],
    [`Basic ${Buffer.from("user:hunter22").toString("base64")}`, "hunter22"],
    [`Basic ${Buffer.from("user:hunter22").toString("base64")}`, "user:hunter22"],
    ["clé-secrète", "cl\u{fffd}-secr\u{fffd}te"],
    ["clé-secrète", "cl%C3%A9-secr%C3%A8te"],
    ["Ã©Ã©Ã©Ã©Ã©", "ééééé"],
    ["two  words", "two words"],
    ["nabcdef", String.raw`DOMAIN\nabcdef`],
    ["41abcdef", "%41abcdef"],
    ["&amp;secret", "&amp;amp;secret"],
    ["abc\tdefg", String.raw`abc\\tdefg`],
    ["abc def g", "abc+def%20g"],
  ])("of %j finds %j", (value, part) => {
    const shown = createRedactor([value]).redact(`<${part}>`);
    expect(shown).toMatch(/^<.{0,7}\[redacted\]>$/);
  });

  it("keeps the scheme, and what is shorter than 6 characters", () => {
    const { redact } = createRedactor(["Bearer abcde", "12345"]);
    expect(redact("Bearer token, abcde, 12345; Bearer abcde")).toBe(
      "Bearer token, abcde, 12345; [redacted]",
    );
  });

  it("changes nothing without secrets", () => {
    expect(createRedactor([]).redact("text")).toBe("text");
    expect(createRedactor([""]).redactStart("text")).toBe("text");
  });

  it("of two secrets that begin alike leaves nothing of the longer", () => {
    expect(createRedactor(["abcdef", "abcdefghi"]).redact("abcdefghi")).toBe("[redacted]");
  });

  it("of a text that ends within a secret leaves no start of it, in any spelling", () => {
    const secret = `n${TOKEN}`.repeat(4);
    const { redactStart } = createRedactor([secret]);
    const json = JSON.stringify(secret).slice(1, -1);
    for (const spelling of [secret, `\\${secret}`, json, unicodeEscapes(secret), html(secret)]) {
      for (let end = 0; end <= spelling.length; end += 1) {
        expect(redactStart(`··· ${spelling.slice(0, end)}`)).toMatch(
          /^·*(?: \\?(?:\[redacted\])?)?$/,
        );
      }
    }
  });

  it("is quick with long secrets and texts made to resemble them", () => {
    const { redactStart } = createRedactor([
      "a".repeat(8_000),
      `${"\\".repeat(60)}x`,
      " a".repeat(99),
    ]);
    const near = `${"a".repeat(7_999)}b${"\\".repeat(59)}b${" ".repeat(5_000)}`;
    expect(redactStart(near.repeat(2))).toContain("b");
    expect(redactStart(`b${"a".repeat(16_000)}`)).toBe("b[redacted]");
    expect(redactStart(`b${"%25".repeat(5_000)}${"&amp;".repeat(3_000)}`)).toContain("b");
  });

  it("leaves no value in an excerpt, whatever is around it and wherever it is cut", () => {
    const value = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((c) => String.fromCharCode(c)),
      minLength: 6,
      maxLength: 60,
    });
    fc.assert(
      fc.property(value, fc.nat(1_000), fc.nat(8_000), (secret, before, length) => {
        fc.pre(!"[redacted]".includes(secret));
        const text = ("·".repeat(before) + `${secret} `.repeat(500)).slice(0, length);
        const shown = excerpt(text, createRedactor([secret]), true);
        expect(shown).not.toContain(secret.slice(0, -1));
      }),
    );
  });
});

describe("excerpt", () => {
  const none = createRedactor([]);

  it("cuts at 500 bytes, between characters", () => {
    expect(excerpt("a".repeat(500), none)).toBe("a".repeat(500));
    expect(excerpt("a".repeat(501), none)).toBe(`${"a".repeat(500)}…`);
    expect(excerpt(`a${"é".repeat(300)}`, none)).toBe(`a${"é".repeat(249)}…`);
    expect(excerpt("😀".repeat(126), none)).toBe(`${"😀".repeat(125)}…`);
    expect(excerpt(`abc${"😀".repeat(126)}`, none)).toBe(`abc${"😀".repeat(124)}…`);
    expect(excerpt("a".repeat(100_000), none)).toHaveLength(501);
  });

  it("is one line of what can be seen", () => {
    expect(excerpt(" a\r\n\tb\0\u001b[31mc\u202ed\u2028e\ud800f ", none)).toBe("a b [31mc d e f");
  });

  it("says when the text itself is only a part", () => {
    expect(excerpt("abc", none, true)).toBe("abc…");
  });

  it("drops the end of a part where a secret may begin", () => {
    const redactor = createRedactor(["0123456789"]);
    const shown = excerpt(`${"x".repeat(200)}01234567`, redactor, true);
    expect(shown).toMatch(/^x+…$/);
  });

  it("does not put a secret together by collapsing", () => {
    expect(excerpt("one\n\0two", createRedactor(["one two"]))).toBe("[redacted]");
    expect(excerpt("abc\u0085def", createRedactor(["abc\u0085def"]))).toBe("[redacted]");
  });
});
