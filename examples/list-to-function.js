// Plain values into any async function: the simplest use.
import { createBatcher, list } from "sluice";

const lines = createBatcher({
  shape: list(),
  sink: async (batch) => {
    console.log(`one write of ${batch.length} lines: ${batch.join(", ")}`);
  },
  maxEntries: 1_000, // a batch is sealed when it is full,
  maxDelayMs: 100, //   or this long after its first line
});

lines.tryAdd("alpha"); // taken at once, or not at all
await lines.add("beta"); // waits for room
const receipt = lines.deliver("gamma"); // resolves when it has landed
console.log(await receipt, await lines.close());
