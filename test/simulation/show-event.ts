import type { SluiceEvent } from "sluice";
import { idOf } from "./attempts.ts";

/** An event as a line of the history. */
export function showEvent(event: SluiceEvent): string {
  const { name: _, type, ...facts } = event;
  const plain = Object.entries(facts).map(([key, value]) =>
    key === "id"
      ? idOf(value as never)
      : value instanceof Error
        ? `${key}: ${value.message}`
        : typeof value === "object"
          ? ""
          : `${key}: ${String(value)}`,
  );
  return `${type} ${plain.join(", ")}`;
}
