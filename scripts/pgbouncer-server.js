/**
 * Starts the pgbouncer of tests, as Debian packages it: before a PostgreSQL, pooling by transaction,
 * on a free port of the loopback interface.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { findProgram, startProgram } from "./server-process.js";

const PROGRAM = "pgbouncer";

/**
 * Why it cannot be started here, or undefined where it can.
 * @returns {string | undefined}
 */
export function pgbouncerMissing() {
  if (findProgram(PROGRAM) !== undefined) return undefined;
  return "pgbouncer is missing: apt-get install pgbouncer";
}

/**
 * Starts it; `url` is the same database as `target`, through at most `poolSize` connections.
 * @param {string} target
 * @param {{ poolSize?: number }} [options]
 * @returns {Promise<{ url: string; stop: () => Promise<void> }>}
 */
export async function startPgbouncer(target, { poolSize = 4 } = {}) {
  const program = findProgram(PROGRAM);
  if (program === undefined) throw new Error(pgbouncerMissing());
  const base = await mkdtemp(join(tmpdir(), "sluice-pgbouncer-"));
  const port = await freePort();
  const config = join(base, "pgbouncer.ini");
  await writeFile(config, poolerConfig(new URL(target), port, poolSize));

  // It refuses to run as root. Its configuration is read before it becomes another user.
  const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const remove = () => rm(base, { recursive: true, force: true });
  try {
    // By SIGTERM it ends at once; SIGINT would wait for clients.
    const stop = await startProgram(program, [...user, config], {
      cwd: tmpdir(), // its other user may not enter `base`
      answers: () => answers(port),
    });
    const url = new URL(target);
    url.port = String(port);
    return { url: url.href, stop: () => stop().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
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
server_login_retry = 0.1
ignore_startup_parameters = extra_float_digits
`;
