import { cutText } from "../../shapes/text.ts";
import type { Redactor } from "./redactor.ts";

const MAX_BYTES = 500;
/** What is looked at to fill them: redacted and collapsed, it gets shorter. */
const SOURCE_LENGTH = 16 * 1_024;

/**
 * The beginning of a text that was received, for a message: on one line, without secrets, at most 500
 * bytes of UTF-8 and an ellipsis. `isPart`: the text itself ends early.
 */
export function excerpt(text: string, redactor: Redactor, isPart: boolean = false): string {
  const source = text.slice(0, SOURCE_LENGTH);
  const isCut = isPart || source.length < text.length;
  // Before anything is cut: half a secret is not recognised.
  const safe = isCut ? redactor.redactStart(source) : redactor.redact(source);
  const line = collapse(safe).toWellFormed();
  const start = cutText(line, MAX_BYTES);
  return isCut || start.length < line.length ? `${start}…` : start;
}

/** White space, control characters and invisible ones, each run as one blank. */
const collapse = (text: string): string => text.replace(/[\s\p{Cc}\p{Cf}\p{Cs}]+/gu, " ").trim();
