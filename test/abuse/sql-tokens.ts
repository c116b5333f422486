/**
 * What a server's lexer makes of a statement, written from the grammars and not from our own quoting:
 * PostgreSQL's scan.l and the Lexer of ClickHouse.
 */

/** A token as the server sees it: a quoted name or text by its value, all else as it stands. */
export type Token =
  | { readonly name: string }
  | { readonly value: string }
  | { readonly text: string };

interface Rule {
  /** Sticky: matches where the last token ended. */
  readonly match: RegExp;
  readonly read: (text: string) => Token | undefined;
}

const skip = (): undefined => undefined;
const asText = (text: string): Token => ({ text });

/** The token at a place: of every rule that fits there, what takes most, as in a generated scanner. */
function tokenAt(
  sql: string,
  at: number,
  rules: readonly Rule[],
): { readonly token: Token | undefined; readonly end: number } {
  let [longest, reader]: [string, Rule["read"]] = ["", skip];
  for (const { match, read } of rules) {
    match.lastIndex = at;
    const text = match.exec(sql)?.[0] ?? "";
    if (text.length > longest.length) [longest, reader] = [text, read];
  }
  if (longest === "") throw new Error(`no token at ${at}: ${JSON.stringify(sql.slice(at))}`);
  return { token: reader(longest), end: at + longest.length };
}

function scan(sql: string, rules: readonly Rule[]): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length; ) {
    const { token, end } = tokenAt(sql, at, rules);
    if (token !== undefined) tokens.push(token);
    at = end;
  }
  return tokens;
}

const UNQUOTED: Rule = {
  match: /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y,
  read: asText,
};
const NUMBER: Rule = { match: /\d[\w.]*/y, read: asText };

const POSTGRES: readonly Rule[] = [
  { match: /[ \t\n\r\f\v]+|--[^\n\r]*|\/\*[^]*?\*\//y, read: skip },
  // Two quotes within are one; nothing else is special, a backslash included.
  {
    match: /"(?:[^"\0]|"")+"/y,
    read: (text) => ({ name: text.slice(1, -1).replaceAll('""', '"') }),
  },
  { match: /[uU]&"(?:[^"]|"")*"/y, read: asText },
  { match: /'(?:[^']|'')*'|[eE]'(?:[^'\\]|\\[^]|'')*'/y, read: asText },
  { match: /\$([A-Za-z_\u0080-\uffff]*)\$[^]*?\$\1\$/y, read: asText },
  { match: /\$\d+/y, read: asText },
  UNQUOTED,
  NUMBER,
  { match: /::|[-+*/<>=~!@#%^&|`?]+|[()[\],;.:]/y, read: asText },
];

const ESCAPES: Readonly<Record<string, string>> = {
  b: "\b",
  f: "\f",
  r: "\r",
  n: "\n",
  t: "\t",
  "0": "\0",
  a: "\u0007",
  v: "\v",
  e: "\u001b",
};

/** A quote within is doubled or escaped; an escape of ClickHouse may mean another character. */
function unescape(text: string): string {
  const [quote = ""] = text;
  return text
    .slice(1, -1)
    .replaceAll(/\\x([0-9a-fA-F]{2})|\\([^])|(["'`])\3/g, (all, hex, escaped, doubled) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(String(hex), 16));
      if (doubled !== undefined) return doubled === quote ? quote : all;
      return ESCAPES[String(escaped)] ?? String(escaped);
    });
}

const CLICKHOUSE: readonly Rule[] = [
  { match: /[ \t\n\r\f\v]+|--[^\n]*|#[! ][^\n]*|\/\*[^]*?\*\//y, read: skip },
  {
    match: /`(?:[^`\\]|\\[^]|``)*`|"(?:[^"\\]|\\[^]|"")*"/y,
    read: (text) => ({ name: unescape(text) }),
  },
  { match: /'(?:[^'\\]|\\[^]|'')*'/y, read: (text) => ({ value: unescape(text) }) },
  { match: /\$(\w*)\$[^]*?\$\1\$/y, read: asText },
  UNQUOTED,
  NUMBER,
  { match: /->|::|\|\||<=>|[<>=!]=|[-+*/%<>=?:.,;@()[\]{}^|]/y, read: asText },
];

/** A server's way to read a statement. */
export interface Dialect {
  readonly tokens: (sql: string) => readonly Token[];
  /** The token at a place, and where it ends. */
  readonly tokenAt: (sql: string, at: number) => ReturnType<typeof tokenAt>;
}

const dialect = (rules: readonly Rule[]): Dialect => ({
  tokens: (sql) => scan(sql, rules),
  tokenAt: (sql, at) => tokenAt(sql, at, rules),
});

export const postgresDialect = dialect(POSTGRES);
export const clickHouseDialect = dialect(CLICKHOUSE);
