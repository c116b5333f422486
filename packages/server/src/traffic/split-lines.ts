/** A line of text. Of one that was too long, nothing is kept but the fact. */
export type TextLine =
  | { readonly line: number; readonly text: string }
  | { readonly line: number; readonly tooLong: true };

/** Cuts a stream of bytes into lines, whatever the boundaries of its chunks. */
export interface LineSplitter {
  /** The lines that end in this chunk. */
  push(chunk: Uint8Array): TextLine[];
  /** The last line where the input does not end with a newline. */
  end(): TextLine[];
}

/** Longer than any server accepts a request line together with its referrer and agent. */
export const DEFAULT_MAX_LINE_BYTES: number = 64 * 1024;

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = "\ufeff";

/**
 * Creates a splitter that holds at most `maxLineBytes` of an unfinished line, so input without
 * newlines costs no memory. Lines end with LF or CRLF; bytes that are not UTF-8 become U+FFFD.
 */
export function createLineSplitter(maxLineBytes: number = DEFAULT_MAX_LINE_BYTES): LineSplitter {
  let line = 0;
  let parts: Uint8Array[] = [];
  let held = 0;
  let tooLong = false;

  function hold(part: Uint8Array): void {
    held += part.length;
    tooLong ||= held > maxLineBytes;
    if (tooLong) parts = [];
    else if (part.length > 0) parts.push(part);
  }

  function take(): TextLine {
    line += 1;
    const result = tooLong ? { line, tooLong } : { line, text: decode(parts, line) };
    parts = [];
    held = 0;
    tooLong = false;
    return result;
  }

  return {
    push(chunk) {
      const lines: TextLine[] = [];
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        hold(chunk.subarray(start, end));
        lines.push(take());
        start = end + 1;
      }
      hold(chunk.subarray(start));
      return lines;
    },
    end: () => (held > 0 ? [take()] : []),
  };
}

function decode(parts: readonly Uint8Array[], line: number): string {
  const text = Buffer.concat(parts).toString("utf8").replace(/\r$/, "");
  return line === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
}
