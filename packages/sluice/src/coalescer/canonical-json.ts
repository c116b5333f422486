import { quote, SluiceError } from "../errors.ts";

const MAX_DEPTH = 100;

/**
 * JSON in one form (RFC 8785): equal values have equal texts, in whichever order their fields stand, and
 * different values have different ones. Made for `group` and `key`. Fields that are `undefined` are
 * left out, as in JSON. Throws `SLUICE_ERR_KEY_INVALID` for what JSON cannot hold: NaN, bigint, Date,
 * functions, instances of classes, cycles, and lone surrogates.
 */
export function canonicalJson(value: unknown): string {
  return write(value, "value", 0);
}

function write(value: unknown, path: string, depth: number): string {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw refusal(path, value);
    return JSON.stringify(value);
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw refusal(path, value);
    return JSON.stringify(value);
  }
  if (typeof value !== "object" || depth > MAX_DEPTH) throw refusal(path, value);
  if (Array.isArray(value)) {
    const items = Array.from(value as readonly unknown[], (item, index) =>
      write(item, `${path}[${index}]`, depth + 1),
    );
    return `[${items.join(",")}]`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) throw refusal(path, value);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const written = fields.map(([name, field]) => {
    if (!name.isWellFormed()) throw refusal(path, name);
    return `${JSON.stringify(name)}:${write(field, `${path}.${name}`, depth + 1)}`;
  });
  return `{${written.join(",")}}`;
}

function refusal(path: string, value: unknown): SluiceError {
  // Names are the caller's, of any length, and there may be a hundred of them.
  const place = path.length > 100 ? quote(path) : path;
  const message = `${place} must be JSON; received ${quote(value)}`;
  return new SluiceError("SLUICE_ERR_KEY_INVALID", message);
}
