import { parentPort, workerData } from "node:worker_threads";
import { chunkDocument } from "@pipeline/chunking";
import { normalisePages } from "@pipeline/parsing";
import { z } from "zod";

/**
 * Texts on which an expression or a loop could be quadratic, of about so many characters; five times as many where each
 * costs little, so that its square costs much.
 */
const HOSTILE_TEXTS: Readonly<Record<string, (size: number) => string>> = {
  spaces: (size) => `a${" ".repeat(size * 5)}b`,
  tabs: (size) => `a${"\t".repeat(size * 5)}b`,
  "no-break spaces": (size) => `a${"\u00a0".repeat(size * 5)}b`,
  "a heading with blanks in it": (size) => `# a${" ".repeat(size * 5)}b`,
  "blank lines": (size) => `a${" \n".repeat(size / 2)}b`,
  digits: (size) => "1".repeat(size),
  numbers: (size) => "1 ".repeat(size / 2),
  "numbers in lines of their own": (size) => "123 456 789\n".repeat(size / 12),
  "hash signs": (size) => "#".repeat(size),
  headings: (size) => "# a\n".repeat(size / 4),
  pipes: (size) => "|".repeat(size),
  "a table's delimiters": (size) => `|a|b|\n${"|-".repeat(size / 2)}|\n`,
  dashes: (size) => "-".repeat(size),
  "list items": (size) => "- ".repeat(size / 2),
  parentheses: (size) => "(".repeat(size),
  brackets: (size) => "[](".repeat(size / 3),
  "stars and backticks": (size) => "*`_".repeat(size / 3),
  "nested tags": (size) => "<div>".repeat(size / 5),
  "marks out of order": (size) => `a${"\u0301\u0316".repeat(size * 2.5)}b`,
  "letters each with a mark": (size) => "e\u0301".repeat(size / 2),
  "one endless line": (size) => "word ".repeat(size / 5),
  "sentences without an end": (size) => "e.g. (1. ".repeat(size / 9),
  "no blank at all": (size) => "ab".repeat(size / 2),
  ideographs: (size) => "漢字".repeat(size / 2),
};

/** The names in order, for each size. */
export function namesOf(sizes: readonly number[]): string[] {
  return sizes.flatMap((size) => Object.keys(HOSTILE_TEXTS).map((name) => `${size} ${name}`));
}

/** Run as a thread: normalises and chunks every text, and names each that it is through with. */
const started = z.object({ sizes: z.array(z.number()) }).safeParse(workerData);
for (const size of started.data?.sizes ?? []) {
  for (const [name, make] of Object.entries(HOSTILE_TEXTS)) {
    // Running lines are looked for in documents of three pages.
    const texts = [make(size), "a letter", "and another"];
    const stored = texts.map((text, index) => ({ page_number: index + 1, text }));
    const { pages } = normalisePages({ pages: stored, format: "markdown" });
    for (const markdown of [true, false]) chunkDocument({ pages, markdown });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port between threads has no origin
    parentPort?.postMessage(`${size} ${name}`);
  }
}
