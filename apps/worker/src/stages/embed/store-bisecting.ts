import { judgeEmbeddingFailure } from "@pipeline/embedding";

/** Sent alone, so many inputs are refused before any is accepted: then it is not the inputs. */
const REFUSED_ALONE = 3;

export interface BatchOutcome<T> {
  tokens: number;
  /** Inputs that the provider refuses whatever is sent with them, and what it said. */
  refused: { input: T; error: unknown }[];
}

/**
 * Sends a batch by `send`, which stores what comes back and answers the tokens. One that is refused for its inputs is halved
 * until those that spoil it stand alone; all others are stored.
 */
export async function storeBisecting<T>(
  batch: readonly T[],
  send: (inputs: readonly T[]) => Promise<number>,
): Promise<BatchOutcome<T>> {
  const outcome: BatchOutcome<T> = { tokens: 0, refused: [] };
  const pending: (readonly T[])[] = [batch];
  let wasAccepted = false;
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    try {
      outcome.tokens += await send(part);
      wasAccepted = true;
    } catch (error) {
      if (judgeEmbeddingFailure(error).blame !== "input") throw error;
      const [input] = part;
      if (part.length > 1) {
        const middle = Math.ceil(part.length / 2);
        pending.push(part.slice(middle), part.slice(0, middle));
      } else if (input !== undefined) {
        outcome.refused.push({ input, error });
        if (!wasAccepted && outcome.refused.length >= REFUSED_ALONE) throw error;
      }
    }
  }
  return outcome;
}
