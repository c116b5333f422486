/**
 * The wire format of the flag API (docs.statsig.com/api-reference), and what makes an answer one.
 */
import { isSluiceError, quote, SluiceError } from "../errors.ts";
import { HttpError } from "../sinks/http/http-error.ts";
import type { ConfigEvaluation, GateEvaluation } from "./statsig-types.ts";
import type { Json } from "./statsig-user.ts";

/** A call takes as many gates (docs.statsig.com/api-reference, check_gate). */
export const MAX_GATES = 100;

/** What every call says of its sender. */
export interface StatsigMetadata {
  readonly sdkType: string;
  readonly sdkVersion: string;
  readonly exposureLoggingDisabled: boolean;
}

/** Refuses what is no list of names that the API takes. */
export function checkNames(kind: "gate" | "config", names: readonly string[]): void {
  if (!Array.isArray(names)) throw badName(`the names of ${kind}s must be a list`, names);
  for (const name of names as readonly unknown[]) {
    const fits = typeof name === "string" && name.length >= 2 && name.length <= 100;
    if (fits && name.isWellFormed() && (kind === "gate" || /^[\w\-. ]+$/.test(name))) continue;
    const characters = kind === "gate" ? "characters" : "letters, digits, blanks and _-.";
    throw badName(`the name of a ${kind} must have 2 to 100 ${characters}`, name);
  }
}

function badName(rule: string, received: unknown): SluiceError {
  return new SluiceError("SLUICE_ERR_STATSIG_NAME", `${rule}; received ${quote(received)}`);
}

/**
 * Reads the answer about several gates: a map by name, in any order, of which some may be missing. Names
 * that nobody asked are made fit to be shown.
 */
export function readGates(
  answer: unknown,
  asked: readonly string[],
  redact: (text: string) => string,
): Map<string, GateEvaluation | SluiceError> {
  const names = new Set(asked);
  return new Map(
    Object.entries(record(answer, "a map of gates")).map(([name, told]) => [
      names.has(name) ? name : redact(name),
      attempt(() => {
        const { value, ...rest } = record(told, `gate ${quote(name)}: an object`);
        if (typeof value !== "boolean") throw unusable(`gate ${quote(name)}: true or false`, value);
        return Object.freeze({ name, value, ...ruleOf(rest) });
      }),
    ]),
  );
}

/** Reads the answer about one config. */
export function readConfig(answer: unknown, name: string): ConfigEvaluation {
  const { name: told, value, ...rest } = record(answer, `config ${quote(name)}: an object`);
  if (told !== undefined && told !== name) {
    throw unusable(`config ${quote(name)}, and under this name`, told);
  }
  if (value === undefined) throw unusable(`config ${quote(name)}: a value`, value);
  const group = textOrNull(rest["group"]);
  return Object.freeze({ name, value: freeze(value as Json), ...ruleOf(rest), group });
}

function ruleOf(told: Readonly<Record<string, unknown>>): {
  readonly ruleId: string | null;
  readonly groupName: string | null;
} {
  return { ruleId: textOrNull(told["rule_id"]), groupName: textOrNull(told["group_name"]) };
}

const textOrNull = (value: unknown): string | null => (typeof value === "string" ? value : null);

function record(value: unknown, expected: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw unusable(expected, value);
}

/** What was received is not quoted: a server may give back what it was sent, the API key too. */
function unusable(expected: string, received: unknown): SluiceError {
  const message = `the flag API was expected to answer ${expected}; it answered ${kindOf(received)}`;
  return new SluiceError("SLUICE_ERR_ANSWER_INVALID", message);
}

function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

/** A success in words that make no sense: no JSON, or far too much of it. */
export function isSenseless(error: unknown): boolean {
  if (!isSluiceError(error) || error.disposition !== "rejected") return false;
  const { cause } = error;
  return cause instanceof HttpError && cause.status !== undefined && cause.status < 300;
}

/** An answer that is none fails its own name only. */
function attempt<Result>(read: () => Result): Result | SluiceError {
  try {
    return read();
  } catch (error) {
    if (error instanceof SluiceError) return error;
    throw error;
  }
}

/** Callers share answers: none may change them. Not recursive: a parser takes what is deeper than a stack. */
function freeze(value: Json): Json {
  const left: unknown[] = [value];
  while (left.length > 0) {
    const part = left.pop();
    if (typeof part !== "object" || part === null) continue;
    for (const inner of Object.values(part)) left.push(inner);
    Object.freeze(part);
  }
  return value;
}
