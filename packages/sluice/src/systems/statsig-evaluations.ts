import { type Coalescer, createCoalescer } from "../coalescer/coalescer.ts";
import type { WaitOptions } from "../core/batcher.ts";
import { type ErrorCode, isSluiceError } from "../errors.ts";
import { checkNames, isSenseless, readConfig, readGates } from "./statsig-api.ts";
import type { StatsigParts } from "./statsig-options.ts";
import type { ConfigEvaluation, GateEvaluation } from "./statsig-types.ts";
import { readUser, type StatsigUser } from "./statsig-user.ts";

type Kind = "gate" | "config";
type Evaluation = { readonly gate: GateEvaluation; readonly config: ConfigEvaluation };

/** One name, about one user. */
interface Question {
  readonly kind: Kind;
  readonly name: string;
  /** All of the user, as canonical JSON. */
  readonly user: string;
}

/** How a question fails when the API does not answer it, be it for want of an API. */
const NO_ANSWER: ReadonlySet<ErrorCode> = new Set([
  "SLUICE_ERR_CALL_UNANSWERED",
  "SLUICE_ERR_ANSWER_MISSING",
  "SLUICE_ERR_ANSWER_INVALID",
]);

/** Asks the flag API about users: gates of one user in one call, configs in a call each. */
export class Evaluations {
  readonly coalescer: Coalescer<Question, GateEvaluation | ConfigEvaluation>;
  readonly #offlineFallback: boolean;
  #fallbacks = 0;

  constructor({ api, metadata, offlineFallback, redact, asking }: StatsigParts) {
    this.#offlineFallback = offlineFallback;
    this.coalescer = createCoalescer({
      ...asking,
      name: "statsig",
      dispatchWhenIdle: true,
      // A config is a group of its own: the API tells of one at a time.
      group: ({ kind, name, user }: Question) =>
        kind === "gate" ? `gates ${user}` : `config ${name} ${user}`,
      key: ({ name }) => name,
      resolve: async (_group, names, { requests: [first], signal }) => {
        const answers = new Map<string, GateEvaluation | ConfigEvaluation | Error>();
        const { kind, name } = first;
        const about = { user: JSON.parse(first.user) as unknown, statsigMetadata: metadata };
        if (kind === "gate") {
          const body = { gateNames: names, ...about };
          const answer = await api.attempt({ path: "/v1/check_gate", body }, { signal });
          return readGates(answer, names, redact);
        }
        const body = { configName: name, ...about };
        const answer = await api.attempt({ path: "/v1/get_config", body }, { signal });
        return answers.set(name, readConfig(answer, name));
      },
    });
  }

  /** Answers that `offlineFallback` gave. */
  get fallbacks(): number {
    return this.#fallbacks;
  }

  /** Answers in the order of the names, each of which is asked once; all are checked first. */
  async ask<K extends Kind>(
    kind: K,
    names: readonly string[],
    user: StatsigUser,
    options: WaitOptions | undefined,
  ): Promise<Map<string, Evaluation[K] | null>> {
    checkNames(kind, names);
    const distinct = Array.from(new Set(names));
    const who = readUser(user);
    const told = distinct.map(
      async (name) => [name, await this.#load<K>({ kind, name, user: who }, options)] as const,
    );
    return new Map(await Promise.all(told));
  }

  async #load<K extends Kind>(
    question: Question,
    options: WaitOptions | undefined,
  ): Promise<Evaluation[K] | null> {
    try {
      return (await this.coalescer.load(question, options)) as Evaluation[K];
    } catch (error) {
      if (!this.#offlineFallback || !isNoAnswer(error)) throw error;
      this.#fallbacks += 1;
      return null;
    }
  }
}

const isNoAnswer = (error: unknown): boolean =>
  (isSluiceError(error) && NO_ANSWER.has(error.code)) || isSenseless(error);
