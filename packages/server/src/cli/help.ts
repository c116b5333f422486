import { DEMO_DEFAULTS } from "./options.ts";

/** The text of `sluice --help`. */
export const MAIN_HELP: string = `Sluice lands many small writes as a few large ones, exactly once.

Usage:
  sluice <command> [options]

Commands:
  demo         replay web traffic into a database and prove that it all landed

Options:
  -h, --help   show this help, or with a command its own
  --version    show the version
`;

/** The text of `sluice demo --help`. */
export const DEMO_HELP: string = `Replays web traffic through the client statistics, the agent metadata and the access log of a
gateway, and proves that what landed is what happened: every table is compared with an
independent count of the same input. Each client is an agent, whose metadata is its latest
path, status and user agent; a watcher follows the busiest one. Each request also checks two
gates of a flag API, which runs on this machine; every answer is compared with its rules.

Usage:
  sluice demo [--log FILE | --events N --seed N] [--postgres URL] [--clickhouse URL] [--json]

Traffic:
  --log FILE       an access log, common or combined format, plain or gzip; - reads standard
                   input. Malformed lines are skipped and counted.
  --events N       without --log: how many requests to generate (default ${DEMO_DEFAULTS.events.toLocaleString("en")})
  --seed N         without --log: the same seed gives the same requests (default ${DEMO_DEFAULTS.seed})

Databases:
  --postgres URL   for the statistics and the metadata, a PostgreSQL server, as
                   postgres://user:password@host:5432/database. Behind a transaction pooler the
                   watcher hears nothing, and reads every few seconds instead.
                   Without it: an embedded PostgreSQL in memory, gone afterwards.
  --clickhouse URL
                   for the access log, a ClickHouse server from 18.16 on, as
                   http://user:password@host:8123/database.
                   Without it: chDB, an embedded ClickHouse, in a temporary directory, gone
                   afterwards. Where chDB is missing the access log is left out, and the demo
                   says so; \`npm install chdb\` adds it.
  Missing tables are created, existing counts and rows are added to. Nobody else may write to
  these tables meanwhile, or the check will say so. A database that goes away meanwhile is
  waited for; Ctrl-C ends that, with exit code 1 where the check could not be made.

Output:
  --json           one JSON object on standard output, everything else on standard error
                   (through npm: npm start --silent -- --json)
  -h, --help       show this help

Exit code: 0 verified, 1 not verified or a database failed, 2 wrong usage or unreadable log,
130 interrupted (what had been read was drained and summed up).

Examples:
  sluice demo
  sluice demo --log /var/log/nginx/access.log
  zcat access.log.*.gz | sluice demo --log - --json
`;
