import { expect, test } from "vitest";
import type { GateUser } from "./gate-questions.ts";
import { createGateTally } from "./gate-tally.ts";
import { gateValue } from "./rules.ts";

const SEED = 7;
const userOf = (userID: string, deletes = false): GateUser => ({
  userID,
  custom: { agent: "bot", deletes },
});
const truth = (gate: string, user: GateUser): boolean => gateValue(SEED, gate, user).value;

test("right answers are verified, of whatever user and however often", () => {
  const tally = createGateTally(SEED);
  for (let index = 0; index < 300; index += 1) {
    for (const user of [userOf(`u${index % 100}`), userOf(`u${index % 100}`, true)]) {
      for (const gate of ["aa", "bb"]) tally.answer(gate, user, truth(gate, user));
    }
  }
  expect(tally.verdict()).toEqual({
    table: "gates",
    verified: true,
    rows: 1_200,
    compared: "answer",
    differences: 0,
    examples: [],
  });
});

test("a wrong answer is a difference each time, and an example once", () => {
  const tally = createGateTally(SEED);
  const users = [userOf('"\u00e9', true), userOf("b"), userOf("c"), userOf("d")];
  for (const user of users) {
    const value = truth("aa", user);
    for (const open of [value, !value, !value]) tally.answer("aa", user, open);
  }
  const wordsOf = (user: GateUser): string =>
    `is ${!truth("aa", user)}, should be ${truth("aa", user)}`;
  const [first = userOf("a"), second = first, third = first] = users;
  expect(tally.verdict()).toMatchObject({
    verified: false,
    rows: 12,
    differences: 8,
    examples: [
      `aa of a deletion by bot "\\"\u00e9": ${wordsOf(first)}`,
      `aa of a request by bot "b": ${wordsOf(second)}`,
      `aa of a request by bot "c": ${wordsOf(third)}`,
    ],
  });
});

test("a check without an answer is a failure and a difference", () => {
  const tally = createGateTally(SEED);
  tally.failure("aa", userOf("a"), "closed");
  expect(tally.failures).toBe(1);
  expect(tally.verdict()).toMatchObject({
    verified: false,
    rows: 0,
    differences: 1,
    examples: ['aa of a request by bot "a": no answer: closed'],
  });
});
