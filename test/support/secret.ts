/** A secret for every credential of a test, and a look for it in whatever may be shown or logged. */
import { inspect } from "node:util";
import { vi } from "vitest";

/** Characters that URLs, JSON and base64 spell differently, around a word that none of them changes. */
export const CANARY = "/4711+canary@x:";

const WORD = "canary";

/** What base64 makes of the word, wherever in three bytes it begins: a header of Basic, a cookie. */
const IN_BASE64 = [0, 1, 2].map((shift) => {
  const bits = (shift + WORD.length) * 8;
  const text = Buffer.from(`${"-".repeat(shift)}${WORD}`).toString("base64");
  return text.slice(Math.ceil((shift * 8) / 6), Math.floor(bits / 6));
});

const SPELLINGS = [Buffer.from(WORD).toString("hex"), ...IN_BASE64];

const shows = (text: string): boolean =>
  text.toLowerCase().includes(WORD) || SPELLINGS.some((spelling) => text.includes(spelling));

/**
 * Where `value` shows the canary: in what it is printed as, or in any field, hidden ones and those of
 * causes included. Nothing shows it if the list is empty.
 */
export function leaksIn(value: unknown): readonly string[] {
  const places: string[] = [];
  const seen = new Set<unknown>();
  const look = (part: unknown, path: string): void => {
    if (typeof part === "string" && shows(part)) places.push(`${path}: ${part}`);
    if (part instanceof Uint8Array && shows(Buffer.from(part).toString())) places.push(path);
    if (typeof part !== "object" || part === null || seen.has(part)) return;
    seen.add(part);
    if (part instanceof Map || part instanceof Set) look([...part], `${path}.entries`);
    for (const name of Reflect.ownKeys(part))
      look(Reflect.get(part, name), `${path}.${String(name)}`);
  };
  look(value, "value");
  const options = { depth: Infinity, showHidden: true, maxStringLength: Infinity };
  look({ inspected: inspect(value, options), printed: String(value), json: json(value) }, "text");
  return places;
}

function json(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined; // a cycle
  }
}

/** What the process says of itself from now on: its warnings, and what is written to its streams. */
export function eavesdrop(): { stop(): readonly unknown[] } {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write"));
  return {
    stop: () => {
      process.off("warning", onWarning);
      const written = spies.flatMap((spy) => spy.mock.calls.map(([text]) => text));
      for (const spy of spies) spy.mockRestore();
      return [...warnings, ...written];
    },
  };
}
