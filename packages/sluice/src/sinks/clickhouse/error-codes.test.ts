import { describe, expect, it } from "vitest";
import { classifyClickHouse, serverCode } from "./error-codes.ts";

/** An error as the official client makes it. */
const answered = (code: number, type: string, message: string): Error =>
  Object.assign(new Error(message), { code: String(code), type });
/** An error as chDB makes it. */
const inProcess = (code: number, message: string): Error =>
  Object.assign(new Error(`Code: ${code}. DB::Exception: ${message}`), {
    code: "CHDB_QUERY",
    clickhouseCode: code,
  });
/** An answer of 18.16, which the client does not recognise. */
const old = (code: number, message: string): Error =>
  new Error(
    `Code: ${code}, e.displayText() = DB::Exception: ${message}, e.what() = DB::Exception\n`,
  );

const connection = (code: string, syscall?: string): Error =>
  Object.assign(new Error(code), { code, syscall });

const verdict = (error: unknown): string => {
  const { outcome, ambiguous, schema } = classifyClickHouse(error);
  return `${outcome}${ambiguous ? ", ambiguous" : ""}${schema ? ", schema" : ""}`;
};

describe("classifyClickHouse", () => {
  it.each([
    [connection("ECONNREFUSED"), "retryable"],
    [connection("ENOTFOUND"), "retryable"],
    [new AggregateError([connection("ECONNREFUSED"), connection("ECONNREFUSED")]), "retryable"],
    [
      new AggregateError([connection("ECONNREFUSED"), connection("ETIMEDOUT")]),
      "retryable, ambiguous",
    ],
    [new TypeError("fetch failed", { cause: connection("EAI_AGAIN") }), "retryable"],
    [connection("EHOSTUNREACH", "connect"), "retryable"],
    [connection("EHOSTUNREACH", "read"), "retryable, ambiguous"],
    [connection("ECONNRESET"), "retryable, ambiguous"],
    [connection("ETIMEDOUT"), "retryable, ambiguous"],
    [new DOMException("aborted", "AbortError"), "retryable, ambiguous"],
    [new Error("Timeout error."), "retryable, ambiguous"],
    ["text", "retryable, ambiguous"],
    [undefined, "retryable, ambiguous"],
    [new Error("<html>Code: 33. Bad gateway</html>"), "retryable, ambiguous"],
    [new Error("Error: 407 Proxy Authentication Required"), "retryable, ambiguous"],
    [Object.assign(new Error("<html>"), { status: 413 }), "rejected, ambiguous"],
    [Object.assign(new Error("<html>"), { status: 502 }), "retryable, ambiguous"],
    [connection("CERT_HAS_EXPIRED"), "retryable"],
    [connection("DEPTH_ZERO_SELF_SIGNED_CERT"), "retryable"],
    [connection("SELF_SIGNED_CERT_IN_CHAIN"), "retryable"],
    [connection("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "retryable"],
    [connection("ERR_TLS_CERT_ALTNAME_INVALID"), "retryable"],
    [connection("ERR_TLS_RENEGOTIATION_DISABLED"), "retryable, ambiguous"],
  ])("of what is no answer: %s is %s", (error, expected) => {
    expect(serverCode(error)).toBeUndefined();
    expect(verdict(error)).toBe(expected);
  });

  it.each([
    [469, "VIOLATED_CONSTRAINT", "Constraint `pos` is violated at row 2.", "rejected"],
    [117, "INCORRECT_DATA", "Cannot parse JSON object here: {", "rejected"],
    [117, "INCORRECT_DATA", "Type of 'a' must be UInt64, not UInt32", "retryable, schema"],
    [33, "CANNOT_READ_ALL_DATA", "Bytes read: 7. Bytes expected: 8.", "rejected, ambiguous"],
    [16, "NO_SUCH_COLUMN_IN_TABLE", "No such column zz", "retryable, schema"],
    [60, "UNKNOWN_TABLE", "Table t does not exist.", "retryable, schema"],
    [252, "TOO_MANY_PARTS", "Too many parts (3000 with average size of 1 MiB)", "retryable"],
    [
      252,
      "TOO_MANY_PARTS",
      "Too many partitions for single INSERT block (more than 100)",
      "rejected, ambiguous",
    ],
    [
      241,
      "MEMORY_LIMIT_EXCEEDED",
      "Query memory limit exceeded: would use 43 MiB",
      "rejected, ambiguous",
    ],
    [241, "MEMORY_LIMIT_EXCEEDED", "Memory limit (for query) exceeded", "rejected, ambiguous"],
    [241, "MEMORY_LIMIT_EXCEEDED", "(total) memory limit exceeded", "retryable, ambiguous"],
    [241, "MEMORY_LIMIT_EXCEEDED", "User memory limit exceeded", "retryable, ambiguous"],
    [159, "TIMEOUT_EXCEEDED", "Timeout exceeded", "retryable, ambiguous"],
    [319, "UNKNOWN_STATUS_OF_INSERT", "Unknown status", "retryable, ambiguous"],
    [242, "TABLE_IS_READ_ONLY", "Table is in readonly mode", "retryable, ambiguous"],
    [516, "AUTHENTICATION_FAILED", "Authentication failed", "retryable"],
    [202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many simultaneous queries", "retryable"],
    [373, "SESSION_IS_LOCKED", "Session s is locked by a concurrent client", "retryable"],
    [115, "UNKNOWN_SETTING", "Unknown setting 'a'", "retryable, schema"],
    [
      201,
      "QUOTA_EXCEEDED",
      "Quota for user `w` for 1m has been exceeded: queries = 4/3",
      "retryable",
    ],
    [201, "QUOTA_EXCEEDED", "Quota (q) has been exceeded. Total queries: 4, max: 3", "retryable"],
    [
      201,
      "QUOTA_EXCEEDED",
      "Quota for user `w` for 1m has been exceeded: written_bytes = 4/3",
      "retryable, ambiguous",
    ],
    [
      6,
      "CANNOT_PARSE_TEXT",
      "Received from other:9000. DB::Exception: Cannot parse",
      "retryable, ambiguous",
    ],
    [9_999, "OF_TOMORROW", "whatever", "retryable, ambiguous"],
  ])("of %i %s, %s: %s", (code, type, message, expected) => {
    for (const error of [
      answered(code, type, message),
      inProcess(code, message),
      old(code, message),
    ]) {
      expect(serverCode(error)).toBe(code);
      expect(verdict(error)).toBe(expected);
    }
  });

  it("asks for patience where an immediate retry does harm", () => {
    expect(classifyClickHouse(answered(252, "TOO_MANY_PARTS", "Too many parts")).retryAfterMs).toBe(
      5_000,
    );
  });

  it("never rejects for a view: the table has the rows by then", () => {
    const message = "Constraint `c` is violated: while pushing to view default.v";
    expect(verdict(answered(469, "VIOLATED_CONSTRAINT", message))).toBe("retryable, ambiguous");
    expect(verdict(old(60, message))).toBe("retryable, ambiguous");
  });

  it("does not take a row's own words for the server's", () => {
    const row =
      "Constraint `c` is violated. Column values: name = 'it\\'s: while pushing to view v'";
    expect(verdict(inProcess(469, row))).toBe("rejected");
    const view = `${row}: while pushing to view default.\`odd 'view\``;
    expect(verdict(inProcess(469, view))).toBe("retryable, ambiguous");
  });

  // As 26.7 says them.
  const READ =
    ": (at row 1)\n: While executing BinaryRowInputFormat. (INCORRECT_DATA) (version 26.7)";
  const CAST = ": while executing 'FUNCTION CAST(s :: 1, 'JSON'_String : 2) -> CAST(s) JSON : 4'.";
  it.each([
    `Cannot insert data into JSON column: Cannot read JSON object from JSON element: [": while pushing to view v"]${READ}`,
    `Cannot insert data into JSON column: Cannot read JSON object from JSON element: ["Type of a must be b (while reading header)"]${READ}`,
    `Cannot insert data into JSON column: Duplicate path found during parsing JSON object: a.: while pushing to view d.v. You can enable setting type_json_skip_duplicated_paths to skip duplicated paths during insert${READ}`,
    `Cannot parse JSON object here: {": while pushing to view v": 1]${READ}`,
    `Cannot parse JSON object here: : while pushing to view d.v${CAST}`,
    `Cannot parse JSON object here: Type of 'a' must be b${CAST}`,
  ])("nor the words of JSON, which are not quoted: %s", (message) => {
    expect(verdict(inProcess(117, message))).toBe("rejected");
    const view = `${message.replace(READ, CAST)}: while pushing to view d.v`;
    expect(verdict(inProcess(117, view))).toBe("retryable, ambiguous");
  });

  it.each([
    "d.v. (INCORRECT_DATA) (version 26.7.2.1 (official build))",
    "d.v (7e6e5175-5bbd-47ef-a20b-877da924fee2): While executing MergeTreeSink. (INCORRECT_DATA)",
    "d.v: while pushing to view d.`w (at 'x\\` row 1)`",
    "default.v (version 19.17.4.11), e.what() = DB::Exception",
  ])("knows a view's failure by its end: %s", (end) => {
    const message = `Cannot parse JSON object here: it's: while pushing to view ${end}`;
    expect(verdict(inProcess(117, message))).toBe("retryable, ambiguous");
  });

  it("is done with a row that says it a million times, or goes on and on", () => {
    const said = ": while pushing to view v";
    for (const row of [said.repeat(1e6), said + "v".repeat(1e7)]) {
      classifyClickHouse(inProcess(117, `Cannot parse JSON object here: ${row}${READ}`));
    }
  });

  it("never rejects by a message that the client cut off at capitals in brackets", () => {
    // "Constraint `c` is violated. Expression: (NAME) …: while pushing to view": what follows is lost.
    const cut = answered(469, "NAME", "Constraint `c` is violated. Expression: ");
    expect(verdict(cut)).toBe("retryable, ambiguous");
  });
});
