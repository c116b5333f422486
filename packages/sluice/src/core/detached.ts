import { AsyncResource } from "node:async_hooks";

const root = new AsyncResource("sluice");

/**
 * Runs `work` outside the caller's async context. A flush serves many callers: it must not inherit
 * the AsyncLocalStorage stores (tenant, trace, request) of the one whose item happened to fill it.
 * What it does inherit is the context in which this module was first imported: import it statically.
 */
export function detached(work: () => void): void {
  root.runInAsyncScope(work);
}
