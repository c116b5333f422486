import { expect, test } from "vitest";
import { withoutPassword } from "./database.ts";
import { messageOf, printable, quote } from "./failure.ts";

test("what is printed cannot control the terminal", () => {
  expect(quote('a"\n\u001b[31m\u009b\u202e')).toBe('"a\\"\\n\\u001b[31m\\u{9b}\\u{202e}"');
  expect(printable("a\r\nb")).toBe("a\\u{d}\\u{a}b");
  expect(printable("zwölf ✓")).toBe("zwölf ✓");
});

test("every error has a message of one line", () => {
  expect(messageOf(new Error("a\tb"))).toBe("a\\u{9}b");
  expect(messageOf(new Error("two:\n  one\r\n  two\n"))).toBe("two: one; two");
  expect(messageOf(new RangeError(""))).toBe("RangeError");
  expect(messageOf(Object.assign(new Error(""), { code: "ECONNREFUSED" }))).toBe("ECONNREFUSED");
  expect(messageOf(new AggregateError([new Error("refused"), new Error("b")]))).toBe("refused");
  expect(messageOf("thrown")).toBe("thrown");
});

test.each([
  ["postgres://u:secret@h/d", "postgres://u:***@h/d"],
  ["postgres://u:se@cr/e:t#@h:1/d", "postgres://u:***@h:1/d"],
  ["postgres://u@h/d", "postgres://u@h/d"],
  ["postgres://h:5432/d", "postgres://h:5432/d"],
  ["postgres://h/d?password=secret&sslmode=require", "postgres://h/d?password=***&sslmode=require"],
  ["postgres://h/d?user=u&sslpassword=secret", "postgres://h/d?user=u&sslpassword=***"],
  ["mysql://u:secret@h", "mysql://u:***@h"],
  ["http://u:se/cr@et@h:8123/d", "http://u:***@h:8123/d"],
  ["https://h:8443/?access_token=secret&x=1", "https://h:8443/?access_token=***&x=1"],
  ["u:secret@h", "u:***@h"],
])("%s is shown as %s", (url, shown) => {
  expect(withoutPassword(url)).toBe(shown);
});
