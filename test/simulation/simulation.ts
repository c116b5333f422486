import type { Coverage, ProgramFault } from "./coverage.ts";
import { Dice } from "./dice.ts";
import { drawWeather, Fates } from "./fates.ts";
import type { Program } from "./program.ts";
import { BatcherSubject, CallsSubject, type Subject } from "./subjects.ts";
import { MAX_STEPS, VirtualTime } from "./virtual-time.ts";
import type { World } from "./world.ts";

/** What became of a seed. */
export interface Outcome {
  readonly seed: number;
  /** What it was about. */
  readonly subject: string;
  /** Promises that were broken; none if all is well. */
  readonly failures: readonly string[];
  readonly coverage: Coverage;
  readonly batches: number;
  readonly faults: number;
  /** Every event, where it was asked for. */
  readonly history: readonly string[];
}

/** Failures beyond this many say nothing new. */
const MAX_FAILURES = 10;
const UUID = /[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g;

/** Lives one seed: draws a world, lets programs run in it, and holds all they promised against it. */
export async function simulate(
  seed: number,
  options: { readonly history?: boolean } = {},
): Promise<Outcome> {
  const simulation = new Simulation(seed, options.history === true);
  await simulation.run();
  return simulation.outcome();
}

/** How often what is done. */
const ACTS = {
  offer: 40,
  wait: 20,
  flush: 3,
  abort: 6,
  pressure: 2,
  jump: 2,
  outage: 2,
  close: 1,
  crash: 1.5,
};
const ACTS_WHILE_HALVING = { ...ACTS, abort: 14, pressure: 8, jump: 8, close: 8, crash: 9 };

class Simulation {
  readonly #seed: number;
  readonly #script: Dice;
  readonly #setup: Dice;
  readonly #time: VirtualTime;
  readonly #fates: Fates;
  readonly #world: World;
  readonly #subject: Subject;
  readonly #programs: Program[] = [];
  readonly #coverage: Coverage = {};
  readonly #failures: string[] = [];
  readonly #history: string[] = [];
  #live: Program[] = [];
  #faults = 0;

  constructor(seed: number, keepsHistory: boolean) {
    this.#seed = seed;
    this.#setup = new Dice(seed, 0);
    this.#script = new Dice(seed, 1);
    this.#time = new VirtualTime(new Dice(seed, 2));
    this.#fates = new Fates(new Dice(seed, 3), drawWeather(this.#setup));
    const runs = new Map<string, string>();
    const note = (what: string): void => {
      // The one thing that is drawn anew each time: what makes a writer's name unique.
      const text = what.replaceAll(UUID, (uuid) => {
        const run = runs.get(uuid) ?? `run${runs.size + 1}`;
        runs.set(uuid, run);
        return run;
      });
      this.#history.push(`${this.#time.now.toFixed(2).padStart(10)} ${text}`);
    };
    this.#world = {
      time: this.#time,
      fates: this.#fates,
      hit: (fault, stage) => {
        if (stage === undefined) return;
        const cell = `${fault}/${stage}`;
        this.#coverage[cell] = (this.#coverage[cell] ?? 0) + 1;
        this.#faults += 1;
        if (keepsHistory) note(`fault: ${fault} (${stage})`);
      },
      fail: (what) => {
        if (keepsHistory) note(`BROKEN: ${what}`);
        if (this.#failures.length < MAX_FAILURES) this.#failures.push(what);
      },
      note: (what) => {
        if (keepsHistory) note(what());
      },
    };
    this.#subject = this.#setup.chance(0.15)
      ? new CallsSubject(this.#setup, this.#world)
      : new BatcherSubject(this.#setup, this.#world);
    this.#time.onStep = () => {
      for (const program of this.#live) program.check();
    };
  }

  async run(): Promise<void> {
    const programs = this.#setup.pick([1, 1, 1, 2, 3]);
    for (let index = 0; index < programs; index += 1) this.#start();
    const steps = 8 + this.#setup.below(40);
    for (let step = 0; step < steps && this.#failures.length === 0; step += 1) await this.#step();
    if (this.#failures.length > 0) return;
    await this.#drain();
    if (this.#time.steps >= MAX_STEPS) this.#world.fail(`no rest after ${MAX_STEPS} steps`);
    for (const program of this.#programs) {
      for (const wrong of program.audit()) this.#world.fail(`${program.name}: ${wrong}`);
    }
    for (const wrong of this.#subject.audit()) this.#world.fail(`store: ${wrong}`);
  }

  outcome(): Outcome {
    return {
      seed: this.#seed,
      subject: this.#subject.name,
      failures: this.#failures,
      coverage: this.#coverage,
      batches: this.#subject.batches,
      faults: this.#faults,
      history: this.#history,
    };
  }

  async #step(): Promise<void> {
    const script = this.#script;
    const halving = this.#live.find(({ isHalving }) => isHalving);
    const program = halving ?? this.#live[script.below(this.#live.length)];
    if (program === undefined) return;
    const act = script.weigh(halving === undefined ? ACTS : ACTS_WHILE_HALVING);
    switch (act) {
      case "offer":
        for (let burst = script.pick([1, 1, 2, 5, 12]); burst > 0; burst -= 1) program.offer();
        break;
      case "wait": {
        // Batches are rarely taken apart, and not for long: what happens meanwhile is worth a look.
        const stops = script.chance(0.8) && !this.#live.some(({ isHalving }) => isHalving);
        const halving = (): boolean => stops && this.#live.some(({ isHalving }) => isHalving);
        await this.#time.advance(script.pick([0, 1, 5, 20, 120, 700]) * script.random(), halving);
        return;
      }
      case "flush":
        program.flush();
        break;
      case "abort": {
        const { stage } = program;
        if (program.abortOne()) this.#world.hit("caller aborts", stage);
        break;
      }
      case "pressure":
        this.#strike(program, "memory pressure");
        program.pressure();
        break;
      case "jump":
        for (const each of this.#live) this.#strike(each, "clock jump");
        this.#time.wallOffset += script.pick([-3_600_000, 0, 3_600_000]);
        await this.#time.jump(script.pick([20, 300, 40_000]));
        return;
      case "outage":
        this.#fates.down = !this.#fates.down;
        break;
      case "close":
        if (program.isClosing) break;
        this.#strike(program, "close");
        program.close(script.pick([0, 20, 400, 15_000]));
        break;
      case "crash":
        this.#strike(program, "crash");
        program.crash();
        this.#live = this.#live.filter((each) => each !== program);
        this.#start();
        break;
    }
    // Some acts follow each other without a pause, in one tick.
    if (script.chance(0.6)) await this.#time.settle();
  }

  #strike(program: Program, fault: ProgramFault): void {
    this.#world.hit(fault, program.stage);
  }

  #start(): void {
    const index = this.#programs.length;
    const program = this.#subject.start(`p${index}`, {
      dice: new Dice(this.#seed, 10 + 2 * index),
      jitter: new Dice(this.#seed, 11 + 2 * index),
    });
    this.#programs.push(program);
    this.#live.push(program);
  }

  /** All faults are over: everything must come to rest, in bounded time, and close well. */
  async #drain(): Promise<void> {
    this.#fates.calm = true;
    this.#world.note(() => "the faults are over");
    const rests = (): boolean => this.#live.every((program) => program.drained);
    const audit = (): void => {
      for (const program of this.#live)
        for (const wrong of program.unrest()) this.#world.fail(`${program.name}: ${wrong}`);
    };
    await this.#time.advance(this.#subject.drainMs, rests);
    audit();
    for (const program of this.#live) {
      if (!program.isClosing) program.close(this.#subject.drainMs);
    }
    await this.#time.advance(this.#subject.drainMs, rests);
    await this.#time.advance(100_000); // what comes late, comes
    audit();
  }
}
