/** The elements of an array literal: `{a,"b,c",NULL}`. */
export function readArray(literal: string): (string | null)[] {
  const elements: (string | null)[] = [];
  if (!literal.startsWith("{") || !literal.endsWith("}")) throw new Error(`no array: ${literal}`);
  const end = literal.length - 1;
  for (let at = 1; at < end; at += 1) {
    if (literal[at] !== '"') {
      const comma = literal.indexOf(",", at);
      const to = comma < 0 ? end : comma;
      const text = literal.slice(at, to);
      elements.push(text === "NULL" ? null : text);
      at = to;
      continue;
    }
    let text = "";
    for (at += 1; literal[at] !== '"'; at += 1) {
      if (at >= end) throw new Error(`an open quote: ${literal}`);
      if (literal[at] === "\\") at += 1;
      text += literal[at];
    }
    elements.push(text);
    at += 1;
  }
  return elements;
}
