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

const connection = (code: string): Error => Object.assign(new Error(code), { code });

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
    [connection("ECONNRESET"), "retryable, ambiguous"],
    [connection("ETIMEDOUT"), "retryable, ambiguous"],
    [new DOMException("aborted", "AbortError"), "retryable, ambiguous"],
    [new Error("Timeout error."), "retryable, ambiguous"],
    ["text", "retryable, ambiguous"],
    [undefined, "retryable, ambiguous"],
    [new Error("<html>Code: 33. Bad gateway</html>"), "retryable, ambiguous"],
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

  it("never rejects by a message that the client cut off at capitals in brackets", () => {
    // "Constraint `c` is violated. Expression: (NAME) …: while pushing to view": what follows is lost.
    const cut = answered(469, "NAME", "Constraint `c` is violated. Expression: ");
    expect(verdict(cut)).toBe("retryable, ambiguous");
  });
});
