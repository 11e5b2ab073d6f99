import { listChunks, type ChunkRow } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import { documentChanged, getLiveGeneration } from "../contract/live-generation.ts";
import { decodeNumbers, encodeNumbers, pageLimit, pageOf } from "../contract/paging.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const chunksQuery = z.strictObject({ cursor: z.string().optional(), limit: pageLimit(20) });

const chunkBody = z.object({
  chunk_id: z.string(),
  /** Its place in the document, from 0. */
  ordinal: z.number(),
  text: z.string(),
  token_count: z.number(),
  page_start: z.number(),
  page_end: z.number(),
  /** Offsets into the pages' texts joined by a blank line, in UTF-16 code units. */
  char_start: z.number(),
  char_end: z.number(),
  /** Headings from the outermost to the innermost, joined by " > ". */
  section: z.string().nullable(),
  chunker_name: z.string(),
  chunker_version: z.string(),
  embed_model: z.string().nullable(),
  embed_version: z.string().nullable(),
});
const chunksBody = z.object({ chunks: z.array(chunkBody), next_cursor: z.string().nullable() });

/** The passages that search finds of a document, in their order, without their vectors. */
export const listDocumentChunks: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/documents/:document_id/chunks",
    schema: {
      params: documentParams,
      querystring: chunksQuery,
      response: { 200: chunksBody, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const { cursor, limit } = request.query;
      const [generation, after] = cursor === undefined ? [] : decodeNumbers(cursor, 2);
      const { document_id } = request.params;
      const live = await getLiveGeneration(database, { user_id: request.userId, document_id });
      if (generation !== undefined && generation !== live.generation) throw documentChanged();
      const found = await listChunks(database, live, { after: after ?? -1, limit: limit + 1 });
      // A generation has passages, and a cursor is given out only where more follow.
      if (found.length === 0) throw documentChanged();
      const { rows, last } = pageOf(found, limit);
      return {
        chunks: rows.map(presentChunk),
        next_cursor: last ? encodeNumbers([live.generation, last.ordinal]) : null,
      };
    },
  });
};

function presentChunk({ section_path, ...facts }: ChunkRow): z.output<typeof chunkBody> {
  return { ...facts, section: section_path.length > 0 ? section_path.join(" > ") : null };
}
