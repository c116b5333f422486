import type { Observe, UnnamedEvent } from "../events.ts";

/**
 * Tells events to `observe`, which must not be able to hurt the engine. With nobody observing, the
 * process is warned once when the store stays away: else only `close()` would say so.
 */
export function emitter(name: string, observe: Observe | undefined): (event: UnnamedEvent) => void {
  const warn = (text: string): void => process.emitWarning(`${name}: ${text}`, "SluiceWarning");
  if (observe !== undefined) {
    return (event) => {
      try {
        observe({ name, ...event });
      } catch (error) {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        warn(`observe threw: ${text}`);
      }
    };
  }
  let warned = false;
  return (event) => {
    if (warned || event.type !== "circuit" || event.state !== "open") return;
    warned = true;
    const why = event.error instanceof Error ? event.error.message : String(event.error);
    warn(`cannot deliver, and keeps trying: ${why}. Pass \`observe\` to hear of this.`);
  };
}
