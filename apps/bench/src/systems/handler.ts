import { setTimeout as delay } from "node:timers/promises";

/** What a stage does: nothing, or waiting as for a remote service. */
export function createHandler(handlerMs: number): () => Promise<void> {
  return handlerMs === 0 ? async () => undefined : () => delay(handlerMs);
}
