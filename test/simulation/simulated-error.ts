/** What a simulated store answers or does not: never the fault of what is tested. */
export class SimulatedError extends Error {}

/** An error of the server, as drivers throw it. */
export class SqlError extends SimulatedError {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}
