/** The parts of an `HttpError` beyond its message. */
export interface HttpErrorDetails {
  readonly method: string;
  readonly url: string;
  readonly status?: number | undefined;
  readonly code?: string | undefined;
  readonly body?: string | undefined;
}

/**
 * What happened to one request: the `cause` of what `JsonClient.attempt` throws. It has no cause of its
 * own, because the platform's errors hold what was received as it was received, secrets and all.
 */
export class HttpError extends Error {
  readonly method: string;
  /** Origin and path; never the query. */
  readonly url: string;
  /** Undefined when no answer came. */
  readonly status: number | undefined;
  /** The platform's code for a failure below HTTP: `ECONNREFUSED`, `UND_ERR_SOCKET`. */
  readonly code: string | undefined;
  /** The beginning of the answer's body, on one line, at most 500 bytes of UTF-8 and an ellipsis. */
  readonly body: string | undefined;

  constructor(message: string, details: HttpErrorDetails) {
    super(message);
    this.name = "HttpError";
    this.method = details.method;
    this.url = details.url;
    this.status = details.status;
    this.code = details.code;
    this.body = details.body;
  }
}
