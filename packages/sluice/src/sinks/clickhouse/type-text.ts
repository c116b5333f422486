/**
 * The grammar under type names: a name with a list in brackets, in which quotes hide anything.
 */

/** A field of a tuple: `a UInt8`, `` `b c` String ``, or a type alone. */
export interface NamedText {
  readonly name: string | undefined;
  readonly text: string;
}

/** Splits `Name(args)`; without brackets `args` is `undefined`. `undefined` for anything else. */
export function parseCall(
  text: string,
): { readonly name: string; readonly args: string | undefined } | undefined {
  const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(\(.*\))?\s*$/s.exec(text);
  if (match?.[1] === undefined) return undefined;
  return { name: match[1], args: match[2]?.slice(1, -1) };
}

/**
 * Splits a list at its commas, which in brackets and quotes are none. `undefined` if brackets or
 * quotes do not match, or an entry is empty.
 */
export function splitList(text: string): readonly string[] | undefined {
  const entries: string[] = [];
  let [depth, from] = [0, 0];
  for (let at = 0; at <= text.length; at += 1) {
    const char = text[at];
    if (char === "'" || char === "`" || char === '"') {
      at = endOfQuote(text, at);
    } else if (char === "(") {
      depth += 1;
    } else if (char === ")") {
      depth -= 1;
      if (depth < 0) return undefined;
    } else if ((char === "," && depth === 0) || char === undefined) {
      entries.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  // A quote without its end runs past the end of the text, and no entry ends there.
  return depth !== 0 || from !== text.length + 1 || entries.includes("") ? undefined : entries;
}

/** Where the quote that begins at `at` ends. Backslashes escape; a doubled quote is one of its text. */
function endOfQuote(text: string, at: number): number {
  const mark = text[at];
  for (let index = at + 1; index < text.length; index += 1) {
    if (text[index] === "\\") index += 1;
    else if (text[index] === mark) {
      if (text[index + 1] !== mark) return index;
      index += 1;
    }
  }
  return text.length;
}

/** Tells the name of a tuple's field from its type. */
export function fieldOf(entry: string): NamedText {
  const match =
    /^(`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|[A-Za-z_][A-Za-z0-9_]*)\s+([A-Za-z_].*)$/s.exec(
      entry,
    );
  const [, name, text] = match ?? [];
  if (name === undefined || text === undefined) return { name: undefined, text: entry };
  return { name: /^[`"]/.test(name) ? unquoted(name) : name, text };
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  "0": "\0",
  a: "\x07",
  v: "\v",
  e: "\x1b",
};

/** The text within quotes. */
export function unquoted(text: string): string {
  const mark = text[0] ?? "";
  const escape = /\\x([0-9A-Fa-f]{2})|\\(.)|(['`"])\3/gs;
  return text
    .slice(1, -1)
    .replace(escape, (all: string, hex?: string, char?: string, twice?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (char !== undefined) return ESCAPES[char] ?? char;
      return twice === mark ? mark : all;
    });
}
