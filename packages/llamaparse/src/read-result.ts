import type { ParsedDocument, ParsedPage, ParseNote } from "@pipeline/parsing";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { invalidAnswer, textTooLarge } from "./failures.ts";
import { jobSchema, type ProviderJob } from "./provider-job.ts";

/** What is paid for, whether it can be used or not. */
export interface Billed {
  page_count: number;
  /** Pages that the provider could not read or left out. */
  failed_pages: number[];
  /** What the provider billed, or null as long as billing has not settled. */
  credits: number | null;
}

export interface ProviderResult extends Billed {
  /** Failed pages are empty and have a note. */
  document: ParsedDocument;
}

export interface RefusedResult extends Billed {
  /** `too_many_pages`, `text_too_large`, `no_text`, or transient `llamaparse_job_failed` where no page could be read. */
  refusal: AppError;
}

const pageNumber = z.int().positive().max(100_000);

export const resultSchema = z.object({
  job: jobSchema,
  markdown: z
    .object({
      pages: z.array(
        z.discriminatedUnion("success", [
          z.object({ success: z.literal(true), page_number: pageNumber, markdown: z.string() }),
          z.object({ success: z.literal(false), page_number: pageNumber }),
        ]),
      ),
    })
    .nullish(),
  text: z.object({ pages: z.array(z.object({ page_number: pageNumber, text: z.string() })) }).nullish(),
});

/** Pages as the provider numbers them; undefined for one that failed. */
export type PageTexts = ReadonlyMap<number, string | undefined>;

/** The pages of an answer as Markdown, or as text, which is all that the fast tier has; undefined without either. */
export function readPages({ markdown, text }: z.infer<typeof resultSchema>): PageTexts | undefined {
  const pages =
    markdown?.pages.map((page) => [page.page_number, page.success ? page.markdown : undefined] as const) ??
    text?.pages.map((page) => [page.page_number, page.text] as const);
  if (pages === undefined) return undefined;
  const texts = new Map(pages);
  if (texts.size !== pages.length) throw invalidAnswer("a page comes twice");
  return texts;
}

export interface ResultFacts {
  job: ProviderJob;
  pages: PageTexts;
  /** Of the document where it is known, so that pages left out at its end are noticed. */
  pageCount: number;
  limits: { maxPages: number; maxTextChars: number };
}

/** The provider's pages in our form: from 1 without gaps, with a note for each that is missing. */
export function readResult({ job, pages, pageCount, limits }: ResultFacts): ProviderResult | RefusedResult {
  const page_count = Math.max(pageCount, ...pages.keys());
  const numbers = Array.from({ length: page_count }, (_, index) => index + 1);
  const failed_pages = numbers.filter((page_number) => pages.get(page_number) === undefined);
  const billed = { page_count, failed_pages, credits: job.credits };
  const read = numbers.map((page_number): ParsedPage => ({ page_number, text: pages.get(page_number) ?? "" }));
  const refusal = findRefusal(read, { billed, limits });
  if (refusal !== undefined) return { ...billed, refusal };
  return {
    ...billed,
    document: {
      parser: "llamaparse",
      parser_version: [job.tier, job.version].filter((part) => part !== null).join(" ") || "unknown",
      title: null,
      pages: read,
      notes: read.flatMap((page) => describePage(page, pages.get(page.page_number) === undefined)),
    },
  };
}

function findRefusal(
  pages: readonly ParsedPage[],
  { billed, limits }: { billed: Billed; limits: ResultFacts["limits"] },
): AppError | undefined {
  const { page_count, failed_pages } = billed;
  if (page_count > limits.maxPages) return tooManyPages(page_count, limits.maxPages);
  if (failed_pages.length === page_count) return allPagesFailed(page_count);
  const chars = pages.reduce((sum, { text }) => sum + text.length, 0);
  if (chars > limits.maxTextChars) return textTooLarge({ limit: limits.maxTextChars });
  if (pages.some(({ text }) => text.trim() !== "")) return undefined;
  return new AppError({ kind: "permanent", code: "no_text", message: "The document holds no text." });
}

/** As many characters as the local parser asks of a page that is no scan. */
const MIN_PAGE_CHARS = 20;

function describePage({ page_number, text }: ParsedPage, hasFailed: boolean): ParseNote[] {
  if (hasFailed) {
    return [{ code: "page_failed", message: "The parsing service could not read the page.", page_number }];
  }
  if (text.trim().length >= MIN_PAGE_CHARS) return [];
  return [{ code: "page_without_text", message: "The page holds no text; it may be a scan.", page_number }];
}

function tooManyPages(pages: number, limit: number): AppError {
  return new AppError({
    kind: "too_large",
    code: "too_many_pages",
    message: `The document has more than ${limit} pages.`,
    details: { pages, limit },
  });
}

function allPagesFailed(pages: number): AppError {
  return new AppError({
    kind: "transient",
    code: "llamaparse_job_failed",
    message: "The parsing service could not read any page of the document.",
    details: { pages },
  });
}
