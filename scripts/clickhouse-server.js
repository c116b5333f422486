/**
 * Starts the ClickHouse server of tests, as Debian packages it: on free ports of the loopback
 * interface, with a data directory of its own.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { findProgram, startProgram } from "./server-process.js";

const PROGRAM = "clickhouse-server";

/**
 * Why the server cannot be started here, or undefined where it can.
 * @returns {string | undefined}
 */
export function clickHouseServerMissing() {
  if (findProgram(PROGRAM) !== undefined) return undefined;
  return "clickhouse-server is missing: apt-get install clickhouse-server";
}

/**
 * Starts the server; `url` is its HTTP interface, for the user `default` without a password.
 * @returns {Promise<{ url: string; stop: () => Promise<void> }>}
 */
export async function startClickHouse() {
  const program = findProgram(PROGRAM);
  if (program === undefined) throw new Error(clickHouseServerMissing());
  // A directory of its own user: the server refuses to run as another than owns its data.
  const base = await mkdtemp(join(tmpdir(), "sluice-clickhouse-"));
  const [httpPort, tcpPort] = [await freePort(), await freePort()];
  const config = join(base, "config.xml");
  await mkdir(join(base, "data"));
  await writeFile(config, serverConfig(base, httpPort, tcpPort));
  await writeFile(join(base, "users.xml"), USERS);

  const url = `http://127.0.0.1:${httpPort}`;
  const remove = () => rm(base, { recursive: true, force: true });
  try {
    const stop = await startProgram(program, [`--config-file=${config}`], {
      cwd: base,
      answers: () => answers(url),
    });
    return { url, stop: () => stop().then(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
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
