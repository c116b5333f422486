/**
 * What a failure of PostgreSQL means for a batch, by its SQLSTATE.
 */

/** `retryable`: the batch may land later as it is. `rejected`: an entry of it is at fault. */
export type FailureClass = "retryable" | "rejected";

/**
 * Classes whose cause lies in the data: 22 data exception, 23 integrity constraint violation,
 * 44 WITH CHECK OPTION violation, P0 raised by a trigger.
 */
const DATA_CLASSES = ["22", "23", "44", "P0"];

/** Single states of other classes: a key too long for its index, a row twice in one upsert. */
const DATA_STATES = ["54000", "21000"];

/** A sequence is used up: nothing that rows could mend. */
const NOT_DATA_STATES = ["2200H"];

/**
 * The functions of the server that say 54000 of the server itself: no transaction ids are left before
 * VACUUM (varsup.c, multixact.c), the queue of notifications is full (async.c), a table is as large as
 * tables can be (bufmgr.c, md.c).
 */
const SERVER_ROUTINES =
  /^(?:GetNewTransactionId|GetNewMultiXactId|PreCommit_Notify|ExtendBufferedRel\w*|mdextend|mdzeroextend|ReadBuffer_common)$/;

/**
 * 42601, syntax error, and 54001, too complex, of a value: types such as tsvector, ltree and jsonpath have a
 * syntax of their own, and JSON may be nested too deep. Of a statement the first has a position, but for a
 * column that is set twice; of a trigger's code both tell where.
 */
const isOfValue = (state: string, error: Failure): boolean =>
  (state === "42601" || state === "54001") &&
  error.position === undefined &&
  error.routine !== "process_matched_tle" &&
  !/PL\/\w+ function/.test(String(error.where));

/** What drivers tell of an error besides its code. */
type Failure = Readonly<Partial<Record<"position" | "routine" | "where", unknown>>>;

/** The SQLSTATE of a driver's error; `undefined` where there is none. */
export function sqlstateOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/**
 * Whether a failure at COMMIT says for certain that nothing was committed: transaction rollback (40, but for
 * 40003, completion unknown), a violated constraint, a transaction that had failed before.
 */
export const isRolledBack = (error: unknown): boolean =>
  /^(?:40(?!003)|23|25P02)/.test(sqlstateOf(error) ?? "");

/**
 * Classifies a driver's error. Whatever is not about the data is retryable: a lost connection, a
 * deadlock, a timeout, a full disk, and also a missing table or privilege (classes 42, 28, 3D). No
 * halving mends those, and dead-lettering all traffic because a migration came late helps nobody.
 */
export function classifySqlstate(error: unknown): FailureClass {
  const state = sqlstateOf(error);
  if (state === undefined) return "retryable";
  const data =
    DATA_CLASSES.includes(state.slice(0, 2)) ||
    DATA_STATES.includes(state) ||
    isOfValue(state, error as Failure);
  const { routine } = error as Failure;
  const server = NOT_DATA_STATES.includes(state) || SERVER_ROUTINES.test(String(routine));
  return data && !server ? "rejected" : "retryable";
}
