import { listPagePieces, type PagePiece } from "@pipeline/db";
import { LIMITS } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import { documentChanged, getLiveGeneration } from "../contract/live-generation.ts";
import { decodeNumbers, encodeNumbers, pageLimit, wholeNumber } from "../contract/paging.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const pageNumber = wholeNumber.pipe(z.int().min(1).max(999_999_999));

const contentQuery = z
  .strictObject({
    /** First and last page that are wanted. */
    page_start: pageNumber.default(1),
    page_end: pageNumber.default(999_999_999),
    cursor: z.string().optional(),
    limit: pageLimit(20),
  })
  .refine((query) => query.page_end >= query.page_start, {
    path: ["page_end"],
    error: "must not be before page_start",
  });

const contentPage = z.object({
  page_number: z.number(),
  text: z.string(),
  /** The text begins where the answer before this one ended, in the middle of the page. */
  is_continued: z.boolean(),
  /** The page goes on in the next answer. */
  is_cut: z.boolean(),
});
const contentBody = z.object({
  document_id: z.string(),
  pages: z.array(contentPage),
  next_cursor: z.string().nullable(),
});

interface Place {
  generation: number | undefined;
  page_number: number;
  offset: number;
  last_page: number;
}

/** The document's text as search sees it, page by page, never more than LIMITS.maxContentChars in one answer. */
export const getDocumentContent: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/documents/:document_id/content",
    schema: {
      params: documentParams,
      querystring: contentQuery,
      response: { 200: contentBody, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const { limit } = request.query;
      const { document_id } = request.params;
      const place = placeOf(request.query);
      const live = await getLiveGeneration(database, { user_id: request.userId, document_id });
      if (place.generation !== undefined && place.generation !== live.generation) throw documentChanged();
      const range = { ...place, maxPages: limit + 1, maxLength: LIMITS.maxContentChars };
      const pieces = await listPagePieces(database, live, range);
      // A generation has a first page, and a cursor is given out only where more follows.
      if (pieces.length === 0 && (place.page_number === 1 || place.generation !== undefined)) throw documentChanged();
      const { pages, next } = cutAt(pieces, limit);
      const next_cursor = next && encodeNumbers([live.generation, next.page_number, next.offset, place.last_page]);
      return { document_id, pages, next_cursor: next_cursor ?? null };
    },
  });
};

function placeOf({ cursor, page_start, page_end }: z.output<typeof contentQuery>): Place {
  if (cursor === undefined) return { generation: undefined, page_number: page_start, offset: 0, last_page: page_end };
  const [generation = 0, page_number = 0, offset = 0, last_page = 0] = decodeNumbers(cursor, 4);
  return { generation, page_number, offset, last_page };
}

interface Cut {
  pages: z.output<typeof contentPage>[];
  /** Where the next answer begins, if there is more. */
  next: { page_number: number; offset: number } | undefined;
}

/** The pieces that belong into one answer: as many pages as were asked for, up to the one where the text ran out. */
function cutAt(pieces: readonly PagePiece[], limit: number): Cut {
  const pages: Cut["pages"] = [];
  for (const piece of pieces) {
    const { page_number, offset, page_length, text } = piece;
    if (pages.length === limit) return { pages, next: { page_number, offset: 0 } };
    const end = offset + Array.from(text).length;
    const is_cut = end < page_length;
    if (is_cut && text === "") return { pages, next: { page_number, offset } };
    pages.push({ page_number, text, is_continued: offset > 0, is_cut });
    if (is_cut) return { pages, next: { page_number, offset: end } };
  }
  return { pages, next: undefined };
}
