import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { agentIdOf } from "../traffic/agent-id.ts";
import type { AgentView } from "../traffic/verify-metadata.ts";
import { createFollower } from "./follower.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const settled = (): Promise<void> => vi.advanceTimersByTimeAsync(0).then(() => undefined);

/** A watch that shows what a test tells it to, and the follower of it. */
function setup() {
  const watched: string[] = [];
  const warnings: string[] = [];
  const sources = new Map<string, (next: AgentView | Error | undefined) => void>();
  async function* watch(agentId: string, signal: AbortSignal): AsyncGenerator<AgentView> {
    watched.push(agentId);
    for (;;) {
      const next = await new Promise<AgentView | Error | undefined>((resolve) => {
        sources.set(agentId, resolve);
        signal.addEventListener("abort", () => resolve(undefined));
      });
      if (next instanceof Error) throw next;
      if (next === undefined) return;
      yield next;
    }
  }
  const follower = createFollower(watch, (words) => warnings.push(words));
  const show = async (client: string, next: AgentView | Error | undefined): Promise<void> => {
    sources.get(agentIdOf(client))?.(next);
    await settled();
  };
  return { follower, watched, warnings, show };
}

const viewOf = (client: string, ...keys: string[]): AgentView => ({
  agentId: agentIdOf(client),
  entries: keys.map((key) => ({ key, value: "", error: "", collectedAt: new Date(0) })),
});

test("watches the client it is told to, once, and keeps the latest view", async () => {
  const { follower, watched, show } = setup();
  expect([follower.client, follower.view, follower.views]).toEqual([undefined, undefined, 0]);
  follower.follow("a");
  follower.follow("a");
  await show("a", viewOf("a"));
  await show("a", viewOf("a", "k"));
  expect(watched).toEqual([agentIdOf("a")]);
  expect([follower.client, follower.view, follower.views]).toEqual(["a", viewOf("a", "k"), 2]);
});

test("moves to another client: what was seen of the one before is no view of it", async () => {
  const { follower, watched, show } = setup();
  follower.follow("a");
  await show("a", viewOf("a"));
  const late = show("a", viewOf("a", "late"));
  follower.follow("b");
  await late;
  expect([follower.client, follower.view, follower.views]).toEqual(["b", undefined, 1]);
  await show("b", viewOf("b"));
  expect([follower.view, follower.views]).toEqual([viewOf("b"), 2]);
  expect(watched).toEqual(["a", "b"].map(agentIdOf));
});

test("waits for nothing where nobody is watched, or all has been seen", async () => {
  const { follower } = setup();
  await follower.settle(() => false, 1_000);
  follower.follow("a");
  await follower.settle(() => true, 1_000);
});

test("waits until the view is there that is waited for", async () => {
  const { follower, show } = setup();
  follower.follow("a");
  let done = false;
  const settling = follower
    .settle(() => follower.view?.entries.length === 2, 1_000)
    .then(() => {
      done = true;
    });
  await show("a", viewOf("a", "k"));
  expect(done).toBe(false);
  await show("a", viewOf("a", "k", "l"));
  expect(done).toBe(true);
  await settling;
});

test("waits for as long as it may, and no longer", async () => {
  const { follower, show } = setup();
  follower.follow("a");
  let done = false;
  const settling = follower
    .settle(() => false, 1_000)
    .then(() => {
      done = true;
    });
  await show("a", viewOf("a"));
  await vi.advanceTimersByTimeAsync(999);
  expect(done).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await settling;
});

test("waits no more once watching has ended or failed, which is said", async () => {
  const { follower, warnings, show } = setup();
  follower.follow("a");
  const settling = follower.settle(() => false, 1_000);
  await show("a", undefined);
  await settling;
  expect(warnings).toEqual([]);
  follower.follow("b");
  await show("b", new Error("no\nway"));
  await follower.settle(() => false, 1_000);
  expect(warnings).toEqual(["watching fails: no; way"]);
});

test("sees nothing after it was stopped, and keeps what it saw", async () => {
  const { follower, show } = setup();
  follower.follow("a");
  await show("a", viewOf("a"));
  follower.stop();
  await show("a", viewOf("a", "late"));
  expect([follower.client, follower.view, follower.views]).toEqual(["a", viewOf("a"), 1]);
});
