/**
 * Servers as Debian packages them, started as processes of this one: found, awaited and stopped.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** How long one may take until it answers. */
const START_MS = 30_000;

/**
 * The program, also where the system's folders are not on the path; undefined where there is none.
 * @param {string} name
 * @returns {string | undefined}
 */
export function findProgram(name) {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
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
 * Starts a program in the folder `cwd` and waits until it `answers`. What it answers is how to stop it;
 * if it never does, it is stopped, and what it printed is part of the error.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ cwd: string, answers: () => Promise<boolean> }} options
 * @returns {Promise<() => Promise<void>>}
 */
export async function startProgram(program, args, { cwd, answers }) {
  const server = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  /** @type {string[]} */
  const output = [];
  server.stdout.on("data", (text) => output.push(String(text)));
  server.stderr.on("data", (text) => output.push(String(text)));
  server.on("error", (error) => output.push(String(error)));
  const ended = once(server, "close").catch(() => undefined);
  const running = () =>
    server.pid !== undefined && server.exitCode === null && server.signalCode === null;
  // Also when this process ends without having come to stop it.
  const kill = () => running() && server.kill("SIGTERM");
  process.once("exit", kill);
  const stop = async () => {
    kill();
    await ended;
    process.off("exit", kill);
  };
  for (const deadline = Date.now() + START_MS; !(await answers()); await sleep(20)) {
    const late = Date.now() > deadline;
    if (!late && running()) continue;
    await stop();
    const reason = late ? `it did not answer within ${START_MS} ms` : "it ended at once";
    const end = output.join("").split("\n").slice(-20).join("\n");
    throw new Error(`${program} did not start: ${reason}\n${end}`);
  }
  return stop;
}

/**
 * Whether there is a process of that id.
 * @param {number} pid
 * @returns {boolean}
 */
export function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
