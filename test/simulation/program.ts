import type { ProgramStage } from "./coverage.ts";

/** A program in a simulated world: what is tested, its callers, and what they were promised. */
export interface Program {
  readonly name: string;
  /** What it is about. */
  readonly stage: ProgramStage;
  readonly isClosing: boolean;
  /** Whether it is taking a batch apart. */
  readonly isHalving: boolean;
  /** Whether everything has left, and nobody waits. */
  readonly drained: boolean;
  /** Adds or asks something, in one of the ways there are. */
  offer(): void;
  flush(): void;
  /** One caller that waits gives up. False where none does. */
  abortOne(): boolean;
  /** Memory is short. */
  pressure(): void;
  close(timeoutMs: number): void;
  /** Power fails: what is in memory is gone. */
  crash(): void;
  /** After each step: whatever must hold at every instant. */
  check(): void;
  /** What still goes on, once everything should have come to rest. */
  unrest(): readonly string[];
  /** What is wrong with what has become of it, once everything has ended. */
  audit(): readonly string[];
}
