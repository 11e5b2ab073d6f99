import type { BatchLimits } from "./embedder.ts";

/**
 * Splits items into requests within the limits, in order, filling each before the next begins.
 * An item that alone exceeds `maxTokens` gets a batch of its own, so that the provider's refusal hits only it.
 */
export function packBatches<T extends { token_count: number }>(items: readonly T[], limits: BatchLimits): T[][] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let tokens = 0;
  for (const item of items) {
    const isFull = batch.length >= limits.maxInputs || tokens + item.token_count > limits.maxTokens;
    if (isFull && batch.length > 0) {
      batches.push(batch);
      batch = [];
      tokens = 0;
    }
    batch.push(item);
    tokens += item.token_count;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
