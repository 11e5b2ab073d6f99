import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { getDocument, listPages, type Database } from "@pipeline/db";
import { LIMITS } from "@pipeline/runtime";
import { z } from "zod";
import type { Client, SearchResult } from "./client.ts";

export interface Question {
  text: string;
  /** What the cited pages must contain for the answer to count; undefined where nobody knows it beforehand. */
  expected: string | undefined;
}

export interface Answer {
  question: Question;
  /** The best passage; undefined when nothing was found. */
  passage: SearchResult | undefined;
  /** True when the passage and the cited pages contain what was expected. */
  isConfirmed: boolean;
}

/** As the command line takes one. */
export const questionSchema = z
  .string()
  .trim()
  .min(1, "a question has words")
  .max(LIMITS.maxQueryChars, `a question has ${LIMITS.maxQueryChars} characters at most`);

const sampleQuestion = z.object({ question: z.string(), answer: z.string(), demo: z.boolean() });

/** The demo's questions about the samples, and the phrases that answer them. */
export async function readSampleQuestions(directory: string): Promise<Question[]> {
  const content: unknown = JSON.parse(await readFile(join(directory, "questions.json"), "utf8"));
  return z
    .array(sampleQuestion)
    .parse(content)
    .filter((entry) => entry.demo)
    .map((entry) => ({ text: entry.question, expected: entry.answer }));
}

/** How many sentences of a document are worth trying. */
const CANDIDATES = 12;

/**
 * Questions for a document that nobody has written any for: sentences spread over it that stand in it once, each of
 * which should then be found on the page where it stands. Empty for documents without sentences.
 */
export async function questionsFromDocument(reader: DocumentReader, documentId: string): Promise<Question[]> {
  const sentences = (await liveText(reader, documentId, { first: 1, last: Infinity }))
    .split(/(?<=[.!?])\s+|\n+/u)
    .map((sentence) => collapse(sentence))
    .filter((sentence) => sentence.length >= 25 && sentence.length <= 250 && !/[|#*_`<>\\[\]]/u.test(sentence));
  const once = sentences.filter((sentence) => sentences.indexOf(sentence) === sentences.lastIndexOf(sentence));
  const step = Math.max(1, Math.floor(once.length / CANDIDATES));
  const picked = once.filter((_, index) => index % step === Math.floor(step / 2)).slice(0, CANDIDATES);
  // From both ends to the middle, so that the first two shown stand far apart.
  const spread = picked.flatMap(
    (_, index) => picked[index % 2 === 0 ? index / 2 : picked.length - (index + 1) / 2] ?? [],
  );
  return spread.map((sentence) => ({ text: sentence, expected: sentence }));
}

/** Asks, takes the first passage, and looks whether it and the pages that it cites really hold the answer. */
export async function ask(context: AskContext, question: Question): Promise<Answer> {
  const [passage] = await context.client.search(question.text, context.documentIds);
  if (!passage) return { question, passage, isConfirmed: false };
  const pages = { first: passage.page_start, last: passage.page_end };
  const cited = await liveText(context, passage.document_id, pages);
  const expected = question.expected === undefined ? undefined : plain(question.expected);
  const isConfirmed =
    expected !== undefined && plain(passage.text).includes(expected) && plain(cited).includes(expected);
  return { question, passage, isConfirmed };
}

/** Whose documents are read, and where they are. */
export interface DocumentReader {
  database: Database;
  user_id: string;
}

export interface AskContext extends DocumentReader {
  client: Client;
  documentIds: string[];
}

interface PageRange {
  first: number;
  last: number;
}

/** The text of the pages that search sees now. */
async function liveText(reader: DocumentReader, documentId: string, range: PageRange): Promise<string> {
  const { database, user_id } = reader;
  const document = await getDocument(database, { user_id, document_id: documentId });
  if (document.live_generation === null) return "";
  const pages = await listPages(database, { document_id: documentId, generation: document.live_generation });
  return pages
    .filter((page) => page.page_number >= range.first && page.page_number <= range.last)
    .map((page) => page.text)
    .join("\n");
}

/** Markdown marks and line ends do not decide whether a phrase stands on a page. */
function plain(text: string): string {
  return collapse(text.replaceAll(/[*_`#|\\]/gu, " ")).toLowerCase();
}

function collapse(text: string): string {
  return text.replaceAll(/\s+/gu, " ").trim();
}
