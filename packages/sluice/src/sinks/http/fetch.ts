/**
 * What this library uses of the platform's `fetch`, as structural types: whatever `fetch` there is fits.
 */

/** The platform's `fetch`, or one like it. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

/** What a request is made of. */
export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: string;
  redirect: "manual";
  signal: AbortSignal;
}

/** What is read of an answer. */
export interface FetchResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** Decompressed. Null where an answer cannot have one. */
  readonly body: { getReader(): BodyReader } | null;
}

/** Reads a body chunk by chunk. */
export interface BodyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}
