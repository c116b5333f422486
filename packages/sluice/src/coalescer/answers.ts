import { types } from "node:util";
import { isSluiceError, messageOf, quote, rejected, SluiceError } from "../errors.ts";
import type { CallKey } from "./key.ts";

/** What `resolve` may give: a Map by key, or an array in the order of the keys. */
export type Answers<Key, Answer> =
  | ReadonlyMap<Key, Answer | Error | undefined>
  | readonly (Answer | Error | undefined)[];

/**
 * Reads what `resolve` gave, key by key. Throws for what is no set of answers; `warn` hears of answers
 * to what was not asked, which are nobody's.
 */
export function readAnswers<Answer>(
  given: unknown,
  keys: readonly CallKey[],
  warn: (error: unknown) => void,
): readonly (Answer | Error | undefined)[] {
  if (Array.isArray(given)) {
    if (given.length === keys.length) return given as readonly (Answer | Error | undefined)[];
    throw invalid(`an array of ${given.length} answers to ${keys.length} keys`);
  }
  if (!types.isMap(given)) throw invalid(quote(given));
  const byKey = given as ReadonlyMap<CallKey, Answer | Error | undefined>;
  let found = 0;
  const answers = keys.map((key) => {
    const answer = byKey.get(key);
    if (answer !== undefined || byKey.has(key)) found += 1;
    return answer;
  });
  if (byKey.size > found) {
    const asked = new Set(keys);
    const stray = Array.from(byKey.keys()).filter((key) => !asked.has(key));
    const message = `resolve() answered ${quote(stray[0])}, which was not asked (${stray.length} such answers)`;
    warn(new SluiceError("SLUICE_ERR_ANSWER_INVALID", message));
  }
  return answers;
}

/**
 * What `resolve` threw, as the engine wants it: the callers get the very error. What is not classified
 * is final, and no half of the call would fare better.
 */
export function classified(error: unknown): unknown {
  const known = isSluiceError(error) ? error : undefined;
  if (known?.disposition === "retryable") return error;
  const whole = known?.code === "SLUICE_ERR_SINK_REJECTED" ? known.whole : true;
  return rejected(messageOf(error), { cause: error, whole });
}

/** What fails the question, if its place holds an error, or a promise that was not waited for. */
export function failureIn(answer: unknown, key: CallKey): Error | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  if (answer instanceof Error || types.isNativeError(answer)) return answer;
  if (!("then" in answer) || typeof answer.then !== "function") return undefined;
  const message = `resolve() gave a promise for ${quote(key)}; wait for it, as by Promise.all`;
  return new SluiceError("SLUICE_ERR_ANSWER_INVALID", message);
}

function invalid(received: string): unknown {
  const message = `resolve() must give a Map by key or an array in the order of the keys; it gave ${received}`;
  return classified(new SluiceError("SLUICE_ERR_ANSWER_INVALID", message));
}
