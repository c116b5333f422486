import { parseLine } from "./parse-line.ts";
import type { TrafficEntry } from "./request.ts";
import { createLineSplitter, DEFAULT_MAX_LINE_BYTES, type TextLine } from "./split-lines.ts";

/**
 * Reads an access log as it arrives: chunks are asked for one at a time, as fast as the entries
 * are consumed. Blank lines are skipped but keep their number; no line makes the reader fail.
 */
export async function* readAccessLog(
  chunks: AsyncIterable<Uint8Array>,
  maxLineBytes: number = DEFAULT_MAX_LINE_BYTES,
): AsyncGenerator<TrafficEntry, void, undefined> {
  const splitter = createLineSplitter(maxLineBytes);
  for await (const chunk of chunks) yield* entriesOf(splitter.push(chunk));
  yield* entriesOf(splitter.end());
}

function* entriesOf(lines: readonly TextLine[]): Generator<TrafficEntry, void, undefined> {
  for (const each of lines) {
    if ("tooLong" in each) {
      yield { line: each.line, malformed: "is too long" };
    } else if (each.text.trim() !== "") {
      yield { line: each.line, ...parseLine(each.text) };
    }
  }
}
