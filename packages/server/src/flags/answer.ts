import type { Question } from "./call.ts";
import { configValue, gateValue } from "./rules.ts";
import type { Trouble } from "./trouble.ts";
import type { FlagUser } from "./user.ts";

/** The answer to a call, before it is written. */
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The proper answer, but for what the trouble changes in what it says. */
export function answerOf(seed: number, question: Question, trouble: Trouble | undefined): Answer {
  const answer = properAnswer(seed, question);
  const body = distort(seed, question, answer.body, trouble);
  return { ...answer, body };
}

function properAnswer(seed: number, { endpoint, names, list, user = {} }: Question): Answer {
  const [name = ""] = names;
  switch (endpoint) {
    case "check_gate":
      return { status: 200, body: list ? gates(seed, names, user) : gate(seed, name, user) };
    case "get_config": {
      const truth = configValue(seed, name, user);
      return { status: 200, body: { name, ...truth, group: truth.rule_id } };
    }
    case "log_event":
      return { status: 202, body: { success: true } };
    default:
      return endpoint satisfies never;
  }
}

function gate(seed: number, name: string, user: FlagUser): Answer["body"] {
  return { name, ...gateValue(seed, name, user) };
}

/** Backwards, because nothing says that an answer has the order of its question. */
function gates(seed: number, names: readonly string[], user: FlagUser): Answer["body"] {
  return Object.fromEntries(names.toReversed().map((name) => [name, gate(seed, name, user)]));
}

function distort(
  seed: number,
  { names, list, user = {} }: Question,
  body: Answer["body"],
  trouble: Trouble | undefined,
): Answer["body"] {
  if (trouble?.kind === "half-answer") {
    const missing = trouble.missing ?? names.filter((_name, index) => index % 2 === 0);
    if (list) return without(body, missing);
    return names.some((name) => missing.includes(name))
      ? without(body, ["value", "success"])
      : body;
  }
  if (trouble?.kind === "stray-answer") {
    const strays = trouble.names ?? ["nobody_asked"];
    return list ? { ...gates(seed, strays, user), ...body } : { ...body, name: strays[0] };
  }
  return body;
}

function without(body: Answer["body"], names: readonly string[]): Answer["body"] {
  return Object.fromEntries(Object.entries(body).filter(([name]) => !names.includes(name)));
}
