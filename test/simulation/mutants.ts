/**
 * Bugs that real systems had, planted one at a time in a copy of the library. The simulation must find
 * each of them: where it does not, what it proves is less than it seems.
 */

/** One planted bug. */
interface Mutant {
  readonly name: string;
  /** What it does to a user, in a few words. */
  readonly harm: string;
  /** Below packages/sluice/src. */
  readonly file: string;
  /** Occurs once in the file. */
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "a new id per retry",
    harm: "a lost acknowledgement counts twice",
    file: "core/delivery.ts",
    find: "const answer = await attemptWrite(this.#parts, part, { id, attempt, deadline, abort });",
    replace:
      "const own = { ...id, writer: `${id.writer}${attempt > 1 ? attempt : ''}` };\n      const answer = await attemptWrite(this.#parts, part, { id: own, attempt, deadline, abort });",
  },
  {
    name: "keys are not sorted",
    harm: "writers deadlock",
    file: "shapes/keyed-algebra.ts",
    find: "const sorted = [...entries].sort((a, b) => compareKeys(a.entry, b.entry));",
    replace: "const sorted = [...entries];",
  },
  {
    name: "a watermark with two in flight",
    harm: "the slower of two batches is taken for a repetition, and lost",
    file: "core/lane.ts",
    find: 'await this.#send(segment, segment.reason ?? "delay", startedAt);',
    replace: 'void this.#send(segment, segment.reason ?? "delay", startedAt);',
  },
  {
    name: "acknowledgement before commit",
    harm: "what was reported as landed is not there",
    file: "sinks/postgres/driver.ts",
    find: 'refuseRollback(await client.query({ text: "COMMIT" }));',
    replace: 'client.query({ text: "COMMIT" }).catch(() => undefined);',
  },
  {
    name: "a batch is acknowledged before it is written",
    harm: "callers are told of what may never happen",
    file: "core/lane.ts",
    find: "const settlement = await delivery.deliver({",
    replace:
      "settle(segment, sealed, { committed: items, attempts: 1, shortfalls: [] }, ageMs);\n    segment.claims.clear();\n    const settlement = await delivery.deliver({",
  },
  {
    name: "a drop is not counted",
    harm: "data is lost in silence",
    file: "core/lane.ts",
    find: "this.#parts.books.droppedByReason[reason] += size.items;",
    replace: "",
  },
  {
    name: "a drop is not told",
    harm: "data is lost, and no event says so",
    file: "core/lane.ts",
    find: 'this.#parts.emit({ type: "dropped", reason, ...size });',
    replace: "",
  },
  {
    name: "a timer is not cleared",
    harm: "an idle process does not end",
    file: "core/attempt.ts",
    find: "clock.cancel(timer);",
    replace: "",
  },
  {
    name: "age is restarted by each item",
    harm: "a steady trickle is never written",
    file: "core/lane.ts",
    find: "open.entries += entries;",
    replace:
      "Object.assign(open, { firstAt: this.#parts.clock.now() });\n    this.#running || this.#rearm();\n    open.entries += entries;",
  },
  {
    name: "flush ignores what is in flight",
    harm: "flush() resolves before the data is there",
    file: "core/lane.ts",
    find: "if (this.#inFlight !== undefined) segments.unshift(this.#inFlight.segment);",
    replace: "",
  },
  {
    name: "a batch is let go of before it is written",
    harm: "memory grows beyond its limits, and the books do not balance",
    file: "core/lane.ts",
    find: "const release = (released: number): void => {",
    replace: "this.#inFlight = undefined;\n    const release = (released: number): void => {",
  },
  {
    name: "a batch is forgotten when its write fails",
    harm: "an outage loses everything that was sent into it",
    file: "core/delivery.ts",
    find: 'emit({ type: "retried", id, attempt, delayMs, ambiguous: mayHaveApplied, error });',
    replace: 'return { kind: "applied", result: undefined };',
  },
  {
    name: "a promise is never settled",
    harm: "a caller waits for ever for what was dropped",
    file: "core/lane.ts",
    find: "for (const claim of claims) claim(error(), { attempts: 0, items: 0, entries: 0 });",
    replace: "",
  },
  {
    name: "claims of entries that failed are never settled",
    harm: "a caller waits for ever for what was rejected",
    file: "core/segment.ts",
    find: "for (const claim of claims) claim(lost ?? errors.get(ordinal), landing);",
    replace:
      "for (const claim of claims) if (!errors.has(ordinal)) claim(lost ?? errors.get(ordinal), landing);",
  },
  {
    name: "an abort cancels others",
    harm: "one impatient caller ends everybody's write",
    file: "core/waits.ts",
    find: "for (const claims of claimed) claims.splice(claims.indexOf(claim), 1);",
    replace: "lane.abort(signal.reason);",
  },
  {
    name: "a bad row leaves its bytes behind",
    harm: "the rows after it are read from the wrong byte on",
    file: "shapes/rows.ts",
    find: "writer.at = writer.start;",
    replace: "writer.start = writer.at;",
  },
  {
    name: "a buffer is used again while an attempt may read it",
    harm: "a late attempt writes other rows than its own",
    file: "core/lane.ts",
    find: "const taken = settlement.attempts === 1 && settlement.committed === items;",
    replace: "const taken = true;",
  },
  {
    name: "the first user answers for all",
    harm: "a user sees what another may see",
    file: "coalescer/questions.ts",
    find: 'return this.#group === undefined ? undefined : checkKey("group", this.#group(request));',
    replace: "return undefined;",
  },
  {
    name: "answers go by place and not by key",
    harm: "a caller gets the answer to another question",
    file: "coalescer/answers.ts",
    find: "const answer = byKey.get(key);",
    replace: "const answer = [...byKey.values()][found];",
  },
  {
    name: "a question joins a call that was given up",
    harm: "a caller is told of an abort that was not its own",
    file: "coalescer/questions.ts",
    find: "if (equal !== undefined && equal.current) {",
    replace: "if (equal !== undefined && (equal.current || equal.callers === 0)) {",
  },
  {
    name: "a slot is not given back",
    harm: "calls come to a stop, one failure at a time",
    file: "core/slots.ts",
    find: "  failed(): void {\n    this.giveBack();",
    replace: "  failed(): void {",
  },
  {
    name: "limits are counted without what is in flight",
    harm: "memory grows beyond its limits while the store is slow",
    file: "core/room.ts",
    find: "free.entries -= heldEntries - (dropped ? accumulator.entries : 0);",
    replace: "free.entries -= dropped ? 0 : accumulator.entries;",
  },
  {
    name: "close skips the queue",
    harm: "what was gathered is forgotten at every deploy",
    file: "core/lane.ts",
    find: "const segments = [...this.#segments];",
    replace: 'const segments = reason === "close" ? [] : [...this.#segments];',
  },
  {
    name: "close does not give up at its deadline",
    harm: "a deploy hangs",
    file: "core/engine.ts",
    find: "for (const part of [...this.#lanes, this.#delivery]) part.abort(reason);",
    replace: "void reason;",
  },
  {
    name: "a stale value overwrites a newer one, in SQL",
    harm: "a row goes back in time",
    file: "sinks/postgres/write-latest.ts",
    find: "`(t.${version.name} <= ${incoming} OR t.${version.name} IS NULL)`",
    replace: "`(${incoming} IS NOT NULL)`",
  },
  {
    name: "a stale value overwrites a newer one, in memory",
    harm: "the last to come wins, and not the newest",
    file: "shapes/latest.ts",
    find: "if (reading.version >= slot.newest.version) slot.newest = reading;",
    replace: "slot.newest = reading;",
  },
  {
    name: "a last-seen time goes back",
    harm: "a client was seen last before it was seen last",
    file: "sinks/postgres/touch.ts",
    find: "`${column} = greatest(t.${column}, locked.at)`",
    replace: "`${column} = locked.at`",
  },
  {
    name: "the ledger does not look at seq",
    harm: "a batch that is sent again counts twice",
    file: "sinks/postgres/ledger.ts",
    find: "  WHERE l.seq < excluded.seq\n",
    replace: "",
  },
  {
    name: "a write is not gated by the ledger",
    harm: "a batch that is sent again counts twice",
    file: "sinks/postgres/upsert-sums.ts",
    find: "WHERE ${gate}",
    replace: "WHERE true OR ${gate === ''}",
  },
  {
    name: "halves share the ledger row of their batch",
    harm: "the second half is taken for a repetition, and lost",
    file: "sinks/postgres/ledger.ts",
    find: "return [part === undefined ? writer : `${writer}#${seq}/${part}`, String(seq)];",
    replace: "return [writer, String(seq + (part ?? '').length * 0)];",
  },
  {
    name: "a batch is halved though it may have been applied",
    harm: "its halves count beside it",
    file: "core/delivery.ts",
    find: 'if (verdict.kind === "rejected" && !verdict.ambiguous && !verdict.whole && size.entries > 1) {',
    replace: 'if (verdict.kind === "rejected" && !verdict.whole && size.entries > 1) {',
  },
  {
    name: "unknown is folded into failed",
    harm: "what was applied is handed back as not applied, and counts twice",
    file: "core/delivery.ts",
    find: 'if (ambiguous) return { kind: "unknown", error };',
    replace: "",
  },
  {
    name: "what a sink left out counts as landed",
    harm: "bad rows vanish without a dead letter",
    file: "core/delivery.ts",
    find: "const { rejected: refused, ...facts } = told;",
    replace:
      "const { rejected: _, ...facts } = told;\n    const refused: typeof told.rejected = [];",
  },
  {
    name: "rejections are not remembered in the ledger",
    harm: "after a lost acknowledgement, bad rows are reported as landed",
    file: "sinks/postgres/postgres-sink.ts",
    find: "if (ledger !== undefined) await storeRejections(session, ledger.quoted, id, faults);",
    replace: "",
  },
  {
    name: "a token of its own for each attempt",
    harm: "a lost acknowledgement writes the rows twice",
    file: "sinks/clickhouse/table-writer.ts",
    find: "const token = tokenOf(context.id);",
    replace:
      "const token = `${tokenOf(context.id)}${context.attempt > 1 ? `:${context.attempt}` : ''}`;",
  },
  {
    name: "a probe that is given up blocks the circuit",
    harm: "after a timed-out probe nothing is ever sent again",
    file: "core/circuit.ts",
    find: '  failed(leave: Leave, error: unknown): void {\n    const wasOpen = this.open;\n    this.#failures += 1;\n    if (leave === "probe") this.#probing = false;',
    replace:
      "  failed(leave: Leave, error: unknown): void {\n    const wasOpen = this.open;\n    this.#failures += 1;",
  },
  {
    name: "room that is freed wakes nobody",
    harm: "producers wait for ever",
    file: "core/engine.ts",
    find: '    if (this.#hurried === "idle") this.#hurried = "none";\n    this.#admission.admit();',
    replace: '    if (this.#hurried === "idle") this.#hurried = "none";',
  },
  {
    name: "delivery has no deadline",
    harm: "a caller waits for longer than it was told",
    file: "core/delivery.ts",
    find: "if (clock.now() + delayMs >= deadline) break;",
    replace: "",
  },
  {
    name: "flush waits for nothing",
    harm: "flush() resolves before the data is there",
    file: "core/engine.ts",
    find: 'const waits = this.#flushLanes("flush");',
    replace: 'const waits = this.#flushLanes("flush").slice(0, 0);',
  },
  {
    name: "a caller that leaves is not let go",
    harm: "a request that was given up waits for the store",
    file: "core/waits.ts",
    find: "claims.splice(claims.indexOf(claim), 1);\n        reject(signal.reason);",
    replace: "claims.splice(claims.indexOf(claim), 1);",
  },
  {
    name: "one bad row fails everybody in its batch",
    harm: "callers are told that what has landed was rejected, and write it again",
    file: "core/segment.ts",
    find: "for (const claim of claims) claim(lost ?? errors.get(ordinal), landing);",
    replace: "for (const claim of claims) claim(lost ?? [...errors.values()][0], landing);",
  },
  {
    name: "the wrong entry goes into the dead letter",
    harm: "the bad row is lost, and a good one is buried",
    file: "core/delivery.ts",
    find: "const [entry, items] = [shape.entryAt(batch, index), shape.itemsAt(batch, index)];",
    replace: "const [entry, items] = [shape.entryAt(batch, 0), shape.itemsAt(batch, index)];",
  },
  {
    name: "what was surely not applied is called unknown",
    harm: "nobody dares to write again what is lost",
    file: "core/delivery.ts",
    find: 'sink.reads !== true && known?.disposition !== "usage" && (known?.ambiguous ?? true);',
    replace: 'sink.reads !== true && known?.disposition !== "usage";',
  },
  {
    name: "a batch may be larger than maxEntries",
    harm: "the store refuses what it was promised it would not get",
    file: "core/lane.ts",
    find: 'if (open.entries >= maxEntries) this.#close(open, "entries");',
    replace: 'if (open.entries >= 3 * maxEntries) this.#close(open, "entries");',
  },
  {
    name: "retry-after is not heeded",
    harm: "a store that asks for patience is called on",
    file: "core/delivery.ts",
    find: "const asked = known?.retryAfterMs ?? 0;",
    replace: "const asked = 0;",
  },
  {
    name: "the circuit never opens",
    harm: "an outage costs the store a storm of attempts",
    file: "core/circuit.ts",
    find: "return this.#failures >= this.#retry().circuitAfter;",
    replace: "return false;",
  },
  {
    name: "everybody probes an open circuit",
    harm: "a store that comes back is overrun",
    file: "core/circuit.ts",
    find: "if (!this.#probing && now >= this.#openUntil) {",
    replace: "if (now >= this.#openUntil) {",
  },
  {
    name: "an attempt may take longer than writeTimeoutMs",
    harm: "a hanging store holds a lane",
    file: "core/attempt.ts",
    find: "    }, timeoutMs);\n    abort.add(onAbort);",
    replace: "    }, 3 * timeoutMs);\n    abort.add(onAbort);",
  },
  {
    name: "equal keys go to any lane",
    harm: "two lanes write one key, and its order is lost",
    file: "core/lanes.ts",
    find: "const partition = shape.partition(item) ?? next++;",
    replace: "const partition = next++;",
  },
  {
    name: "of equal versions the first stays",
    harm: "the last word is not heard",
    file: "shapes/latest.ts",
    find: "if (reading.version >= slot.newest.version) slot.newest = reading;",
    replace: "if (reading.version > slot.newest.version) slot.newest = reading;",
  },
  {
    name: "the gate of the ledger is always open",
    harm: "a batch that is sent again counts twice",
    file: "sinks/postgres/insert-rows.ts",
    find: "WHERE ${gate}",
    replace: "WHERE (${gate}) IS NOT NULL",
  },
  {
    name: "the rejections of another batch are told",
    harm: "good entries are reported as bad",
    file: "sinks/postgres/ledger.ts",
    find: "SET seq = excluded.seq, rejected = NULL, updated_at = now()",
    replace: "SET seq = excluded.seq, updated_at = now()",
  },
  {
    name: "living writers are reaped",
    harm: "a batch that is sent again counts twice",
    file: "sinks/postgres/ledger.ts",
    find: "const olderThanMs = options.olderThanMs ?? 7 * DAY_MS;",
    replace: "const olderThanMs = DAY_MS / 24;",
  },
  {
    name: "changed limits reach no lane",
    harm: "what has gathered waits for as long as it would have before",
    file: "core/engine.ts",
    find: "for (const lane of this.#lanes) lane.reconfigure();",
    replace: "",
  },
  {
    name: "what is invalidated is answered from the cache",
    harm: "a closed gate stays open",
    file: "coalescer/questions.ts",
    find: "this.#cache?.delete(group, key);",
    replace: "",
  },
  {
    name: "an answer that was overtaken is kept",
    harm: "a closed gate opens again",
    file: "coalescer/questions.ts",
    find: "if (question?.sent === true) question.current = false;",
    replace: "",
  },
  {
    name: "a look at the table that hangs is waited for",
    harm: "one question that a ClickHouse never answers holds up every insert after it",
    file: "sinks/clickhouse/table-writer.ts",
    find: "giveUp.abort(late); // it is shared, and nobody is to wait for it any more",
    replace: "",
  },
];

/** A planted bug, and the first seed that found it. */
type Searched = Mutant & {
  readonly seed?: number | undefined;
  readonly failure?: string | undefined;
};

/** What the search for each has come to, as a page of the documentation. */
export function mutantsPage(results: readonly Searched[]): string {
  const rows = results.map(
    ({ name, harm, file, seed, failure = "" }) =>
      `| ${name} | ${harm} | \`${file}\` | ${seed ?? "**none**"} | ${shown(failure)} |`,
  );
  return `# Planted bugs

What the simulation finds is worth as much as what it would find. \`npm run sim:mutants\` plants each of
these bugs in a copy of the library, one at a time, and lets 10,000 seeds look for it. They are of
kinds that real systems have had. This page is written by \`npm run sim:mutants -- --docs\`.

| planted bug | what it does to a user | in | seed | what broke first |
|---|---|---|---|---|
${rows.join("\n")}
`;
}

/** A failure as a cell of a table: without what makes a writer unique, and without its own bars. */
const shown = (failure: string): string =>
  failure
    .replaceAll(/:[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}/g, "")
    .replaceAll("|", "\\|")
    .replaceAll("<", "&lt;");
