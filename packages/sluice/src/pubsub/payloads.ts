/**
 * Keys as payloads: what has changed, in as few notifications as hold it.
 */
import { Buffer } from "node:buffer";
import { quote, SluiceError } from "../errors.ts";
import { byteLength, textFault } from "../shapes/text.ts";
import { MAX_PAYLOAD_BYTES } from "./pubsub.ts";

/** 16 bytes in base64 are 22 characters and `==`, which goes without saying. */
const SLOT = 22;
const MOST_UUIDS = Math.floor(MAX_PAYLOAD_BYTES / SLOT);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const UPPER_CASE = /[A-F]/;
const HEX = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;
/** The last character of a slot holds two bits: the other four are zero. */
const CANONICAL = /^[A-Za-z0-9+/]{21}[AQgw]$/;

/**
 * The lower-case form of a UUID written as 8-4-4-4-12 hexadecimal digits. Throws
 * `SLUICE_ERR_KEY_INVALID` for anything else.
 */
export function checkUuid(id: unknown): string {
  if (typeof id === "string") {
    if (UUID.test(id)) return id;
    if (UPPER_CASE.test(id) && UUID.test(id.toLowerCase())) return id.toLowerCase();
  }
  throw new SluiceError(
    "SLUICE_ERR_KEY_INVALID",
    `a UUID must be 8-4-4-4-12 hexadecimal digits; received ${quote(id)}`,
  );
}

/**
 * Packs UUIDs into payloads: each one's 16 bytes as 22 characters of standard base64, without padding
 * or separator, at most 363 in a payload. Order is kept. No UUIDs make no payloads. Throws
 * `SLUICE_ERR_KEY_INVALID` for what is no UUID.
 */
export function packUuids(ids: Iterable<string>): string[] {
  const payloads: string[] = [];
  let slots: string[] = [];
  for (const id of ids) {
    const bytes = Buffer.from(checkUuid(id).replaceAll("-", ""), "hex");
    slots.push(bytes.toString("base64").slice(0, SLOT));
    if (slots.length < MOST_UUIDS) continue;
    payloads.push(slots.join(""));
    slots = [];
  }
  if (slots.length > 0) payloads.push(slots.join(""));
  return payloads;
}

/**
 * The UUIDs of a payload, in lower case. Throws `SLUICE_ERR_PAYLOAD_INVALID` for what `packUuids` does
 * not write.
 */
export function unpackUuids(payload: string): string[] {
  if (typeof payload !== "string" || payload.length % SLOT !== 0) {
    throw invalid(`must be slots of ${SLOT} characters`, payload);
  }
  const ids: string[] = [];
  for (let at = 0; at < payload.length; at += SLOT) {
    const slot = payload.slice(at, at + SLOT);
    if (!CANONICAL.test(slot)) throw invalid("must be 16 bytes of base64 per slot", slot);
    ids.push(Buffer.from(slot, "base64").toString("hex").replace(HEX, "$1-$2-$3-$4-$5"));
  }
  return ids;
}

/**
 * Packs texts into payloads: each a JSON array of as many as fit into 7,999 bytes. Order is kept. No
 * texts make no payloads. Throws `SLUICE_ERR_KEY_INVALID` for NUL, lone surrogates and what is no text,
 * and `SLUICE_ERR_KEY_TOO_LONG` for a text that does not fit alone.
 */
export function packTexts(keys: Iterable<string>): string[] {
  const payloads: string[] = [];
  let texts: string[] = [];
  let bytes = 0; // of the payload: its brackets, its texts and their commas
  const seal = (): void => {
    if (texts.length > 0) payloads.push(`[${texts.join(",")}]`);
    texts = [];
    bytes = 1;
  };
  seal();
  for (const key of keys) {
    const text = JSON.stringify(checkText(key));
    const needed = byteLength(text) + 1;
    if (1 + needed > MAX_PAYLOAD_BYTES) throw tooLong(key, 1 + needed);
    if (bytes + needed > MAX_PAYLOAD_BYTES) seal();
    texts.push(text);
    bytes += needed;
  }
  seal();
  return payloads;
}

/** The texts of a payload. Throws `SLUICE_ERR_PAYLOAD_INVALID` for what `packTexts` does not write. */
export function unpackTexts(payload: string): string[] {
  const texts = parse(payload);
  if (!Array.isArray(texts)) throw invalid("must be a JSON array of texts", payload);
  return texts.map((text: unknown) => {
    if (typeof text === "string" && textFault(text) === undefined) return text;
    throw invalid("must be a JSON array of texts", payload);
  });
}

function parse(payload: string): unknown {
  try {
    return JSON.parse(payload);
  } catch (cause) {
    throw invalid("must be a JSON array of texts", payload, { cause });
  }
}

function checkText(key: unknown): string {
  const fault = typeof key === "string" ? textFault(key) : "no text";
  if (typeof key === "string" && fault === undefined) return key;
  throw new SluiceError("SLUICE_ERR_KEY_INVALID", `a key holds ${fault}: ${quote(key)}`);
}

const tooLong = (key: string, bytes: number): SluiceError =>
  new SluiceError(
    "SLUICE_ERR_KEY_TOO_LONG",
    `a key makes a payload of ${bytes} bytes, more than ${MAX_PAYLOAD_BYTES}: ${quote(key)}`,
  );

const invalid = (what: string, received: unknown, details?: { cause: unknown }): SluiceError =>
  new SluiceError(
    "SLUICE_ERR_PAYLOAD_INVALID",
    `a payload ${what}; received ${quote(received)}`,
    details,
  );
