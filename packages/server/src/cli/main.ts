import { EXIT, Failure, messageOf, quote, usageFailure } from "./failure.ts";
import { DEMO_HELP, MAIN_HELP } from "./help.ts";
import { type Io, print, processIo } from "./io.ts";
import { asksForHelp, parseDemoOptions } from "./options.ts";
import { readVersion } from "./version.ts";

/**
 * Runs one command line and answers the exit code. It never rejects: what went wrong has been
 * said in one line on standard error by then.
 */
export async function main(argv: readonly string[], io: Io = processIo): Promise<number> {
  let outputFailed = false;
  const onOutputError = (error: Error): void => {
    // Whoever reads us, such as `head`, may leave early. That is their right, not our failure.
    if ("code" in error && error.code === "EPIPE") return;
    outputFailed = true;
    io.stderr.write(`sluice: cannot write: ${messageOf(error)}\n`);
  };
  const onStderrError = (): void => undefined;
  io.stdout.on("error", onOutputError);
  io.stderr.on("error", onStderrError);
  try {
    const exitCode = await dispatch(argv, io);
    return outputFailed ? EXIT.failed : exitCode;
  } catch (error) {
    io.stderr.write(`sluice: ${messageOf(error)}\n`);
    return error instanceof Failure ? error.exitCode : EXIT.failed;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const [command, ...rest] = argv;
  if (command === undefined || asksForHelp(command)) return answer(io, MAIN_HELP);
  if (command === "--version") return answer(io, `${readVersion()}\n`);
  if (command === "demo") {
    const options = parseDemoOptions(rest);
    if (options.help) return answer(io, DEMO_HELP);
    // Imported late: help and usage errors need neither the library nor a database.
    const { runDemo } = await import("./demo.ts");
    return runDemo(options, io);
  }
  const kind = command.startsWith("-") ? "option" : "command";
  throw usageFailure("sluice", `unknown ${kind} ${quote(command)}`);
}

async function answer(io: Io, text: string): Promise<number> {
  await print(io.stdout, text);
  return EXIT.ok;
}
