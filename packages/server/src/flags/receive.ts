import type { IncomingMessage } from "node:http";
import { type Endpoint, ENDPOINTS, parseCall, type Question, Refusal } from "./call.ts";

const MAX_BODY_BYTES = 5 * 1024 * 1024;

/** Reads a request to its end and answers what it asks; throws a `Refusal` where it is not valid. */
export async function receive(request: IncomingMessage, apiKey: string): Promise<Question> {
  const { headers, method } = request;
  const endpoint = endpointOf(request.url ?? "");
  if (method !== "POST") throw new Refusal(405, `${method} is not allowed, only POST`);
  if (headers["statsig-api-key"] !== apiKey) {
    throw new Refusal(401, "statsig-api-key is missing or wrong");
  }
  const text = await readBody(request);
  if (!/^application\/json\s*(?:;|$)/i.test(headers["content-type"] ?? "")) {
    throw new Refusal(400, "content-type must be application/json");
  }
  if (endpoint === "log_event" && !/^\d+$/.test(String(headers["statsig-client-time"]))) {
    throw new Refusal(400, "STATSIG-CLIENT-TIME must be a time in milliseconds");
  }
  return parseCall(endpoint, text);
}

function endpointOf(url: string): Endpoint {
  const [path = ""] = url.split("?");
  const endpoint = ENDPOINTS.find((name) => path === `/v1/${name}`);
  if (endpoint === undefined) throw new Refusal(404, `there is no ${path}`);
  return endpoint;
}

/** Reads also what is too much, without keeping it: a client that still sends may miss an answer. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (bytes > MAX_BODY_BYTES) {
    throw new Refusal(413, `the body has ${bytes} bytes, more than ${MAX_BODY_BYTES}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new Refusal(400, "the body is no UTF-8");
  }
}
