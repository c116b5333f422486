import type { Clock, Random } from "../clock.ts";
import { invalidOption, refuseUnknown } from "../core/validate.ts";
import { rejected, retryable, SluiceError } from "../errors.ts";
import type { Sink } from "../sinks/sink.ts";

/** How often each fault strikes, as a share of all attempts, and what it needs. */
export interface Faults<Batch> {
  readonly random: Random;
  /** Fails before anything is applied, and says so. */
  readonly fail?: number | undefined;
  /** Applies the batch and loses the acknowledgement. */
  readonly loseAck?: number | undefined;
  /** Never answers and applies nothing. */
  readonly hang?: number | undefined;
  /** Never answers in time, and applies the batch `zombieMs` later all the same. */
  readonly zombie?: number | undefined;
  readonly zombieMs?: number | undefined;
  /** The clock for `zombieMs`. */
  readonly clock?: Clock | undefined;
  /** Rejects every batch for which this gives a reason. */
  readonly poison?: ((batch: Batch) => string | undefined) | undefined;
}

const FAULTS: readonly (keyof Faults<unknown>)[] = [
  "random",
  "fail",
  "loseAck",
  "hang",
  "zombie",
  "zombieMs",
  "clock",
  "poison",
];

/** Puts faults before a sink. With a seeded `random`, the same faults at the same places each time. */
export function faultySink<Batch>(sink: Sink<Batch>, faults: Faults<Batch>): Sink<Batch> {
  refuseUnknown(faults, FAULTS, "faultySink: ");
  if (typeof sink?.write !== "function") {
    throw invalidOption("faultySink: the sink", "an object with write()", sink);
  }
  const { random, fail = 0, loseAck = 0, hang = 0, zombie = 0, clock } = faults;
  if (typeof random !== "function") {
    throw invalidOption("faultySink: random", "a function", random);
  }
  for (const [name, share] of Object.entries({ fail, loseAck, hang, zombie })) {
    if (typeof share === "number" && share >= 0 && share <= 1) continue;
    throw invalidOption(`faultySink: ${name}`, "a share from 0 to 1", share);
  }
  if (zombie > 0 && clock === undefined) {
    throw new SluiceError("SLUICE_ERR_OPTION_CONFLICT", `zombie (${zombie}) needs a clock`);
  }
  return {
    async write(batch, context) {
      const reason = faults.poison?.(batch);
      if (reason !== undefined) throw rejected(reason);
      let chance = random();
      const strikes = (share: number): boolean => {
        chance -= share;
        return chance < 0;
      };
      if (strikes(fail)) throw retryable("fault: failed before commit", { ambiguous: false });
      if (strikes(loseAck)) {
        await sink.write(batch, context);
        throw retryable("fault: acknowledgement lost");
      }
      if (strikes(hang)) return new Promise(() => undefined);
      if (strikes(zombie) && clock !== undefined) {
        clock.schedule(() => {
          sink.write(batch, context).catch(context.warn);
        }, faults.zombieMs ?? 60_000);
        return new Promise(() => undefined);
      }
      return sink.write(batch, context);
    },
  };
}
