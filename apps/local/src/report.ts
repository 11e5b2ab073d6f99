import type { IngestedFile } from "./ingest.ts";
import type { Answer } from "./questions.ts";

/** A question with the passage that answers it, and where that stands. */
export function formatAnswer(answer: Answer): string {
  const { question, passage } = answer;
  if (!passage) return `\nQ  ${question.text}\nA  Nothing was found.\n`;
  const pages =
    passage.page_start === passage.page_end
      ? `page ${passage.page_start}`
      : `pages ${passage.page_start}–${passage.page_end}`;
  const section = passage.section === null ? "" : ` · ${passage.section}`;
  return [
    "",
    `Q  ${question.text}`,
    `A  ${excerptOf(passage.text, question.expected ?? question.text)}`,
    `   ${passage.filename}, ${pages}${section} · similarity ${passage.similarity.toFixed(2)}`,
    ...verdictOf(answer),
    "",
  ].join("\n");
}

/** Every file that did not become searchable, with its code. */
export function formatFailures(files: readonly IngestedFile[]): string {
  return files.map((file) => (file.complete ? "" : `\n✗  ${file.path}\n   ${file.code}: ${file.message}\n`)).join("");
}

function verdictOf({ question, isConfirmed }: Answer): string[] {
  if (question.expected === undefined) return [];
  const isVerbatim = question.expected === question.text;
  const expected = isVerbatim ? "this sentence" : `“${question.expected}”`;
  return [isConfirmed ? `   ✓ the cited text holds ${expected}` : `   ✗ the cited text does not hold ${expected}`];
}

const EXCERPT_CHARACTERS = 240;

/** The part of the passage around what was asked for, on one line, cut between words. */
function excerptOf(text: string, wanted: string): string {
  const line = text
    .replaceAll(/\|(?:\s*:?-{3,}:?\s*\|)+/gu, " ")
    .replaceAll(/[*_`#|\\]+/gu, " ")
    .replaceAll(/\s+/gu, " ")
    .trim();
  const found = line.toLowerCase().indexOf(wanted.toLowerCase());
  const from = Math.max(0, found - EXCERPT_CHARACTERS / 2);
  const start = from === 0 ? 0 : line.indexOf(" ", from) + 1;
  const rest = line.slice(start);
  if (rest.length <= EXCERPT_CHARACTERS) return `${start > 0 ? "… " : ""}${rest}`;
  const end = rest.lastIndexOf(" ", EXCERPT_CHARACTERS);
  return `${start > 0 ? "… " : ""}${rest.slice(0, end > 0 ? end : EXCERPT_CHARACTERS)} …`;
}
