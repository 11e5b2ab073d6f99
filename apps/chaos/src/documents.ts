import type { Random } from "./random.ts";

export interface SampleDocument {
  filename: string;
  mime: string;
  bytes: Buffer;
}

/** Mostly letters of a few lines, some policies of several sections; no two alike. */
export function writeDocument(random: Random, number: number): SampleDocument {
  const isPolicy = random.next() < 0.3;
  const text = isPolicy ? policy(random, number) : letter(random, number);
  return {
    filename: isPolicy ? `policy-${number}.md` : `letter-${number}.txt`,
    mime: isPolicy ? "text/markdown" : "text/plain",
    bytes: Buffer.from(text),
  };
}

function letter(random: Random, number: number): string {
  const lines = Array.from({ length: random.between(2, 8) }, () => sentence(random));
  return `Letter number ${number}.\n\n${lines.join(" ")}\n`;
}

function policy(random: Random, number: number): string {
  const sections = Array.from({ length: random.between(2, 20) }, (_, index) => {
    const sentences = Array.from({ length: random.between(10, 30) }, () => sentence(random));
    return `## Section ${index + 1}\n\n${sentences.join(" ")}`;
  });
  return `# Policy ${number}\n\n${sections.join("\n\n")}\n`;
}

const THINGS = ["water damage", "theft from a cellar", "a broken window", "hail on the roof", "a lost key", "smoke"];
const PLACES = ["the kitchen", "a parked car", "the garden house", "a rented room", "the attic"];

function sentence(random: Random): string {
  const thing = random.pick(THINGS) ?? "";
  const place = random.pick(PLACES) ?? "";
  return `Clause ${random.between(1, 9_999)}: ${thing} in ${place} is covered up to ${random.between(100, 99_999)} dollars.`;
}
