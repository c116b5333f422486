/** What goes wrong, and where: how often each fault has struck at each stage. */

/** What befalls an attempt. */
const STORE_FAULTS = [
  "fail before commit",
  "lose the acknowledgement",
  "hang",
  "zombie",
  "slow",
  "partial",
  "permanent",
  "too large",
  "out of order",
] as const;

/** Where an attempt stands. */
const STORE_STAGES = ["first attempt", "retry", "probe", "half", "draining"] as const;

/** What befalls a program. */
const PROGRAM_FAULTS = [
  "clock jump",
  "memory pressure",
  "caller aborts",
  "close",
  "crash",
] as const;

/** What a program is about. */
const PROGRAM_STAGES = [
  "idle",
  "gathering",
  "blocked",
  "in flight",
  "pausing",
  "halving",
  "circuit open",
  "draining",
] as const;

export type StoreFault = (typeof STORE_FAULTS)[number];
export type StoreStage = (typeof STORE_STAGES)[number];
export type ProgramFault = (typeof PROGRAM_FAULTS)[number];
export type ProgramStage = (typeof PROGRAM_STAGES)[number];

/** Cells that cannot be: nobody waits or is aborted where nothing is held, and a close closes once. */
const IMPOSSIBLE: ReadonlySet<string> = new Set(["caller aborts/idle", "close/draining"]);

/** Counts of each fault at each stage. */
export type Coverage = Record<string, number>;

/** Every cell that a run of enough seeds must reach. */
export const CELLS: readonly string[] = [
  ...STORE_FAULTS.flatMap((fault) => STORE_STAGES.map((stage) => `${fault}/${stage}`)),
  ...PROGRAM_FAULTS.flatMap((fault) => PROGRAM_STAGES.map((stage) => `${fault}/${stage}`)),
].filter((cell) => !IMPOSSIBLE.has(cell));

/** Adds the counts of `more` to `coverage`. */
export function addCoverage(coverage: Coverage, more: Readonly<Coverage>): void {
  for (const [cell, hits] of Object.entries(more)) coverage[cell] = (coverage[cell] ?? 0) + hits;
}

/** Both tables, laid out for a person. */
export function coverageTable(coverage: Readonly<Coverage>): string {
  const table = (faults: readonly string[], stages: readonly string[]): string => {
    const row = (head: string, cells: readonly string[]): string =>
      head.padEnd(25) + cells.map((cell) => cell.padStart(14)).join("");
    const hits = (fault: string, stage: string): string => {
      const cell = `${fault}/${stage}`;
      return CELLS.includes(cell) ? (coverage[cell] ?? 0).toLocaleString("en") : "-";
    };
    return [
      row("", stages),
      ...faults.map((fault) =>
        row(
          fault,
          stages.map((stage) => hits(fault, stage)),
        ),
      ),
    ].join("\n");
  };
  const [stores, programs] = [
    table(STORE_FAULTS, STORE_STAGES),
    table(PROGRAM_FAULTS, PROGRAM_STAGES),
  ];
  return `${stores}\n\n${programs}`;
}
