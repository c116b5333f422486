import { createDifferences, type TableVerdict } from "../traffic/verdict.ts";
import type { GateUser } from "./gate-questions.ts";
import { gateValue } from "./rules.ts";

/** Compares answers about gates with the rules, by none of the library's code. */
export interface GateTally {
  answer(gate: string, user: GateUser, open: boolean): void;
  /** A check that got no answer, and why. */
  failure(gate: string, user: GateUser, reason: string): void;
  readonly failures: number;
  verdict(): TableVerdict;
}

/** How many values are remembered. */
const MAX_KNOWN_VALUES = 50_000;

/** Creates the tally of no answers, to compare with the rules of a seed. */
export function createGateTally(seed: number): GateTally {
  const differences = createDifferences("gates", "answer");
  const known = new Map<string, boolean>();
  let [answers, failures] = [0, 0];

  const valueOf = (gate: string, user: GateUser): boolean => {
    const key = describe(gate, user);
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    const { value } = gateValue(seed, gate, user);
    if (known.size === MAX_KNOWN_VALUES) known.clear();
    known.set(key, value);
    return value;
  };

  return {
    answer(gate, user, open) {
      answers += 1;
      const should = valueOf(gate, user);
      if (open === should) return;
      differences.report(describe(gate, user), [`is ${open}, should be ${should}`]);
    },
    failure(gate, user, reason) {
      failures += 1;
      differences.report(describe(gate, user), [`no answer: ${reason}`]);
    },
    get failures() {
      return failures;
    },
    verdict: () => differences.verdict(answers),
  };
}

function describe(gate: string, { userID, custom }: GateUser): string {
  const { agent, deletes } = custom;
  return `${gate} of ${deletes ? "a deletion by" : "a request by"} ${agent} ${JSON.stringify(userID)}`;
}
