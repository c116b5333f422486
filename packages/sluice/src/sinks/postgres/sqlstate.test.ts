import { describe, expect, it } from "vitest";
import { classifySqlstate } from "./sqlstate.ts";

const failed = (code: string, routine?: string): Error =>
  Object.assign(new Error("of the server"), { code, routine });

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
  ])("is the server's own trouble where %s says it, and passes", (routine) => {
    expect(classifySqlstate(failed("54000", routine))).toBe("retryable");
  });
});

it.each(["22003", "23505", "44000", "P0001", "21000"])("%s lies in the data", (code) => {
  expect(classifySqlstate(failed(code))).toBe("rejected");
});

it.each(["40P01", "57014", "53100", "42P01", "42501", "3D000", "ECONNRESET"])(
  "%s may pass, or lies in the schema",
  (code) => {
    expect(classifySqlstate(failed(code))).toBe("retryable");
  },
);
