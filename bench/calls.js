/**
 * The cost of a load, against dataloader. Answers are made at once, so that only the gathering counts.
 *
 * With its cache off dataloader neither groups nor de-duplicates: that row is the price of doing so at all.
 * In the next it de-duplicates by its cache, in a loader for each batch, as its documentation has it for
 * requests. In the third its batch function groups and de-duplicates, which is the job of a coalescer.
 */
import DataLoader from "dataloader";
import { createCoalescer } from "sluice";
import { compare } from "./compare.js";

const LOADS = 1_000;
const BATCHES = 20;
const USERS = 5;
const ASKED = 4;
const units = LOADS * BATCHES;

const names = Array.from({ length: LOADS }, (_, index) => `gate-${index}`);
/** Each question is asked four times, and neighbours are of different users. */
const checks = Array.from({ length: LOADS }, (_, index) => ({
  user: `user-${index % USERS}`,
  gate: `gate-${Math.floor(index / USERS) % (LOADS / USERS / ASKED)}`,
}));

/** @param {readonly string[]} asked */
const answer = async (asked) => asked.map((name) => name.length);

/** @param {readonly { user: string, gate: string }[]} asked */
async function answerByUser(asked) {
  /** @type {Map<string, Map<string, number>>} */
  const users = new Map();
  for (const { user, gate } of asked) {
    const gates = users.get(user);
    if (gates === undefined) users.set(user, new Map([[gate, 0]]));
    else gates.set(gate, 0);
  }
  await Promise.all(
    Array.from(users.values(), async (gates) => {
      const keys = Array.from(gates.keys());
      const answers = await answer(keys);
      for (const [index, key] of keys.entries()) gates.set(key, answers[index] ?? 0);
    }),
  );
  return asked.map(({ user, gate }) => users.get(user)?.get(gate) ?? 0);
}

/**
 * @template Request
 * @param {readonly Request[]} requests
 * @param {() => { load(request: Request): Promise<unknown> }} loader
 */
const loadAll = (requests, loader) => async () => {
  for (let batch = 0; batch < BATCHES; batch += 1) {
    const one = loader();
    await Promise.all(requests.map((request) => one.load(request)));
  }
};

const coalescer = createCoalescer({
  key: (/** @type {string} */ name) => name,
  resolve: (_group, asked) => answer(asked),
});
const grouping = createCoalescer({
  group: (/** @type {{ user: string, gate: string }} */ { user }) => user,
  key: ({ gate }) => gate,
  resolve: (_user, asked) => answer(asked),
});
const plain = new DataLoader(answer, { cache: false, maxBatchSize: LOADS });
const byUser = new DataLoader(answerByUser, { cache: false, maxBatchSize: LOADS });
const fresh = () => new DataLoader(answer, { maxBatchSize: LOADS });

await compare(
  `${LOADS} loads a batch, all different, cache off`,
  { name: "sluice", units, run: loadAll(names, () => coalescer) },
  { name: "dataloader, which does less", units, run: loadAll(names, () => plain) },
  "at least 1.0",
);
await compare(
  `${LOADS} loads a batch, all different, de-duplicated`,
  { name: "sluice", units, run: loadAll(names, () => coalescer) },
  { name: "dataloader, one for each batch", units, run: loadAll(names, fresh) },
  "at least 1.0",
);
await compare(
  `${LOADS} loads a batch, of ${USERS} users, each question ${ASKED} times`,
  { name: "sluice", units, run: loadAll(checks, () => grouping) },
  { name: "dataloader, grouping by hand", units, run: loadAll(checks, () => byUser) },
  "at least 1.0",
);
/** @param {{ load(name: string): Promise<number> }} loader */
const loadAlone = (loader) => async () => {
  for (const name of names) await loader.load(name);
};
await compare(
  "a lone load of an idle coalescer",
  { name: "sluice", units: LOADS, run: loadAlone(coalescer) },
  { name: "dataloader", units: LOADS, run: loadAlone(plain) },
  "less than 1 ms",
);
await Promise.all([coalescer.close(), grouping.close()]);
