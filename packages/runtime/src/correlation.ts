import { AsyncLocalStorage } from "node:async_hooks";

/** The one thing that is neither an argument nor a row: libraries that call a provider for us pass nothing through. */
const current = new AsyncLocalStorage<string>();

/** Runs `work` so that whatever calls a provider on the way can name the request that it is for. */
export function correlated<T>(correlationId: string, work: () => T): T {
  return current.run(correlationId, work);
}

/** Undefined outside `correlated`. */
export function currentCorrelationId(): string | undefined {
  return current.getStore();
}
