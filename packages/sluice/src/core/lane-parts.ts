import type { Clock, Random } from "../clock.ts";
import type { UnnamedEvent } from "../events.ts";
import type { Size } from "../shapes/shape.ts";
import type { Books } from "./books.ts";
import type { Gate } from "./circuit.ts";
import type { Delivery } from "./delivery.ts";
import type { Settings } from "./options.ts";
import type { Turn } from "./slots.ts";

/** What the lanes of a batcher share. */
export interface LaneParts<Batch> {
  readonly clock: Clock;
  readonly random: Random;
  readonly books: Books;
  readonly delivery: Pick<Delivery<Batch, unknown>, "deliver">;
  /** Whether the sink lets go of a batch that it has taken. */
  readonly releases: boolean;
  readonly settings: () => Settings;
  readonly emit: (event: UnnamedEvent) => void;
  /** So much was freed. */
  readonly onRoom: (left: Size) => void;
}

/** What a lane has for itself. */
export interface LaneIdentity {
  readonly writer: string;
  readonly gate: Gate;
  /** Of a lane that lives for one batch of its group. */
  readonly call: LaneOfGroup | undefined;
}

/** What a lane needs that gathers the next batch of a group, and ends when it has landed. */
export interface LaneOfGroup {
  /** Its slot: it gathers until it holds one. */
  readonly turn: Turn;
  /** Whether the group has nothing else under way. */
  alone(): boolean;
  /** It is empty. */
  ended(): void;
}
