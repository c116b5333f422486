import type { SluiceEvent } from "sluice";
import { messageOf } from "./failure.ts";

/** Hears what the library has to tell. */
export type Observe = (event: SluiceEvent) => void;

/** Creates what tells of every kind of trouble the first time that it happens. */
export function createObserver(store: string, warn: (words: string) => void): Observe {
  const said = new Set<string>();
  return (event) => {
    const words = describe(store, event);
    const kind = event.type === "warning" ? kindOf(event.error) : event.type;
    if (words === undefined || said.has(kind)) return;
    said.add(kind);
    warn(words);
  };
}

/** Warnings differ by what they are about. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "warning";
  return typeof error.code === "string" ? error.code : "warning";
}

function describe(store: string, event: SluiceEvent): string | undefined {
  switch (event.type) {
    case "retried":
      return `${store} fails, trying again: ${messageOf(event.error)}`;
    case "dead-lettered":
      return `${store} refused an entry: ${messageOf(event.error)}`;
    case "unknown":
      return `a batch for ${store} ended without an answer: ${messageOf(event.error ?? "time ran out")}`;
    case "warning":
      return messageOf(event.error);
    default:
      return undefined;
  }
}
