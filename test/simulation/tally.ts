import { Facts } from "./facts.ts";

/** What the callers of one program know, and hold against what its store has. */
export class Tally {
  /** Added, and told that it was taken. */
  readonly accepted = new Facts();
  /** Added by callers that left before they were told. */
  readonly maybe = new Facts();
  /** What callers of `deliver` were told of their items. */
  readonly told = {
    landed: new Facts(),
    rejected: new Facts(),
    expired: new Facts(),
    unknown: new Facts(),
    dropped: new Facts(),
  };
  /** Received as dead letters, by outcome; told as unknown; handed back by close(). */
  readonly rejected = new Facts();
  readonly expired = new Facts();
  readonly unknown = new Facts();
  readonly abandoned = new Facts();
  /** Handed back as not applied: dead letters, what close() abandoned, what is unknown and did not land. */
  readonly lost = new Facts();
  /** Whether what is accepted is noted in the order in which it was. */
  ordered = true;
  /** How many items overflow took back of those that were accepted. */
  droppedItems = 0;

  /** What is wrong with what was applied, if the program has ended by itself, or was killed. */
  audit(applied: Facts, end: "closed" | "killed"): readonly string[] {
    const wrong: string[] = [];
    const names = new Set([...this.accepted.names, ...this.maybe.names, ...applied.names]);
    let missing = 0;
    for (const name of names) {
      const [accepted, maybe, lost] = [
        this.accepted.of(name),
        this.maybe.of(name),
        this.lost.of(name),
      ];
      const [delivered, found] = [this.told.landed.of(name), applied.of(name)];
      if (found.times < delivered.times)
        wrong.push(`${name}: ${delivered.times} were acknowledged, and ${found.times} are there`);
      if (end === "closed") wrong.push(...this.#auditTold(name));
      const most = accepted.times + maybe.times - lost.times;
      const least = end === "killed" ? delivered.times : accepted.times - lost.times;
      if (found.times > most) wrong.push(`${name}: applied ${found.times} times of ${most}`);
      if (found.times < least) {
        if (end === "killed" || this.droppedItems === 0)
          wrong.push(`${name}: applied ${found.times} times of ${least}`);
        missing += least - found.times;
      }
      const exact = end === "closed" && this.droppedItems === 0 && maybe.times === 0;
      if (exact && found.sum !== accepted.sum - lost.sum)
        wrong.push(`${name}: sum ${found.sum} is not ${accepted.sum - lost.sum}`);
      const whole = end === "closed" && this.droppedItems === 0 && lost.versions.size === 0;
      if (whole && this.ordered && maybe.versions.size === 0)
        wrong.push(...lastOfEqual(name, accepted, found));
      wrong.push(...versions(name, { accepted, maybe, delivered, found }, whole));
    }
    if (missing > this.droppedItems)
      wrong.push(`${missing} items are missing, and ${this.droppedItems} were dropped`);
    return wrong;
  }

  /** Nobody was told of another's failure: there is a dead letter, an unknown batch or a drop for each. */
  #auditTold(name: string): string[] {
    const wrong: string[] = [];
    for (const outcome of ["rejected", "expired", "unknown"] as const) {
      const [told, true_] = [this.told[outcome].of(name), this[outcome].of(name)];
      const isKnown = told.times > 0 || told.versions.size > 0;
      const isTrue =
        true_.times >= told.times && (true_.versions.size > 0 || told.versions.size === 0);
      if (isKnown && !isTrue)
        wrong.push(`${name}: told ${told.times} times as ${outcome}, which it is not`);
    }
    const dropped = this.told.dropped.of(name);
    if (dropped.times > this.abandoned.of(name).times + this.droppedItems)
      wrong.push(`${name}: told ${dropped.times} times as dropped, which it was not`);
    return wrong;
  }
}

/** Of equal versions the one that was accepted last stands. */
function lastOfEqual(name: string, accepted: Known, found: Known): string[] {
  const version = newestOf(accepted);
  const [expected, last] = [accepted, found].map(({ versions: of }) =>
    [...(of.get(version) ?? [])].at(-1),
  );
  if (version === -Infinity || expected === last) return [];
  return [
    `${name}: version ${version} is ${JSON.stringify(last)} and not ${JSON.stringify(expected)}`,
  ];
}

type Known = ReturnType<Facts["of"]>;

/** Nothing invented, nothing acknowledged missing, and the newest there if nothing was lost. */
function versions(
  name: string,
  {
    accepted,
    maybe,
    delivered,
    found,
  }: { accepted: Known; maybe: Known; delivered: Known; found: Known },
  whole: boolean,
): string[] {
  const wrong: string[] = [];
  for (const [version, values] of found.versions) {
    for (const value of values) {
      const known = [accepted, maybe].some(({ versions: of }) => of.get(version)?.has(value));
      if (!known)
        wrong.push(`${name}: version ${version} with ${JSON.stringify(value)} was invented`);
    }
  }
  const [newest, asked] = [newestOf(found), newestOf(delivered)];
  if (newest < asked)
    wrong.push(`${name}: version ${asked} was acknowledged, and ${newest} is there`);
  const expected = newestOf(accepted);
  if (whole && newest < expected)
    wrong.push(`${name}: version ${newest} is there and not ${expected}`);
  return wrong;
}

const newestOf = ({ versions: of }: Known): number => Math.max(-Infinity, ...of.keys());
