/**
 * Rows from memory to a ClickHouse server of its own: a row batcher against the official client's
 * `insert` with JSONEachRow, which is given the same rows in the same numbers per insert. Wall time,
 * and the processor time of this process, in turns within one run.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createClient } from "@clickhouse/client";
import {
  Array as ArrayOf,
  createRowBatcher,
  DateTime,
  Float64,
  String as Text,
  UInt32,
  UInt64,
} from "sluice/clickhouse";
import { clickHouseServerMissing, startClickHouse } from "../scripts/clickhouse-server.js";
import { median } from "./compare.js";

const PER_INSERT = 50_000;
const INSERTS = 4;
const ROWS = INSERTS * PER_INSERT;
const ROUNDS = 9;

const missing = clickHouseServerMissing();
if (missing !== undefined) throw new Error(missing);
const server = await startClickHouse();
const client = createClient({ url: server.url, log: { level: 127 } });

const items = Array.from({ length: PER_INSERT }, (_, index) => ({
  id: index,
  total: index * 4_294_967,
  ratio: index / 7,
  name: `user-${index % 1_000}-name`,
  at: 1_700_000_000 + index,
  tags: ["red", "green", `blue${index % 10}`],
}));

// The table keeps nothing: what is compared is the way to it.
await client.command({
  query: `CREATE TABLE rows (id UInt32, total UInt64, ratio Float64, name String, at DateTime,
    tags Array(String)) ENGINE = Null`,
});

const batcher = createRowBatcher(client, {
  table: "rows",
  columns: {
    id: UInt32,
    total: UInt64,
    ratio: Float64,
    name: Text,
    at: DateTime,
    tags: ArrayOf(Text),
  },
  maxEntries: PER_INSERT,
  observe: () => undefined,
});

async function ours() {
  for (let insert = 0; insert < INSERTS; insert += 1) await batcher.insertMany(items);
  await batcher.flush();
}

async function theirs() {
  for (let insert = 0; insert < INSERTS; insert += 1) {
    await client.insert({ table: "rows", values: items, format: "JSONEachRow" });
  }
}

setFlagsFromString("--expose-gc");
/** @type {() => void} */
const collectGarbage = runInNewContext("gc");

/** @param {() => Promise<void>} run */
async function measured(run) {
  collectGarbage(); // what the other left behind is not this one's to clear
  const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
  await run();
  const { user, system } = process.cpuUsage(cpu);
  return { wall: performance.now() - startedAt, cpu: (user + system) / 1_000 };
}

/** @type {{ ours: { wall: number, cpu: number }, theirs: { wall: number, cpu: number } }[]} */
const rounds = [];
for (let round = -4; round < ROUNDS; round += 1) {
  const both = { ours: await measured(ours), theirs: await measured(theirs) };
  if (round >= 0) rounds.push(both); // the first ones warm up
}
console.log(`${ROWS} rows of six columns, ${PER_INSERT} an insert, into clickhouse-server
`);
for (const [figure, goal] of /** @type {const} */ ([
  ["wall", 3],
  ["cpu", 6],
])) {
  const ratios = rounds.map((round) => round.theirs[figure] / round.ours[figure]);
  console.log(`${figure === "wall" ? "wall time" : "processor time of the client"}
  sluice                             ${median(rounds.map((round) => round.ours[figure])).toFixed(1)} ms
  @clickhouse/client, JSONEachRow    ${median(rounds.map((round) => round.theirs[figure])).toFixed(1)} ms
  ours against theirs                ${median(ratios).toFixed(2)}×   (goal: at least ${goal}; rounds ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")})
`);
}
await batcher.close();
await client.close();
await server.stop();
