/**
 * Sluice into HTTP: a JSON API as a store that batches are sent to.
 */
export type { BodyReader, Fetch, FetchInit, FetchResponse } from "./fetch.ts";
export { HttpError, type HttpErrorDetails } from "./http-error.ts";
export {
  createJsonClient,
  type AttemptOptions,
  type JsonClient,
  type JsonClientOptions,
  type JsonRequest,
} from "./json-client.ts";
export type { Retried, RetriedOptions } from "./retried.ts";
