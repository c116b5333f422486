/**
 * Starts the pgbouncer of tests, as Debian packages it: before a PostgreSQL, pooling by transaction,
 * on a free port of the loopback interface.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.js";

/** How long it may take until it answers. */
const START_MS = 30_000;

/**
 * Why it cannot be started here, or undefined where it can.
 * @returns {string | undefined}
 */
export function pgbouncerMissing() {
  if (findPgbouncer() !== undefined) return undefined;
  return "pgbouncer is missing: apt-get install pgbouncer";
}

/**
 * Starts it; `url` is the same database as `target`, through at most `poolSize` connections.
 * @param {string} target
 * @param {{ poolSize?: number }} [options]
 * @returns {Promise<{ url: string; stop: () => Promise<void> }>}
 */
export async function startPgbouncer(target, { poolSize = 4 } = {}) {
  const program = findPgbouncer();
  if (program === undefined) throw new Error(pgbouncerMissing());
  const base = await mkdtemp(join(tmpdir(), "sluice-pgbouncer-"));
  const port = await freePort();
  const config = join(base, "pgbouncer.ini");
  await writeFile(config, poolerConfig(new URL(target), port, poolSize));

  // It refuses to run as root. Its configuration is read before it becomes another user.
  const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const server = spawn(program, [...user, config], { stdio: ["ignore", "pipe", "pipe"] });
  /** @type {string[]} */
  const output = [];
  server.stdout.on("data", (text) => output.push(String(text)));
  server.stderr.on("data", (text) => output.push(String(text)));
  server.on("error", (error) => output.push(String(error)));
  const ended = once(server, "close").catch(() => undefined);
  const running = () =>
    server.pid !== undefined && server.exitCode === null && server.signalCode === null;
  const stop = async () => {
    if (running()) server.kill("SIGTERM"); // at once; SIGINT would wait for clients
    await ended;
    await rm(base, { recursive: true, force: true });
  };

  for (const deadline = Date.now() + START_MS; !(await answers(port)); await sleep(20)) {
    const late = Date.now() > deadline;
    if (!late && running()) continue;
    await stop();
    const reason = late ? `it did not answer within ${START_MS} ms` : "it ended at once";
    const end = output.join("").split("\n").slice(-20).join("\n");
    throw new Error(`pgbouncer did not start: ${reason}\n${end}`);
  }
  const url = new URL(target);
  url.port = String(port);
  return { url: url.href, stop };
}

/** The program, also where the system's folders are not on the path. */
function findPgbouncer() {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "pgbouncer"))
    .find((program) => {
      try {
        accessSync(program, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * Whether somebody listens on the port.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (/** @type {boolean} */ answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}

/**
 * @param {URL} target
 * @param {number} port
 * @param {number} poolSize
 */
const poolerConfig = (target, port, poolSize) => `[databases]
* = host=${target.hostname} port=${target.port} user=${target.username} password=${target.password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = ${poolSize}
ignore_startup_parameters = extra_float_digits
`;
