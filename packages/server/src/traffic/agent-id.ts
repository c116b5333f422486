import { createHash } from "node:crypto";

/** The namespace of domain names, from RFC 9562. */
const DNS = Buffer.from("6ba7b8109dad11d180b400c04fd430c8", "hex");
const GROUPS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;

/** The id of a client as an agent: the UUID of its host name, version 5 of RFC 9562. */
export function agentIdOf(client: string): string {
  const bytes = createHash("sha1").update(DNS).update(client).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6); // the version
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8); // the variant
  return bytes.toString("hex").replace(GROUPS, "$1-$2-$3-$4-$5");
}
