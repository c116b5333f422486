/**
 * The wire format of the flag API (docs.statsig.com/api-reference), and what makes an answer one.
 */
import { quote, SluiceError } from "../errors.ts";
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

/** Reads the answer about several gates: a map by name, in any order, of which some may be missing. */
export function readGates(answer: unknown): Map<string, GateEvaluation | SluiceError> {
  return new Map(
    Object.entries(record(answer, "a map of gates")).map(([name, told]) => [
      name,
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
  if (told !== undefined && told !== name) throw unusable(`config ${quote(name)}`, told);
  if (value === undefined) throw unusable(`config ${quote(name)}: a value`, answer);
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

function unusable(expected: string, received: unknown): SluiceError {
  const message = `the flag API was expected to answer ${expected}; it answered ${quote(received)}`;
  return new SluiceError("SLUICE_ERR_ANSWER_INVALID", message);
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

/** Callers share answers: none may change them. */
function freeze(value: Json): Json {
  if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) freeze(part as Json);
    Object.freeze(value);
  }
  return value;
}
