import { describe, expect, test } from "vitest";
import { assertVectors } from "./assert-vectors.ts";
import { type Embedder, EMBEDDING_DIMENSIONS } from "./embedder.ts";

const TEXTS = [
  "You must submit a claim within 180 days of the date of service.",
  "A specialist visit has a copay of $50, with or without a referral.",
  "Whisk the eggs with sugar until pale, then fold in the flour.",
];

/**
 * What every embedder promises, local or remote. `build` is called in each test, after the caller's `beforeAll`,
 * and may return one that talks to a loopback server.
 */
export function describeEmbedder(name: string, build: () => Embedder): void {
  describe(`${name} as an embedder`, () => {
    test("says which model, dimensions and batch sizes it has", () => {
      const embedder = build();
      expect(embedder.model).not.toBe("");
      expect(embedder.dimensions).toBe(EMBEDDING_DIMENSIONS);
      expect(embedder.batch.maxInputs).toBeGreaterThan(0);
      expect(embedder.batch.maxTokens).toBeGreaterThan(0);
    });

    test("gives one storable vector of length 1 per text", async () => {
      const { vectors, total_tokens } = await build().embed(TEXTS, {});
      assertVectors(vectors, TEXTS.length);
      for (const vector of vectors) expect(Math.hypot(...vector)).toBeCloseTo(1, 4);
      expect(total_tokens).toBeGreaterThanOrEqual(0);
    });

    test("keeps the order of the texts", async () => {
      const embedder = build();
      const { vectors } = await embedder.embed(TEXTS, {});
      const reversed = await embedder.embed(TEXTS.toReversed(), {});
      for (const [index, vector] of reversed.vectors.toReversed().entries()) {
        expect(cosine(vector, vectors[index])).toBeCloseTo(1, 3);
      }
      expect(cosine(vectors[0], vectors[1])).toBeLessThan(0.99);
    });

    test("puts a question nearer to its answer than to other texts", async () => {
      const { vectors } = await build().embed(["How many days do I have to submit a claim?", ...TEXTS], {});
      const [question, answer, ...others] = vectors;
      for (const other of others) expect(cosine(question, answer)).toBeGreaterThan(cosine(question, other));
    });

    test("takes no texts at all", async () => {
      expect(await build().embed([], {})).toEqual({ vectors: [], total_tokens: 0 });
    });

    test("rejects with the reason of a signal that is already aborted", async () => {
      const reason = new Error("lease lost");
      await expect(build().embed(TEXTS, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });

    test("rejects with the reason of a signal that is aborted on the way", async () => {
      const controller = new AbortController();
      const reason = new Error("lease lost");
      const embedding = build().embed(TEXTS, { signal: controller.signal });
      controller.abort(reason);
      await expect(embedding).rejects.toBe(reason);
    });
  });
}

function cosine(left: readonly number[] = [], right: readonly number[] = []): number {
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right));
}

function dot(left: readonly number[], right: readonly number[]): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? Number.NaN), 0);
}
