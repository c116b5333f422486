/** Nothing that the library exports escapes the abuse. */
import { expect, it } from "vitest";
import { EXPORTS, FACTORIES } from "./factories.ts";

/** Functions that make nothing which could be abused later: each has tests of its own beside it. */
const OTHERS: Readonly<Record<string, readonly string[]>> = {
  sluice: [
    "SluiceError",
    "canonicalJson",
    "isSluiceError",
    "rejected",
    "retryable",
    "systemRandom",
    "undecided",
  ],
  "sluice/postgres": ["classifySqlstate", "sqlstateOf"],
  "sluice/clickhouse": ["classifyClickHouse", "serverCode"],
  "sluice/pubsub": ["packTexts", "packUuids", "unpackTexts", "unpackUuids"],
  "sluice/http": ["HttpError"],
  "sluice/testing": ["checkShapeLaws"],
};

/** Column types of ClickHouse, by name: rows-abuse.test.ts abuses each. */
const isColumnType = (subpath: string, name: string): boolean =>
  subpath === "sluice/clickhouse" && /^[A-Z]/.test(name);

it("every exported function is a factory that is abused, or known to be none", () => {
  const exported = Object.entries(EXPORTS).flatMap(([subpath, values]) =>
    Object.entries(values).flatMap(([name, value]) => {
      const isOther = OTHERS[subpath]?.includes(name) === true || isColumnType(subpath, name);
      return typeof value !== "function" || isOther ? [] : [`${subpath}: ${name}`];
    }),
  );
  expect(exported.toSorted()).toEqual(FACTORIES.map(({ name }) => name).toSorted());
});
