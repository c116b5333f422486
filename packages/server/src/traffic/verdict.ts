/** Whether a table holds what happened. */
export interface TableVerdict {
  readonly table: string;
  readonly verified: boolean;
  /** How many rows of the table were compared. */
  readonly rows: number;
  readonly differences: number;
  /** The first few differences, in words. */
  readonly examples: readonly string[];
}

/** Gathers what is different in one table. */
export interface Differences {
  /** Takes what is wrong with a row, in words; with most rows, nothing is. */
  report(row: string, words: readonly string[]): void;
  /** What all that comes to, among so many rows. */
  verdict(rows: number): TableVerdict;
}

const MAX_EXAMPLES = 3;

/** Begins without a difference. */
export function createDifferences(table: string): Differences {
  const examples: string[] = [];
  let differences = 0;
  return {
    report(row, words) {
      differences += words.length;
      const room = MAX_EXAMPLES - examples.length;
      for (const word of words.slice(0, room)) examples.push(`${row}: ${word}`);
    },
    verdict: (rows) => ({ table, verified: differences === 0, rows, differences, examples }),
  };
}
