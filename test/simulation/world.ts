import type { Clock, Sink } from "sluice";
import type { Attempts } from "./attempts.ts";
import type { ProgramFault, ProgramStage, StoreFault, StoreStage } from "./coverage.ts";
import type { Fact } from "./facts.ts";
import type { Fates } from "./fates.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** What everybody in a simulated world shares. */
export interface World {
  readonly time: VirtualTime;
  readonly fates: Fates;
  /** A fault has struck. */
  hit(fault: StoreFault, stage: StoreStage | undefined): void;
  hit(fault: ProgramFault, stage: ProgramStage): void;
  /** A promise was broken. */
  fail(what: string): void;
  /** Something happened; the text is made only where somebody reads the history. */
  note(what: () => string): void;
}

/** A program as its store knows it. */
export interface Client {
  readonly name: string;
  readonly alive: boolean;
  readonly clock: Clock;
  readonly attempts: Pick<Attempts<never>, "of">;
}

/** A batch, or a part of one, that has been applied. */
export interface AppliedBatch {
  readonly writer: string;
  /** The id in one text. */
  readonly name: string;
  readonly facts: readonly Fact[];
}

/** A store that keeps what survives its clients. */
export interface ModelStore {
  /** A sink for a program; a batch is of the store's own kind. */
  sink(client: Client): Sink<never>;
  /** In the order in which they came to be. */
  readonly applied: readonly AppliedBatch[];
  /** A client has died, and its connections with it. */
  disconnect(client: Client): void;
  /** What is wrong with what it holds, beyond what `applied` tells. */
  audit(): readonly string[];
}
