/** Exit codes of every command. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** A failure that is explained to the user by its message alone: one line, without a stack. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, { cause });
    this.name = "Failure";
    this.exitCode = exitCode;
  }
}

/** A mistake on the command line of `command`; the message gains a pointer to its help. */
export function usageFailure(command: string, message: string): Failure {
  return new Failure(`${message}; see \`${command} --help\``, EXIT.usage);
}

/** Quotes a value that a user or a log sent us, so that it can neither move the cursor nor hide. */
export function quote(value: string): string {
  return printable(JSON.stringify(value));
}

/** Escapes all control characters of a text that is meant to be one line. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** What an unknown error says about itself, in one line. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "" && error.errors.length > 0) {
    return messageOf(error.errors[0]);
  }
  if (!(error instanceof Error)) return printable(String(error));
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return printable(error.message.trim() === "" ? code : joinLines(error.message));
}

/** The lines of a list after its colon, or of any other text, as one. */
function joinLines(text: string): string {
  return text
    .trim()
    .replace(/:\s*[\r\n]\s*/g, ": ")
    .replace(/\s*[\r\n]\s*/g, "; ");
}
