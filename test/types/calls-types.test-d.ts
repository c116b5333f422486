/** The types of coalesced calls, used as the guide does. */
import { canonicalJson, createCoalescer } from "sluice";
import { createJsonClient } from "sluice/http";
import { lruCache } from "sluice/lru-cache";
import { createStatsigClient } from "sluice/statsig";

interface Shop {
  readonly id: string;
}
interface Custom {
  readonly plan: string;
}

export async function answersHaveTheTypeThatResolveGives(shop: Shop): Promise<number> {
  const http = createJsonClient({ baseUrl: "https://api.example.com" });
  const prices = createCoalescer({
    group: ({ shop: one }: { shop: Shop; sku: string }) => canonicalJson(one),
    key: ({ sku }) => sku,
    resolve: async (_group, skus, { requests: [first], signal }) => {
      const path = `/v1/${first.shop.id}`;
      const answer = await http.attempt({ path, body: { skus } }, { signal });
      return new Map(Object.entries(answer as Record<string, number>));
    },
    cache: lruCache({ maxEntries: 10_000, ttlMs: 60_000 }),
  });
  // @ts-expect-error: a price is no text.
  const text: string = await prices.load({ shop, sku: "A-1" });
  return (
    text.length + (await prices.load({ shop, sku: "A-1" }, { signal: AbortSignal.timeout(5) }))
  );
}

export async function whatIsMissingMayBeUndefined(): Promise<number | undefined> {
  const lengths = createCoalescer({
    key: (key: string) => key,
    resolve: async (_group, keys) => new Map(keys.map((key) => [key, key.length])),
    cache: () => new Map<string, { answer: number }>(),
    missing: "undefined",
  });
  // @ts-expect-error: there may be no answer.
  const length: number = await lengths.load("a");
  return (await lengths.load("b")) ?? length;
}

export async function callersSayWhatTheyExpect(custom: Custom): Promise<number> {
  const flags = createStatsigClient({ apiKey: "key" });
  const user = { userID: "u-1", custom };
  const checkout = await flags.getConfig<{ limit: number }>("checkout", user);
  const http = createJsonClient({ baseUrl: "https://api.example.com" });
  const found = await http.request<{ id: number }>({ path: "/v1/search", idempotent: true });
  return (checkout?.limit ?? 0) + found.id;
}
