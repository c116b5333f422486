/**
 * The test kit: time and chance under control, stores that fail on purpose, and the shape laws.
 */
export { type Faults, faultySink } from "./faulty-sink.ts";
export { type ManualClock, manualClock } from "./manual-clock.ts";
export { type MemorySink, memorySink, type Written } from "./memory-sink.ts";
export { seededRandom } from "./seeded-random.ts";
export { checkShapeLaws, type LawOptions } from "./shape-laws.ts";
