/** The least privileges, as the guides name them, for the roles that tests write as. */
import { readFileSync } from "node:fs";

const guideOf = (store: string): string =>
  readFileSync(new URL(`../../docs/guides/${store}.md`, import.meta.url), "utf8");
const guide = guideOf("postgres");

/** A privilege that the guide to ClickHouse names, on what, and who needs it. */
export const clickhouseGrants = [
  ...guideOf("clickhouse").matchAll(/^GRANT ([A-Z, ]+) ON ([\w.*]+) TO writer; +-- ([^:\n]+)/gm),
].map(([, privileges = "", on = "", who = ""]) => ({ privileges, on, who }));

/** Who needs privileges, as the guide says it behind a GRANT, up to a semicolon. */
export type Needs =
  | "upsertSums"
  | "touch"
  | "writeLatest"
  | 'writeLatest with onMissing: "insert"'
  | "insertRows"
  | 'insertRows with onConflict: "nothing"'
  | 'insertRows with onConflict: "update"'
  | "every sink"
  | "reaping";

/** The privileges on a table of PostgreSQL that the guide names. */
export function privilegesFor(needs: Needs): readonly string[] {
  for (const [, privileges = "", who] of guide.matchAll(
    /^GRANT ([A-Z, ]+) ON \w+ TO writer; +-- ([^;\n]+)/gm,
  )) {
    if (who === needs) return privileges.split(", ");
  }
  throw new Error(`the guide names no privileges for ${needs}`);
}

/** Who writes to which tables: names, or patterns of LIKE. What is named nowhere is not granted. */
export type Grants = Partial<Readonly<Record<Needs, readonly string[]>>>;

const LEDGERS: Grants = { "every sink": ["%ledger"], reaping: ["%ledger"] };

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Statements that make a role which may do in this database what the guide names and nothing else:
 * each table that is created from now on is granted as it is created.
 */
export function leastPrivileged(role: string, grants: Grants): string {
  const rules = Object.entries({ ...grants, ...LEDGERS }).flatMap(([needs, tables]) =>
    tables.map((table) => {
      const privileges = privilegesFor(needs as Needs).join(", ");
      return `(${literal(table)}, ${literal(privileges)})`;
    }),
  );
  return `
CREATE ROLE ${role} LOGIN PASSWORD 'writer';
CREATE FUNCTION pg_catalog.grant_least() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  made record;
BEGIN
  FOR made IN
    SELECT d.object_identity AS name, rule.privileges
    FROM pg_event_trigger_ddl_commands() d, (VALUES ${rules.join(", ")}) AS rule(tables, privileges)
    WHERE d.command_tag = 'CREATE TABLE' AND d.object_type = 'table'
      AND (SELECT relname FROM pg_class WHERE oid = d.objid) LIKE rule.tables
  LOOP
    EXECUTE format('GRANT %s ON %s TO ${role}', made.privileges, made.name);
  END LOOP;
  FOR made IN
    SELECT object_identity AS name FROM pg_event_trigger_ddl_commands()
    WHERE command_tag = 'CREATE SCHEMA'
  LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO ${role}', made.name);
  END LOOP;
END $$;
CREATE EVENT TRIGGER grant_least ON ddl_command_end EXECUTE FUNCTION pg_catalog.grant_least();`;
}
