import { agentIdOf } from "../traffic/agent-id.ts";
import type { AgentView } from "../traffic/verify-metadata.ts";
import { messageOf } from "./failure.ts";

/** Views of an agent: one at once, and another whenever it differs, until the signal. */
export type Watch = (agentId: string, signal: AbortSignal) => AsyncIterable<AgentView>;

/** A reader that watches one client at a time. */
export interface Follower {
  /** Watches this client from now on. One that is watched already goes on being watched. */
  follow(client: string): void;
  /** Waits until `seen`, which is asked at every view, says so; for at most this long. */
  settle(seen: () => boolean, timeoutMs: number): Promise<void>;
  /** Watches nobody any more; what was seen is kept. */
  stop(): void;
  /** Who is watched, or was last. */
  readonly client: string | undefined;
  /** The latest view of the client. */
  readonly view: AgentView | undefined;
  /** How many views there have been, of all that were watched. */
  readonly views: number;
}

/** Creates a follower that watches nobody yet. `warn` is told if watching fails. */
export function createFollower(watch: Watch, warn: (words: string) => void): Follower {
  let ending = new AbortController();
  let client: string | undefined;
  let view: AgentView | undefined;
  let views = 0;
  let onView = (): void => undefined;
  let following = Promise.resolve();

  const read = async (agentId: string, signal: AbortSignal): Promise<void> => {
    try {
      for await (const next of watch(agentId, signal)) {
        if (signal.aborted) return;
        view = next;
        views += 1;
        onView();
      }
    } catch (error) {
      if (!signal.aborted) warn(`watching fails: ${messageOf(error)}`);
    }
  };

  return {
    follow(next) {
      if (next === client) return;
      ending.abort();
      ending = new AbortController();
      client = next;
      view = undefined;
      following = read(agentIdOf(next), ending.signal);
    },
    async settle(seen, timeoutMs) {
      if (client === undefined || seen()) return;
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
        onView = () => {
          if (seen()) resolve();
        };
      });
      await Promise.race([waited, following]);
      clearTimeout(timer);
      onView = () => undefined;
    },
    stop: () => ending.abort(),
    get client() {
      return client;
    },
    get view() {
      return view;
    },
    get views() {
      return views;
    },
  };
}
