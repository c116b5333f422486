import type { Clock, Random } from "../clock.ts";
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

/** Puts faults before a sink. With a seeded `random`, the same faults at the same places each time. */
export function faultySink<Batch>(sink: Sink<Batch>, faults: Faults<Batch>): Sink<Batch> {
  const { random, fail = 0, loseAck = 0, hang = 0, zombie = 0, clock } = faults;
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
