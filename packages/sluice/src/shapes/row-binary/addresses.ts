/**
 * IP addresses and UUIDs: text to bytes and back.
 */

/** The four numbers of a dotted address, as one; `undefined` of any other text. */
export function parseIPv4(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  if (parts === undefined) return undefined;
  let address = 0;
  for (const part of parts) {
    // A leading zero means octal to some: neither reading is safe.
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** Dotted decimal. */
export const formatIPv4 = (address: number): string =>
  [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");

/** The eight groups of an address; `undefined` of text that is none. IPv4 becomes ::ffff:a.b.c.d. */
export function parseIPv6(text: string): readonly number[] | undefined {
  if (text.length > 45) return undefined;
  const [head = "", tail, more] = text.split("::");
  if (more !== undefined) return undefined;
  const mapped = tail === undefined && !text.includes(":") ? parseIPv4(text) : undefined;
  if (mapped !== undefined) return [0, 0, 0, 0, 0, 0xffff, mapped >>> 16, mapped & 0xffff];
  const front = groups(head, tail === undefined);
  const back = tail === undefined ? [] : groups(tail, true);
  if (front === undefined || back === undefined) return undefined;
  const zeros = 8 - front.length - back.length;
  if (tail === undefined ? zeros !== 0 : zeros < 1) return undefined;
  return [...front, ...Array.from({ length: zeros }, () => 0), ...back];
}

/** Groups of hexadecimal digits; the last two may be a dotted address where the text ends. */
function groups(text: string, last: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const found: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[\da-f]{1,4}$/i.test(part)) {
      found.push(Number.parseInt(part, 16));
      continue;
    }
    const dotted = last && index === parts.length - 1 ? parseIPv4(part) : undefined;
    if (dotted === undefined) return undefined;
    found.push(dotted >>> 16, dotted & 0xffff);
  }
  return found;
}

/** The shortest text, by RFC 5952: the longest run of zero groups is "::", IPv4 is dotted. */
export function formatIPv6(address: readonly number[]): string {
  if (address.slice(0, 5).every((group) => group === 0) && address[5] === 0xffff) {
    return `::ffff:${formatIPv4(((address[6] ?? 0) * 65_536 + (address[7] ?? 0)) >>> 0)}`;
  }
  const text = address.map((group) => group.toString(16));
  let [from, length] = [0, 0];
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && address[end] === 0) end += 1;
    if (end - start > length) [from, length] = [start, end - start];
  }
  if (length < 2) return text.join(":");
  return `${text.slice(0, from).join(":")}::${text.slice(from + length).join(":")}`;
}

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

/** The two halves of a UUID in its usual text form; `undefined` of any other text. */
export function parseUuid(text: string): readonly [high: bigint, low: bigint] | undefined {
  if (!UUID.test(text)) return undefined;
  const digits = text.replaceAll("-", "");
  return [BigInt(`0x${digits.slice(0, 16)}`), BigInt(`0x${digits.slice(16)}`)];
}

/** In lower case. */
export function formatUuid(high: bigint, low: bigint): string {
  const digits = ((high << 64n) | low).toString(16).padStart(32, "0");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
