/**
 * The cost of a load, against dataloader with its cache off: it then groups nothing and asks equal
 * questions again. Answers are made at once, so that only the gathering is measured.
 */
import DataLoader from "dataloader";
import { createCoalescer } from "sluice";
import { compare } from "./compare.js";

const LOADS = 1_000;
const BATCHES = 10;
const keys = Array.from({ length: LOADS }, (_, index) => `gate-${index}`);
/** @param {readonly string[]} asked */
const answer = async (asked) => asked.map((key) => key.length);

/** @param {{ load(key: string): Promise<number> }} loader */
const loadAll = (loader) => async () => {
  for (let batch = 0; batch < BATCHES; batch += 1) {
    await Promise.all(keys.map((key) => loader.load(key)));
  }
};
/** @param {{ load(key: string): Promise<number> }} loader */
const loadAlone = (loader) => async () => {
  for (const key of keys) await loader.load(key);
};

const coalescer = createCoalescer({
  key: (/** @type {string} */ key) => key,
  resolve: (_group, asked) => answer(asked),
  maxEntries: LOADS,
});
const grouping = createCoalescer({
  group: (/** @type {string} */ key) => key.length,
  key: (key) => key,
  resolve: (_group, asked) => answer(asked),
  maxEntries: LOADS,
});
const dataloader = new DataLoader(answer, { cache: false, maxBatchSize: LOADS });
const units = LOADS * BATCHES;
const theirs = { name: "dataloader", units, run: loadAll(dataloader) };

await compare(
  `load, ${LOADS} different keys a call`,
  { name: "sluice", units, run: loadAll(coalescer) },
  theirs,
  "at least 1.0",
);
await compare(
  `load, ${LOADS} different keys in 3 groups`,
  { name: "sluice, grouping", units, run: loadAll(grouping) },
  theirs,
  "at least 1.0",
);
await compare(
  "a lone load of an idle coalescer",
  { name: "sluice", units: LOADS, run: loadAlone(coalescer) },
  { name: "dataloader", units: LOADS, run: loadAlone(dataloader) },
  "less than 1 ms",
);
await coalescer.close();
await grouping.close();
