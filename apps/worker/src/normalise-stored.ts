import { normalisePages } from "@pipeline/parsing";
import { needsThread, runInThread } from "./run-in-thread.ts";

type Input = Parameters<typeof normalisePages>[0];
type Output = ReturnType<typeof normalisePages>;

const THREAD = new URL("normalise-thread.ts", import.meta.url);

/** `normalisePages`, in a thread where the text is long. Throws what it throws and what `runInThread` does. */
export async function normaliseStored(input: Input, signal: AbortSignal): Promise<Output> {
  return needsThread(input.pages) ? runInThread({ entry: THREAD, input, signal }) : normalisePages(input);
}
