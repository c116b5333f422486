/** What is compared: rows with counts, or answers with rules. */
export type Compared = "row" | "answer";

/** Whether a table holds what happened, or all answers were right. */
export interface TableVerdict {
  readonly table: string;
  readonly verified: boolean;
  /** How many rows of the table, or answers, were compared. */
  readonly rows: number;
  /** By default rows. */
  readonly compared?: Compared;
  readonly differences: number;
  /** The first few differences, in words; none is there twice. */
  readonly examples: readonly string[];
}

/** Gathers what is different in one table, or among answers. */
export interface Differences {
  /** Takes what is wrong with a row, in words; with most rows, nothing is. */
  report(row: string, words: readonly string[]): void;
  /** What all that comes to, among so many rows. */
  verdict(rows: number): TableVerdict;
}

const MAX_EXAMPLES = 3;

/** Begins without a difference. */
export function createDifferences(table: string, compared?: Compared): Differences {
  let examples: readonly string[] = [];
  let differences = 0;
  return {
    report(row, words) {
      differences += words.length;
      if (examples.length === MAX_EXAMPLES) return;
      const named = new Set([...examples, ...words.map((word) => `${row}: ${word}`)]);
      examples = [...named].slice(0, MAX_EXAMPLES);
    },
    verdict: (rows) => {
      const verdict = { table, verified: differences === 0, rows, differences, examples };
      return compared === undefined ? verdict : { ...verdict, compared };
    },
  };
}
