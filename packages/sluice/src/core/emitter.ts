import { messageOf } from "../errors.ts";
import type { Observe, UnnamedEvent } from "../events.ts";

/**
 * Tells events to `observe`, which must not be able to hurt the engine. With nobody observing, the
 * process is warned of each kind of trouble, once: else only `flush()` and `close()` would say so.
 */
export function emitter(
  name: string,
  observe: Observe | undefined,
  buries: boolean,
): (event: UnnamedEvent) => void {
  const warn = (text: string): void => process.emitWarning(`${name}: ${text}`, "SluiceWarning");
  if (observe !== undefined) {
    const threw = (error: unknown): void => {
      const text = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
      warn(`observe threw: ${text}`);
    };
    return (event) => {
      try {
        const told: unknown = observe({ name, ...event });
        if (told instanceof Promise) told.catch(threw); // of an async function
      } catch (error) {
        threw(error);
      }
    };
  }
  const warned = new Set<UnnamedEvent["type"]>();
  return (event) => {
    if (warned.has(event.type)) return;
    const trouble = troubleOf(event, buries);
    if (trouble === undefined) return;
    warned.add(event.type);
    warn(`${trouble}. Pass \`observe\` to hear of this.`);
  };
}

function troubleOf(event: UnnamedEvent, buries: boolean): string | undefined {
  switch (event.type) {
    case "circuit":
      if (event.state !== "open") return undefined;
      return `cannot deliver, and keeps trying: ${messageOf(event.error)}`;
    case "dead-lettered":
      if (buries) return undefined;
      return `lost what will never land, for want of a \`deadLetter\`: ${messageOf(event.error)}`;
    case "unknown":
      return `does not know whether a batch of ${event.items} items landed: ${messageOf(event.error)}`;
    case "warning":
      return messageOf(event.error);
    default:
      return undefined;
  }
}
