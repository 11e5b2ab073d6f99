import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { describeEmbedder } from "./embedder.suite.ts";
import { buildInsurancePassages, INSURANCE_QUESTIONS } from "./insurance-corpus.fixture.ts";
import { createLocalEmbedder } from "./local-embedder.ts";

/** RAG_SIMILARITY_THRESHOLD's default, which the embedder is calibrated to. */
const THRESHOLD = 0.3;

describeEmbedder("the local embedder", createLocalEmbedder);

async function embed(texts: string[]): Promise<number[][]> {
  return (await createLocalEmbedder().embed(texts, {})).vectors;
}

/** Of unit vectors. */
function cosine(left: readonly number[] = [], right: readonly number[] = []): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? Number.NaN), 0);
}

async function compare(left: string, right: string): Promise<number> {
  const [one, two] = await embed([left, right]);
  return cosine(one, two);
}

describe("on insurance passages of 400 tokens", async () => {
  const passages = await embed(buildInsurancePassages());
  const questions = await embed(INSURANCE_QUESTIONS.map(({ question }) => question));
  const scores = questions.map((question) => passages.map((passage) => cosine(question, passage)));
  const rightScores = scores.map((row, index) => row[index] ?? Number.NaN);
  const ranks = scores.map((row, index) => row.filter((score) => score > (rightScores[index] ?? 0)).length);

  test("the right passage is among the first three, and nearly always the first", () => {
    expect(Math.max(...ranks)).toBeLessThan(3);
    expect(ranks.filter((rank) => rank === 0).length).toBeGreaterThanOrEqual(19);
  });

  test("every right passage passes the threshold", () => {
    expect(Math.min(...rightScores)).toBeGreaterThanOrEqual(THRESHOLD);
  });

  test("few of the wrong ones do, although they share most of their wording", () => {
    const passing = scores.flat().filter((score) => score >= THRESHOLD).length - questions.length;
    expect(passing).toBeLessThanOrEqual(0.125 * questions.length * (passages.length - 1));
  });
});

test.for<[string, string]>([
  ["What is my annual deductible?", "Whisk the eggs with sugar until pale, then fold in the flour."],
  ["How do I appeal a denied claim?", "Photosynthesis turns light into chemical energy inside the chloroplasts."],
])("texts on different subjects stay below the threshold: %s – %s", async ([left, right]) => {
  const similarity = await compare(left, right);
  expect(similarity).toBeGreaterThan(0.15);
  expect(similarity).toBeLessThan(THRESHOLD);
});

test.for<[string, string]>([
  ["form HX-2291", "Please send HX2291 with your request."],
  ["a limit of $1,500", "We pay 1500 dollars at most."],
  ["20% coinsurance", "You owe 20 percent of the allowed amount."],
  ["assuré", "ASSURE"],
  ["保険料の期限", "保険料の支払い期限は毎月一日です。"],
])("%s is found in %s", async ([left, right]) => {
  expect(await compare(left, right)).toBeGreaterThan(THRESHOLD);
});

test("a text without words is like nothing but another one", async () => {
  expect(await compare("*** — ***", "...")).toBeCloseTo(1, 6);
  expect(await compare("", "What is my annual deductible?")).toBeLessThan(THRESHOLD);
});

test("the same text gives the same numbers in any batch", async () => {
  const together = await embed(["one deductible", "two copays"]);
  expect(await embed(["two copays"])).toEqual(together.slice(1));
});

test("the vectors of this model never change, because stored ones are compared with new ones", async () => {
  const [vector] = await embed(["A specialist visit has a copay of $50. Café HX-2291 保険料"]);
  const digits = vector?.map((value) => value.toFixed(6)).join();
  expect(
    createHash("sha256")
      .update(digits ?? "")
      .digest("hex"),
  ).toBe("2daba5416f04517433c0a1f6d3e8795ecfe2ede02c8630cc26682e344695ef8b");
});
