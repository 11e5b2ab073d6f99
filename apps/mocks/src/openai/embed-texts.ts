import { createLocalEmbedder } from "@pipeline/embedding";
import type { Model } from "./models.ts";
import { MODELS } from "./models.ts";

const embedder = createLocalEmbedder();

/**
 * Vectors of length 1 from the local lexical embedder: texts that share words are near each other. Fewer dimensions are
 * a cut of the whole vector, as with the real models, and each model has a space of its own, so that vectors of
 * different models are as far apart as chance has it.
 */
export async function embedTexts(
  texts: string[],
  { model, dimensions }: { model: Model; dimensions: number },
): Promise<number[][]> {
  const { vectors } = await embedder.embed(texts, {});
  const turn = MODELS.indexOf(model) * 97;
  return vectors.map((vector) => rotate(shorten(widen(vector, model.dimensions), dimensions), turn));
}

function widen(vector: number[], dimensions: number): number[] {
  return Array.from({ length: dimensions }, (_, position) => vector[position % vector.length] ?? 0);
}

/** The first dimension is never 0: it holds what all texts have in common. */
function shorten(vector: readonly number[], dimensions: number): number[] {
  const kept = vector.slice(0, dimensions);
  const length = Math.hypot(...kept);
  return kept.map((value) => value / length);
}

function rotate(vector: number[], turn: number): number[] {
  const start = turn % vector.length;
  return start === 0 ? vector : [...vector.slice(start), ...vector.slice(0, start)];
}
