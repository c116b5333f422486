// The newest value per agent and key, and readers that hear of it. A Pool of pg can stand where PGlite stands.
import { PGlite } from "@electric-sql/pglite";
import { agentMetadataDdl, createAgentMetadataBatcher } from "sluice/agent-metadata";
import { migrate, postgresPubsub } from "sluice/postgres";

const database = new PGlite();
await migrate(database, agentMetadataDdl());
const pubsub = postgresPubsub(database); // with a Pool: { listen: () => new pg.Client(url) }
const metadata = createAgentMetadataBatcher(database, { pubsub, onMissing: "insert" });

const agent = "2ed6657d-e927-568b-95e1-2665a8aea6a2";
await metadata.add(agent, [
  { key: "disk", value: "", error: "not mounted" },
  { key: "load", value: "0.7" },
]);
await metadata.add(agent, [{ key: "load", value: "0.9" }]); // newer: replaces it
await metadata.flush();

for await (const { entries } of metadata.watch(agent)) {
  console.log(entries.map(({ key, value, error }) => `${key}: ${value || error}`).join(", "));
  break; // or go on: each turn of the loop is a change, on whichever replica it was made
}
await metadata.close();
await pubsub.close();
await database.close();
