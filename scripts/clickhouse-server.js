/**
 * Starts the ClickHouse server of tests, as Debian packages it: on free ports of the loopback
 * interface, with a data directory of its own.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.js";

/** How long the server may take until it answers. */
const START_MS = 30_000;

/**
 * Why the server cannot be started here, or undefined where it can.
 * @returns {string | undefined}
 */
export function clickHouseServerMissing() {
  if (findServer() !== undefined) return undefined;
  return "clickhouse-server is missing: apt-get install clickhouse-server";
}

/**
 * Starts the server; `url` is its HTTP interface, for the user `default` without a password.
 * @returns {Promise<{ url: string; stop: () => Promise<void> }>}
 */
export async function startClickHouse() {
  const program = findServer();
  if (program === undefined) throw new Error(clickHouseServerMissing());
  // A directory of its own user: the server refuses to run as another than owns its data.
  const base = await mkdtemp(join(tmpdir(), "sluice-clickhouse-"));
  const [httpPort, tcpPort] = [await freePort(), await freePort()];
  const config = join(base, "config.xml");
  await mkdir(join(base, "data"));
  await writeFile(config, serverConfig(base, httpPort, tcpPort));
  await writeFile(join(base, "users.xml"), USERS);

  const server = spawn(program, [`--config-file=${config}`], {
    cwd: base,
    stdio: ["ignore", "pipe", "pipe"],
  });
  /** @type {string[]} */
  const output = [];
  server.stdout.on("data", (text) => output.push(String(text)));
  server.stderr.on("data", (text) => output.push(String(text)));
  server.on("error", (error) => output.push(String(error)));
  const ended = once(server, "close").catch(() => undefined);
  const running = () =>
    server.pid !== undefined && server.exitCode === null && server.signalCode === null;
  const stop = async () => {
    if (running()) server.kill("SIGTERM");
    await ended;
    await rm(base, { recursive: true, force: true });
  };

  const url = `http://127.0.0.1:${httpPort}`;
  for (const deadline = Date.now() + START_MS; !(await answers(url)); await sleep(20)) {
    const late = Date.now() > deadline;
    if (!late && running()) continue;
    await stop();
    const reason = late ? `it did not answer within ${START_MS} ms` : "it ended at once";
    const end = output.join("").split("\n").slice(-20).join("\n");
    throw new Error(`ClickHouse did not start: ${reason}\n${end}`);
  }
  return { url, stop };
}

/** The server's program, also where the system's folders are not on the path. */
function findServer() {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "clickhouse-server"))
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
 * Whether the server at `url` answers.
 * @param {string} url
 */
async function answers(url) {
  try {
    const response = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(1_000) });
    return response.ok && (await response.text()) === "Ok.\n";
  } catch {
    return false;
  }
}

/**
 * @param {string} base
 * @param {number} httpPort
 * @param {number} tcpPort
 */
const serverConfig = (base, httpPort, tcpPort) => `<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${httpPort}</http_port>
  <tcp_port>${tcpPort}</tcp_port>
  <keep_alive_timeout>3</keep_alive_timeout>
  <path>${base}/data/</path>
  <tmp_path>${base}/data/tmp/</tmp_path>
  <user_files_path>${base}/data/user_files/</user_files_path>
  <format_schema_path>${base}/data/format_schemas/</format_schema_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
`;

const USERS = `<?xml version="1.0"?>
<yandex>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </default>
  </users>
</yandex>
`;
