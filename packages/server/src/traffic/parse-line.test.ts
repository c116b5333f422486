import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseLine } from "./parse-line.ts";
import { tableOf, type TrafficRequest } from "./request.ts";

const DATE = "17/May/2015:10:05:03 +0000";
const AT = Date.UTC(2015, 4, 17, 10, 5, 3);
/** The last moment of 32 bits of seconds. */
const LAST = 4_294_967_295_000;
const WILD = { referrer: "\\", userAgent: '"\\x22' };
const COMBINED_REST = '"http://example.com/" "Mozilla/5.0"';

function requestOf(line: string): TrafficRequest {
  const parsed = parseLine(line);
  if ("malformed" in parsed) throw new Error(parsed.malformed);
  return parsed.request;
}

function lineWith(parts: {
  host?: string;
  date?: string;
  request?: string;
  rest?: string;
}): string {
  const { host = "h", date = DATE, request = "GET / HTTP/1.1", rest = "200 12" } = parts;
  return `${host} - - [${date}] "${request}" ${rest}`;
}

describe("well-formed lines", () => {
  const usual = {
    client: "h",
    at: AT,
    method: "GET",
    target: "/",
    status: 200,
    bytes: 12,
    referrer: "",
    userAgent: "",
  };
  const read = { referrer: "http://example.com/", userAgent: "Mozilla/5.0" };
  const cases: readonly (readonly [name: string, line: string, Partial<TrafficRequest>])[] = [
    ["common", lineWith({}), {}],
    ["combined", lineWith({ rest: `404 - ${COMBINED_REST}` }), { status: 404, bytes: 0, ...read }],
    ["more fields", lineWith({ rest: `200 12 ${COMBINED_REST} "-" 0.01` }), read],
    ["dashes", lineWith({ rest: '200 12 "-" "-"' }), {}],
    ["empty texts", lineWith({ rest: '200 12 "" ""' }), {}],
    ["a referrer alone", lineWith({ rest: '200 12 "r"' }), { referrer: "r" }],
    ["an agent alone", lineWith({ rest: '200 12 "-" "a b"' }), { userAgent: "a b" }],
    ["unquoted fields", lineWith({ rest: "200 12 a b" }), {}],
    ["most bytes", lineWith({ rest: "200 999999999999999" }), { bytes: 999_999_999_999_999 }],
    ["IPv6 host", lineWith({ host: "2001:db8::1" }), { client: "2001:db8::1" }],
    ["bracketed host", lineWith({ host: "[::1]" }), { client: "[::1]" }],
    ["host __proto__", lineWith({ host: "__proto__" }), { client: "__proto__" }],
    ["HTTP/0.9", lineWith({ request: "GET /x" }), { target: "/x" }],
    ["HTTP/2", lineWith({ request: "GET /x HTTP/2" }), { target: "/x" }],
    ["HTTP/2.0", lineWith({ request: "GET /x HTTP/2.0" }), { target: "/x" }],
    ["asterisk", lineWith({ request: "OPTIONS * HTTP/1.0" }), { method: "OPTIONS", target: "*" }],
    ["space in the target", lineWith({ request: "GET /a b HTTP/1.1" }), { target: "/a b" }],
    ["escaped quote", lineWith({ request: String.raw`GET /a\"b HTTP/1.1` }), { target: '/a"b' }],
    ["escaped backslash", lineWith({ request: String.raw`GET /a\\ HTTP/1.1` }), { target: "/a\\" }],
    ["no unescaping of \\x22", lineWith({ request: String.raw`GET /\x22` }), { target: "/\\x22" }],
    ["user with spaces", `h - John Q. Public [${DATE}] "GET / HTTP/1.1" 200 12`, {}],
    ["user with a bracket", `h - a [b] [${DATE}] "GET / HTTP/1.1" 200 12`, {}],
    [
      "wild agent",
      lineWith({ rest: String.raw`200 12 "-" "a \" b [c` }),
      { userAgent: 'a " b [c' },
    ],
    ["escapes", lineWith({ rest: String.raw`200 12 "\\" "\"\x22"` }), WILD],
    ["the first second", lineWith({ date: "01/Jan/1970:00:00:00 +0000" }), { at: 0 }],
    ["the last second", lineWith({ date: "07/Feb/2106:06:28:15 +0000" }), { at: LAST }],
    ["east", lineWith({ date: "17/May/2015:10:05:03 +0530" }), { at: AT - 330 * 60_000 }],
    ["west", lineWith({ date: "17/May/2015:10:05:03 -07:00" }), { at: AT + 420 * 60_000 }],
    ["leap day", lineWith({ date: "29/Feb/2016:00:00:00 +0000" }), { at: Date.UTC(2016, 1, 29) }],
    ["leap second", lineWith({ date: "31/Dec/2016:23:59:60 +0000" }), { at: Date.UTC(2017, 0) }],
    ["lowest status", lineWith({ rest: "100 12" }), { status: 100 }],
    ["highest status", lineWith({ rest: "599 12" }), { status: 599 }],
  ];
  test.each(cases)("%s", (_, line, expected) => {
    expect(requestOf(line)).toEqual({ ...usual, ...expected });
  });
});

describe("malformed lines", () => {
  const cases: readonly (readonly [name: string, line: string, reason: string])[] = [
    ["words", "hello world", "[date]"],
    ["leading space", ` ${lineWith({})}`, "host"],
    ["one word", "hello", "host"],
    ["long host", lineWith({ host: "é".repeat(128) }), "255 bytes"],
    ["NUL", lineWith({ host: "a\0b" }), "NUL"],
    ["no user", `h - [${DATE}] "GET / HTTP/1.1" 200 1`, "user"],
    ["February 31", lineWith({ date: "31/Feb/2015:10:05:03 +0000" }), "date that does not exist"],
    ["February 29", lineWith({ date: "29/Feb/2015:10:05:03 +0000" }), "date that does not exist"],
    ["day 0", lineWith({ date: "00/May/2015:10:05:03 +0000" }), "date that does not exist"],
    ["no such month", lineWith({ date: "01/Mai/2015:10:05:03 +0000" }), "date that does not exist"],
    ["hour 24", lineWith({ date: "01/May/2015:24:05:03 +0000" }), "date that does not exist"],
    ["zone", lineWith({ date: "01/May/2015:10:05:03 +9900" }), "date that does not exist"],
    ["year 0", lineWith({ date: "01/May/0000:10:05:03 +0000" }), "date that does not exist"],
    ["before 1970", lineWith({ date: "01/Jan/1970:00:00:00 +0001" }), "outside 1970 to 2106"],
    ["after 2106", lineWith({ date: "07/Feb/2106:06:28:16 +0000" }), "outside 1970 to 2106"],
    ["no zone", lineWith({ date: "01/May/2015:10:05:03" }), "[date]"],
    ["request -", lineWith({ request: "-" }), "not HTTP"],
    ["empty request", lineWith({ request: "" }), "not HTTP"],
    ["method alone", lineWith({ request: "GET" }), "not HTTP"],
    ["no target", lineWith({ request: "GET HTTP/1.1" }), "not HTTP"],
    ["blank target", lineWith({ request: "GET  HTTP/1.1" }), "not HTTP"],
    ["TLS", lineWith({ request: String.raw`\x16\x03\x01 \xfc HTTP/1.1` }), "not HTTP"],
    ["other protocol", lineWith({ request: "t3 12.2.1" }), "not HTTP"],
    ["long method", lineWith({ request: `${"A".repeat(65)} / HTTP/1.1` }), "not HTTP"],
    ["open quote", `h - - [${DATE}] "GET / HTTP/1.1`, "closing quote"],
    ["escaped closing quote", lineWith({ request: "GET /\\", rest: "" }), "closing quote"],
    ["no status", lineWith({ rest: "" }), "no status"],
    ["no bytes", lineWith({ rest: "200" }), "no status"],
    ["bytes", lineWith({ rest: "200 many" }), "no status"],
    ["impossible bytes", lineWith({ rest: "200 1000000000000000" }), "no status"],
    ["status -", lineWith({ rest: "- 12" }), "no status"],
    ["four digits", lineWith({ rest: "2000 12" }), "no status"],
    ["status 99", lineWith({ rest: "099 12" }), "outside 100 to 599"],
    ["status 600", lineWith({ rest: "600 12" }), "outside 100 to 599"],
  ];
  test.each(cases)("%s", (_, line, reason) => {
    const parsed = parseLine(line);
    expect("malformed" in parsed ? parsed.malformed : parsed).toContain(reason);
  });

  test("no text makes the parser throw, nor take long", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => void parseLine(text)));
    for (const piece of [" ", "[", '"', "\\", " [17/May/2015", "a ", "GET "]) {
      expect(parseLine(`h - - ${piece.repeat(20_000)}`)).toHaveProperty("malformed");
      expect(parseLine(lineWith({ request: piece.repeat(20_000) }))).toHaveProperty("malformed");
    }
  });
});

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function formatDate(at: number, zoneMinutes: number): string {
  const local = new Date(at + zoneMinutes * 60_000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const zone = Math.abs(zoneMinutes);
  const sign = zoneMinutes < 0 ? "-" : "+";
  const day = `${two(local.getUTCDate())}/${MONTHS[local.getUTCMonth()]}/${local.getUTCFullYear()}`;
  const time = `${two(local.getUTCHours())}:${two(local.getUTCMinutes())}:${two(local.getUTCSeconds())}`;
  return `${day}:${time} ${sign}${two(Math.floor(zone / 60))}${two(zone % 60)}`;
}

test("a formatted request parses back", () => {
  const field = fc.stringMatching(/^[^\0\n\r]{0,40}$/u).filter((content) => content !== "-");
  const text = fc.stringMatching(/^[^\0 \n\r]{1,40}$/u);
  const request = fc.record({
    client: text,
    // A day inside the years that are accepted, so that the zone's year has four digits from 1970 on.
    at: fc.integer({ min: 86_400, max: 4_294_967_295 }).map((seconds) => seconds * 1_000),
    method: fc.constantFrom("GET", "POST", "PROPFIND", "M-SEARCH", "x"),
    target: text.map((path) => `/${path}`),
    status: fc.integer({ min: 100, max: 599 }),
    bytes: fc.integer({ min: 1, max: 999_999_999_999_999 }),
    referrer: field,
    userAgent: field,
  });
  const zone = fc.integer({ min: -23 * 60, max: 23 * 60 });
  fc.assert(
    fc.property(
      request,
      zone,
      fc.constantFrom(" HTTP/1.1", " HTTP/2", ""),
      (one, minutes, http) => {
        const escape = (content: string): string => content.replace(/[\\"]/g, "\\$&");
        const line =
          `${one.client} - - [${formatDate(one.at, minutes)}] ` +
          `"${one.method} ${escape(one.target)}${http}" ${one.status} ${one.bytes} ` +
          `"${escape(one.referrer)}" "${escape(one.userAgent)}"`;
        expect(requestOf(line)).toEqual(one);
      },
    ),
  );
});

describe("the table of a request", () => {
  const request = requestOf(lineWith({}));
  test.each([
    ["/", "/"],
    ["//", "/"],
    ["", "/"],
    ["*", "/"],
    ["?a=/b", "/"],
    ["/orders", "orders"],
    ["/orders/12?x=1/2", "orders"],
    ["/orders?x", "orders"],
    ["/orders#part", "orders"],
    ["//double/slash", "double"],
    ["http://host/a/b", "a"],
    ["https://user@host:8080", "/"],
    ["HTTP://host?x=/y", "/"],
    ["login.cgi", "login.cgi"],
    ["/%41/b", "%41"],
    ["/__proto__/x", "__proto__"],
  ])("%s is of table %s", (target, table) => {
    expect(tableOf({ ...request, target })).toBe(table);
  });

  test("the authority of a CONNECT is no path", () => {
    const target = "example.com:443";
    expect(tableOf({ ...request, method: "CONNECT", target })).toBe("/");
  });
});
