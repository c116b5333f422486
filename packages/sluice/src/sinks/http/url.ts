/**
 * Where requests go: a base that is fixed, and paths that cannot lead out of it.
 */
import { quote } from "../../errors.ts";
import { invalidOption } from "../../core/validate.ts";

/** A base URL, taken apart. */
export interface BaseUrl {
  readonly origin: string;
  /** The base's own path, without a slash at its end. */
  readonly prefix: string;
}

/** Checks `baseUrl`. What may be a password is never shown. */
export function readBaseUrl(value: unknown): BaseUrl {
  const isText = typeof value === "string" || value instanceof URL;
  if (!isText) throw invalidOption("baseUrl", "a URL", typeof value);
  const text = String(value);
  if (!URL.canParse(text)) throw invalidOption("baseUrl", "a URL", presentable(text));
  const url = new URL(text);
  const fault = faultOf(url);
  if (fault !== undefined) throw invalidOption("baseUrl", fault, presentable(text));
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, "") };
}

function faultOf({ protocol, username, password, search, hash }: URL): string | undefined {
  if (protocol !== "http:" && protocol !== "https:") return "an http or https URL";
  if (username !== "" || password !== "") return "a URL without user and password; use headers";
  return search !== "" || hash !== "" ? "a URL without query and fragment" : undefined;
}

/** "user:password@host" parses as a URL of the scheme "user:", so it is the @ that counts. */
const presentable = (text: string): string =>
  text.includes("@") ? "(a text with an @, not shown)" : withoutQuery(text);

const withoutQuery = (text: string): string => text.replace(/[?#].*$/s, "…");

/**
 * The URL of `path` below the base. Refused is what a URL parser reads as something else: "//host",
 * "..", a backslash (a slash to it), white space (it drops some) and "#" (it is never sent). `shown` is
 * what an error may show of a text.
 */
export function joinPath(
  { origin, prefix }: BaseUrl,
  path: unknown,
  shown: (text: string) => string,
): URL {
  if (typeof path !== "string") throw invalidOption("request.path", "a string", path);
  const fault = pathFault(path);
  if (fault === undefined) return new URL(origin + prefix + path);
  throw invalidOption("request.path", fault, shown(withoutQuery(path)));
}

function pathFault(path: string): string | undefined {
  if (!path.startsWith("/") || path.startsWith("//")) return `a path that begins with one "/"`;
  if (/[\s\p{Cc}\p{Cs}\\#]/u.test(path)) {
    return `percent-encoded: no white space, control character, lone surrogate, "\\" or "#"`;
  }
  const [route = ""] = path.split("?", 1);
  const hasDots = route.split("/").some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment));
  return hasDots ? `a path without ${quote(".")} and ${quote("..")} segments` : undefined;
}
