/**
 * Users of the flag API, checked and brought into one form.
 */
import { canonicalJson } from "../coalescer/canonical-json.ts";
import { isSluiceError, quote, SluiceError } from "../errors.ts";

/** What JSON can hold. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [field: string]: Json | undefined };

/** Who is asked about. One of `userID` and `customIDs` is needed; fields that are undefined are absent. */
export interface StatsigUser {
  /** 1 to 100 characters. */
  readonly userID?: string | undefined;
  readonly email?: string | undefined;
  /** 7 to 45 characters. */
  readonly ip?: string | undefined;
  readonly userAgent?: string | undefined;
  /** 2 characters: "NZ". */
  readonly country?: string | undefined;
  readonly locale?: string | undefined;
  readonly appVersion?: string | undefined;
  /** What JSON can hold, by name. */
  readonly custom?: object | undefined;
  /** Used for the answer; the API does not store them. */
  readonly privateAttributes?: object | undefined;
  /** Other ids by their kind, each 1 to 100 characters. */
  readonly customIDs?: { readonly [kind: string]: string | undefined } | undefined;
  readonly statsigEnvironment?: { readonly tier?: string | undefined } | undefined;
}

type Check = (value: unknown, field: string) => void;

const text =
  (least: number, most: number = Infinity): Check =>
  (value, field) => {
    if (typeof value === "string" && value.length >= least && value.length <= most) return;
    const length =
      most === Infinity ? "" : ` of ${least === most ? most : `${least} to ${most}`} characters`;
    throw invalid(field, `a string${length}`, value);
  };

const object: Check = (value, field) => {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw invalid(field, "an object", value);
};

const FIELDS: Readonly<Record<keyof StatsigUser, Check>> = {
  userID: text(1, 100),
  email: text(0),
  ip: text(7, 45),
  userAgent: text(0),
  country: text(2, 2),
  locale: text(0),
  appVersion: text(0),
  custom: object,
  privateAttributes: object,
  customIDs: (value, field) => {
    object(value, field);
    for (const [kind, id] of present(value)) text(1, 100)(id, `${field}.${kind}`);
  },
  statsigEnvironment: (value, field) => {
    object(value, field);
    for (const [name, tier] of present(value)) {
      if (name !== "tier") throw unknownField(`${field}.${name}`, ["tier"]);
      text(1)(tier, `${field}.tier`);
    }
  },
};

/**
 * The user as canonical JSON: equal users have equal texts, and any difference makes them different.
 * Throws `SLUICE_ERR_STATSIG_USER`.
 */
export function readUser(user: unknown): string {
  object(user, "user");
  const fields = present(user);
  for (const [field, value] of fields) {
    const check = Object.hasOwn(FIELDS, field) ? FIELDS[field as keyof StatsigUser] : undefined;
    if (check === undefined) throw unknownField(`user.${field}`, Object.keys(FIELDS));
    check(value, `user.${field}`);
  }
  const { userID, customIDs } = Object.fromEntries(fields);
  if (userID === undefined && present(customIDs).length === 0) {
    throw invalid("user", "a user with a userID, or with customIDs", Object.keys(Object(user)));
  }
  try {
    return canonicalJson(user);
  } catch (error) {
    if (!isSluiceError(error)) throw error;
    const message = error.message.replace(/^("?)value/, "$1user");
    throw new SluiceError("SLUICE_ERR_STATSIG_USER", message);
  }
}

const present = (value: unknown): [string, unknown][] =>
  Object.entries(Object(value)).filter(([, field]) => field !== undefined);

function invalid(field: string, expected: string, received: unknown): SluiceError {
  const place = field.length > 100 ? quote(field) : field; // it may hold a name of any length
  const message = `${place} must be ${expected}; received ${quote(received)}`;
  return new SluiceError("SLUICE_ERR_STATSIG_USER", message);
}

function unknownField(field: string, known: readonly string[]): SluiceError {
  const message = `there is no ${quote(field)}; there are ${known.join(", ")}`;
  return new SluiceError("SLUICE_ERR_STATSIG_USER", message);
}
