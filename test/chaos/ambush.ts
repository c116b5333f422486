/** Harm that waits in a proxy for the message it is meant for. */
import type { Fate, Message, Proxy } from "../integration/proxy.ts";

/** Gives the next message that `applies` its fate, and resolves when it has come. */
export type Ambush = (fate: Fate, applies: (message: Message) => boolean) => Promise<void>;

interface Trap {
  readonly fate: Fate;
  readonly applies: (message: Message) => boolean;
  readonly sprung: () => void;
}

/** Takes over the fate of every message of a proxy. */
export function layAmbushes(proxy: Proxy): Ambush {
  const traps: Trap[] = [];
  proxy.fate = (message) => {
    const trap = traps.find(({ applies }) => applies(message));
    if (trap === undefined) return "pass";
    traps.splice(traps.indexOf(trap), 1);
    trap.sprung();
    return trap.fate;
  };
  return (fate, applies) =>
    new Promise((sprung) => {
      traps.push({ fate, applies, sprung });
    });
}
