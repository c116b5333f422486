import { BatcherProgram } from "./batcher-program.ts";
import { type CallsLimits, drawCallsLimits } from "./calls-limits.ts";
import { CallsProgram } from "./calls-program.ts";
import { ClickHouseStore } from "./clickhouse/clickhouse-store.ts";
import type { Dice } from "./dice.ts";
import { FunctionStore } from "./function-store.ts";
import { type Kind, keyDrawer, KINDS } from "./kinds.ts";
import { PostgresStore } from "./postgres/postgres-store.ts";
import type { Program } from "./program.ts";
import { drawLimits, type ProgramLimits } from "./program-limits.ts";
import type { ModelStore, World } from "./world.ts";

/** The chance of one program: what its callers do, and its engine's own. */
interface ProgramChance {
  readonly dice: Dice;
  readonly jitter: Dice;
}

/** What a seed is about: the programs it starts, and the store that they share. */
export interface Subject {
  readonly name: string;
  /** How many batches have landed. */
  readonly batches: number;
  /** In what time everything must have drained once all faults are over. */
  readonly drainMs: number;
  start(name: string, chance: ProgramChance): Program;
  audit(): readonly string[];
}

/** What may be in a ClickHouse and is refused as a whole is given up after half an hour. */
const RETRY_AGE_MS = 31 * 60_000;
const KIND_NAMES = Object.keys(KINDS) as [keyof typeof KINDS, ...(keyof typeof KINDS)[]];

/** Batchers of one kind before one store. */
export class BatcherSubject implements Subject {
  readonly #world: World;
  readonly #kind: Kind;
  readonly #store: ModelStore;
  readonly #limits: ProgramLimits;
  readonly #drawKey: (n: number) => string;
  #items = 0;

  constructor(dice: Dice, world: World) {
    this.#world = world;
    this.#kind = KINDS[dice.pick(KIND_NAMES)];
    this.#limits = drawLimits(dice, this.#kind);
    this.#drawKey = keyDrawer(dice);
    this.#store = this.#drawStore(dice);
  }

  get name(): string {
    const { overflow, lanes } = this.#limits.options;
    const store = this.#store.constructor.name;
    return `${this.#kind.name} into a ${store}, ${overflow}, ${lanes} lanes`;
  }

  get batches(): number {
    return this.#store.applied.length;
  }

  get drainMs(): number {
    const age = this.#store instanceof ClickHouseStore ? RETRY_AGE_MS : 0;
    return this.#limits.drainMs(this.#items) + age;
  }

  start(name: string, chance: ProgramChance): Program {
    return new BatcherProgram({
      ...chance,
      name,
      world: this.#world,
      kind: this.#kind,
      store: this.#store,
      limits: { ...this.#limits, watched: { ...this.#limits.watched } },
      drawKey: this.#drawKey,
      nextItem: () => (this.#items += 1),
    });
  }

  audit(): readonly string[] {
    return this.#store.audit();
  }

  #drawStore(dice: Dice): ModelStore {
    if (dice.chance(0.4)) return new FunctionStore(this.#kind, this.#world);
    if (this.#kind.name === "rows") return new ClickHouseStore(this.#world);
    return new PostgresStore(this.#kind.name, this.#world);
  }
}

/** Coalescers, each before an API that only answers. */
export class CallsSubject implements Subject {
  readonly name = "calls";
  readonly #world: World;
  readonly #limits: CallsLimits;
  readonly #programs: CallsProgram[] = [];

  constructor(dice: Dice, world: World) {
    this.#world = world;
    this.#limits = drawCallsLimits(dice);
  }

  get batches(): number {
    return this.#programs.reduce((sum, { calls }) => sum + calls, 0);
  }

  get drainMs(): number {
    return this.#limits.drainMs;
  }

  start(name: string, chance: ProgramChance): Program {
    const program = new CallsProgram({ ...chance, name, world: this.#world, limits: this.#limits });
    this.#programs.push(program);
    return program;
  }

  audit(): readonly string[] {
    return [];
  }
}
