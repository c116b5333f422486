import { quote, SluiceError } from "../../errors.ts";
import { byteLength } from "../../shapes/text.ts";

/** What a name may be made of. PostgreSQL would take more, quoted; nobody should need it. */
const NAME = /^[\p{L}\p{N}_$ -]+$/u;

/** The longest name that PostgreSQL keeps, in bytes: NAMEDATALEN - 1. Longer ones it cuts, silently. */
const MAX_NAME_BYTES = 63;

/** Checks a name and quotes it. Throws `SLUICE_ERR_POSTGRES_IDENTIFIER` with the name received. */
export function identifier(what: string, name: unknown): string {
  if (typeof name === "string" && NAME.test(name) && byteLength(name) <= MAX_NAME_BYTES) {
    return `"${name.replaceAll('"', '""')}"`;
  }
  throw new SluiceError(
    "SLUICE_ERR_POSTGRES_IDENTIFIER",
    `${what} must be 1 to ${MAX_NAME_BYTES} bytes of letters, digits, "_", "$", "-" or spaces; received ${quote(name)}`,
  );
}

/** Checks and quotes a table name, with or without its schema: `events` or `stats.events`. */
export function tableName(what: string, name: unknown): string {
  const parts = typeof name === "string" ? name.split(".") : [name];
  if (parts.length > 2) return identifier(what, name); // refuses it: no name holds a dot
  return parts.map((part) => identifier(what, part)).join(".");
}

/** A type as in `numeric(10,2)`, `timestamp with time zone` or `text[]`. */
const TYPE = /^[a-z_][a-z0-9_]*( [a-z_][a-z0-9_]*)*(\(\d+(,\d+)?\))?( [a-z]+)*(\[\])?$/;

/** Checks a type name. It is not quoted: quoting would change what `timestamp with time zone` means. */
export function typeName(what: string, name: unknown): string {
  if (typeof name === "string" && TYPE.test(name) && byteLength(name) <= MAX_NAME_BYTES)
    return name;
  throw new SluiceError(
    "SLUICE_ERR_POSTGRES_IDENTIFIER",
    `${what} must be a type such as bigint, numeric(10,2) or text[]; received ${quote(name)}`,
  );
}

/**
 * The type to cast text to on its way into a column of type `type`. A cast to a length cuts what is
 * too long, in silence; without one the column itself refuses it.
 */
export function castType(type: string): string {
  return type
    .replace(/^(varchar|character varying)(\(\d+\))?/, "varchar")
    .replace(/^(char|character)(\(\d+\))?(?=$|\[)/, "bpchar")
    .replace(/^bit( varying)?(\(\d+\))?/, "varbit");
}
