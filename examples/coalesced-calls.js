import { createCoalescer } from "sluice";

const gates = createCoalescer({
  group: ({ user }) => user, // questions about one user may share a call
  key: ({ gate }) => gate, // the same gate is the same question, asked once
  resolve: async (user, asked) => {
    console.log(`one call about ${user}: ${asked.join(", ")}`);
    return new Map(asked.map((gate) => [gate, gate.length % 2 === 0]));
  },
});

const [search, again, beta] = await Promise.all([
  gates.load({ user: "ann", gate: "search" }),
  gates.load({ user: "ann", gate: "search" }),
  gates.load({ user: "ann", gate: "new_checkout" }),
  gates.load({ user: "bob", gate: "search" }),
]);
console.log(`search ${search}, again ${again}, new_checkout ${beta}`);
await gates.close();
