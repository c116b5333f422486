import type { Random } from "../traffic/random.ts";
import { canonicalUser, type FlagUser, isRecord, randomOf } from "./user.ts";

/** The truth of a gate for a user. */
export interface GateValue {
  readonly value: boolean;
  readonly rule_id: string;
  /** Null where the gate is closed. */
  readonly group_name: string | null;
}

/** The truth of a config for a user. */
export interface ConfigValue {
  readonly value: Record<string, unknown>;
  readonly rule_id: string;
  readonly group_name: string | null;
}

/** Whom a gate looks at; others fall to the default rule. */
interface Rule {
  readonly id: string;
  readonly name: string;
  readonly fits: (user: FlagUser) => boolean;
}

const DEFAULT_RULE: Rule = { id: "default", name: "Everyone else", fits: () => true };

/**
 * What a gate says of a user. Its rule is drawn from its name; whether the rule opens the gate is an
 * even draw from all that the user is, so that users who differ in anything get independent answers.
 */
export function gateValue(seed: number, gateName: string, user: object): GateValue {
  const rule = ruleOf(seed, gateName);
  const { id, name } = rule.fits(user as FlagUser) ? rule : DEFAULT_RULE;
  const value = randomOf("gate", seed, gateName, canonicalUser(user))() < 0.5;
  return { value, rule_id: id, group_name: value ? name : null };
}

/** What a config holds for a user; all of it is drawn from all that the user is. */
export function configValue(seed: number, configName: string, user: object): ConfigValue {
  const random = randomOf("config", seed, configName, canonicalUser(user));
  const group = pick(GROUPS, random);
  return {
    value: {
      enabled: random() < 0.5,
      limit: between(0, 9_999, random),
      ratio: between(0, 1_000, random) / 1_000,
      title: `${pick(COLOURS, random)} ${between(1, 99, random)}`,
      theme: {
        colour: pick(COLOURS, random),
        sizes: [between(1, 9, random), between(1, 9, random)],
      },
    },
    rule_id: `${group.toLowerCase()}_${between(1, 3, randomOf("groups", seed, configName))}`,
    group_name: group,
  };
}

const GROUPS = ["Control", "Test", "Holdout"] as const;
const COLOURS = ["blue", "green", "grün", "red", "黄"] as const;
const COUNTRIES = ["AT", "BR", "CA", "CH", "DE", "FR", "GB", "IN", "JP", "US"] as const;
const ATTRIBUTES = ["beta", "company", "plan", "team"] as const;

function shareOfUsers(random: Random): Rule {
  const share = between(20, 80, random);
  const salt = random();
  return {
    id: `user_share_${share}`,
    name: `${share} % of the users`,
    fits: ({ userID }) => typeof userID === "string" && randomOf(salt, userID)() * 100 < share,
  };
}

function countries(random: Random): Rule {
  const first = between(0, COUNTRIES.length - 4, random);
  const list: readonly unknown[] = COUNTRIES.slice(first, first + 4);
  return {
    id: `country_${list.join("_")}`,
    name: `Countries ${list.join(", ")}`,
    fits: ({ country }) => list.includes(country),
  };
}

function customAttribute(random: Random): Rule {
  const attribute = pick(ATTRIBUTES, random);
  return {
    id: `custom_${attribute}`,
    name: `Has custom.${attribute}`,
    fits: ({ custom }) => isRecord(custom) && custom[attribute] !== undefined,
  };
}

function appVersion(random: Random): Rule {
  const [major, minor] = [between(1, 4, random), between(0, 9, random)];
  return {
    id: `app_version_${major}_${minor}`,
    name: `Version ${major}.${minor} or later`,
    fits: (user) => {
      const version = /^(\d+)(?:\.(\d+))?/.exec(String(user["appVersion"] ?? ""));
      if (version === null) return false;
      const [has, hasMinor] = [Number(version[1]), Number(version[2] ?? 0)];
      return has > major || (has === major && hasMinor >= minor);
    },
  };
}

const KINDS = [shareOfUsers, countries, customAttribute, appVersion] as const;

function ruleOf(seed: number, gateName: string): Rule {
  const random = randomOf("rule", seed, gateName);
  return pick(KINDS, random)(random);
}

function between(least: number, most: number, random: Random): number {
  return least + Math.floor(random() * (most - least + 1));
}

function pick<T>(items: readonly [T, ...T[]], random: Random): T {
  return items[between(0, items.length - 1, random)] ?? items[0];
}
