import { Facts } from "./facts.ts";

/** What the callers of one program know, and hold against what its store has. */
export class Tally {
  /** Added, and told that it was taken. */
  readonly accepted = new Facts();
  /** Added by callers that left before they were told. */
  readonly maybe = new Facts();
  /** Told that it has landed. */
  readonly delivered = new Facts();
  /** Handed back as not applied: dead letters, what close() abandoned, what is unknown and did not land. */
  readonly lost = new Facts();
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
      const [delivered, found] = [this.delivered.of(name), applied.of(name)];
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
      wrong.push(...versions(name, { accepted, maybe, delivered, found }, whole));
    }
    if (missing > this.droppedItems)
      wrong.push(`${missing} items are missing, and ${this.droppedItems} were dropped`);
    return wrong;
  }
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
