// Plain values into any async function.
import { createBatcher, list } from "sluice";

const lines = createBatcher({
  shape: list(),
  sink: async (batch) => console.log(`one write of ${batch.length}: ${batch.join(", ")}`),
  maxEntries: 1_000, // a batch leaves when it is full,
  maxDelayMs: 100, // or this long after its first line
});

lines.tryAdd("alpha"); // takes it at once, or says no
await lines.add("beta"); // waits for room
await lines.deliver("gamma"); // waits until it has landed
await lines.close(); // drains, and reports
