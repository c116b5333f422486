/**
 * What agents may report: checked and cut to size before anything is taken.
 */
import { quote, SluiceError } from "../errors.ts";
import { checkItem } from "../shapes/keyed-fields.ts";
import { byteLength, cutText, textFault } from "../shapes/text.ts";
import { readVersion, type Version, VERSION_TAKES } from "../shapes/versions.ts";

/** One value of an agent. */
export interface AgentMetadataEntry {
  /** 1 to 127 characters. */
  readonly key: string;
  /** Beyond 2,048 bytes of UTF-8 it is cut, between characters, and `error` says so. */
  readonly value: string;
  /** Why there is no good value. Default "". Beyond 2,048 bytes, what it says is that. */
  readonly error?: string | undefined;
  /**
   * When the agent saw it. Default: now, by the clock of this process. A time far ahead keeps every later
   * value out: leave it to the default where agents' clocks are not to be trusted.
   */
  readonly collectedAt?: Version | undefined;
}

/** The same as lists of equal length. */
export interface AgentMetadataLists {
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly errors: readonly string[];
  readonly collectedAt: readonly Version[];
}

/** The limits, in bytes of UTF-8 and for keys in characters too: those of the reference's caller. */
const MAX_VALUE_BYTES = 2_048;
const MAX_ALL_KEYS_BYTES = 6_144;
const MAX_KEY_CHARACTERS = 127;

const ENTRY_FIELDS: ReadonlySet<string> = new Set(["key", "value", "error", "collectedAt"]);
const LISTS: ReadonlySet<string> = new Set(["keys", "values", "errors", "collectedAt"]);

/** An entry as the shape takes it. */
export interface Item {
  readonly agent_id: string;
  readonly key: string;
  readonly value: string;
  readonly error: string;
  readonly collected_at: Version;
}

/**
 * The items of an agent's entries. Throws a usage error for the first that is not acceptable. Entries
 * from which on the keys have more than 6,144 bytes together are left out; `excess` says so.
 */
export function readEntries(
  agentId: string,
  given: readonly AgentMetadataEntry[] | AgentMetadataLists,
  now: number,
): { readonly items: readonly Item[]; readonly excess: SluiceError | undefined } {
  const entries: readonly AgentMetadataEntry[] = Array.isArray(given)
    ? Array.from(given as readonly AgentMetadataEntry[]) // a hole is refused, not passed over
    : entriesOf(given as AgentMetadataLists);
  const all = entries.map((entry) => readEntry(agentId, entry, now));
  let keyBytes = 0;
  for (const [index, { key }] of all.entries()) {
    keyBytes += byteLength(key);
    if (keyBytes <= MAX_ALL_KEYS_BYTES) continue;
    const message = `metadata keys of ${keyBytes} bytes exceeded ${MAX_ALL_KEYS_BYTES} bytes`;
    const excess = new SluiceError("SLUICE_ERR_KEY_TOO_LONG", message);
    return { items: all.slice(0, index), excess };
  }
  return { items: all, excess: undefined };
}

function entriesOf(lists: AgentMetadataLists): readonly AgentMetadataEntry[] {
  checkItem("an agent's entries", lists, LISTS);
  const { keys, values, errors, collectedAt } = lists as Partial<AgentMetadataLists>;
  const all = { keys, values, errors, collectedAt };
  if (!Object.values(all).every(Array.isArray)) {
    const message = `entries are a list, or lists of keys, values, errors and collectedAt; received ${quote(lists)}`;
    throw new SluiceError("SLUICE_ERR_ITEM_INVALID", message);
  }
  const lengths = Object.entries(all).map(([name, list]) => `${name}: ${list?.length}`);
  if (new Set(Object.values(all).map((list) => list?.length)).size > 1) {
    const message = `all lists must have the same number of items; ${lengths.join(", ")}`;
    throw new SluiceError("SLUICE_ERR_ITEM_INVALID", message);
  }
  return lists.keys.map((key, index) => ({
    key,
    value: lists.values[index] as string,
    error: lists.errors[index],
    collectedAt: lists.collectedAt[index] ?? (null as never), // a hole is no default
  }));
}

function readEntry(agentId: string, entry: AgentMetadataEntry, now: number): Item {
  checkItem("an agent's entry", entry, ENTRY_FIELDS);
  const { key, value, error = "", collectedAt = now } = entry;
  checkText("SLUICE_ERR_KEY_INVALID", "a key", undefined, key);
  if (key === "")
    throw new SluiceError("SLUICE_ERR_KEY_INVALID", `a key is empty, of value ${quote(value)}`);
  const characters = key.length > MAX_KEY_CHARACTERS ? Array.from(key).length : key.length;
  if (characters > MAX_KEY_CHARACTERS) {
    const message = `a key of ${characters} characters is longer than ${MAX_KEY_CHARACTERS}: ${quote(key)}`;
    throw new SluiceError("SLUICE_ERR_KEY_TOO_LONG", message);
  }
  checkText("SLUICE_ERR_VALUE_INVALID", "the value", key, value);
  checkText("SLUICE_ERR_VALUE_INVALID", "the error", key, error);
  if (readVersion("time", collectedAt) === undefined) {
    const message = `collectedAt of ${quote(key)} must be ${VERSION_TAKES.time}; received ${quote(collectedAt)}`;
    throw new SluiceError("SLUICE_ERR_VERSION_INVALID", message);
  }
  return {
    agent_id: agentId,
    key,
    value: cutText(value, MAX_VALUE_BYTES),
    error: excessOf("error", error) ?? excessOf("value", value) ?? error,
    collected_at: collectedAt,
  };
}

function checkText(
  code: "SLUICE_ERR_KEY_INVALID" | "SLUICE_ERR_VALUE_INVALID",
  what: string,
  key: string | undefined,
  text: unknown,
): void {
  const fault = typeof text === "string" ? textFault(text) : "no text";
  if (fault === undefined) return;
  const whose = key === undefined ? what : `${what} of ${quote(key)}`;
  throw new SluiceError(code, `${whose} holds ${fault}: received ${quote(text)}`);
}

function excessOf(what: string, text: string): string | undefined {
  const bytes = byteLength(text);
  if (bytes <= MAX_VALUE_BYTES) return undefined;
  return `${what} of ${bytes} bytes exceeded ${MAX_VALUE_BYTES} bytes`;
}
