import { describe, expect, it } from "vitest";
import { classifySqlstate, isRolledBack } from "./sqlstate.ts";

const failed = (code: string, routine?: string, position?: string, where?: string): Error =>
  Object.assign(new Error("of the server"), { code, routine, position, where });

describe("54000, program_limit_exceeded", () => {
  it.each([
    "_bt_check_third_page", // a key is too long for its index
    "RelationGetBufferForTuple", // a row is too big for a page
    "exec_stmt_raise", // a trigger says so
    undefined,
  ])("lies in the data where %s says it", (routine) => {
    expect(classifySqlstate(failed("54000", routine))).toBe("rejected");
  });

  it.each([
    "GetNewTransactionId", // the database takes no commands, to avoid wraparound
    "GetNewMultiXactId",
    "PreCommit_Notify", // the queue of notifications is full
    "ExtendBufferedRelShared", // the table has as many blocks as there can be
  ])("is the server's own trouble where %s says it, and passes", (routine) => {
    expect(classifySqlstate(failed("54000", routine))).toBe("retryable");
  });
});

describe("42601, syntax error", () => {
  it("lies in the data where a value has no place in the statement", () => {
    expect(classifySqlstate(failed("42601", "prssyntaxerror"))).toBe("rejected");
  });

  it("is the statement's where it has one, or sets a column twice", () => {
    expect(classifySqlstate(failed("42601", "scanner_yyerror", "17"))).toBe("retryable");
    expect(classifySqlstate(failed("42601", "process_matched_tle"))).toBe("retryable");
  });

  it.each(["42601", "54001"])("is a trigger's where it says so: %s", (code) => {
    const where = "PL/pgSQL function audit() line 3 at EXECUTE";
    expect(classifySqlstate(failed(code, "exec_stmt_execsql", undefined, where))).toBe("retryable");
    expect(classifySqlstate(failed(code, "check_stack_depth"))).toBe("rejected");
  });
});

describe("a failure at COMMIT", () => {
  it.each(["40001", "40P01", "40000", "23503", "25P02"])("by %s has committed nothing", (code) => {
    expect(isRolledBack(failed(code))).toBe(true);
  });

  it.each(["40003", "57P01", "08006", "ECONNRESET"])("by %s may have committed", (code) => {
    expect(isRolledBack(failed(code))).toBe(false);
  });
});

it.each(["22003", "23505", "44000", "P0001", "21000", "54001"])("%s lies in the data", (code) => {
  expect(classifySqlstate(failed(code))).toBe("rejected");
});

it.each(["40P01", "2200H", "57014", "53100", "42P01", "42501", "3D000", "ECONNRESET"])(
  "%s may pass, or lies in the schema",
  (code) => {
    expect(classifySqlstate(failed(code))).toBe("retryable");
  },
);
